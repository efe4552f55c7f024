"""Predictions for a set of images: the last features, an embedding of them, and mistakes."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from classicnets.support.errors import suggest

from .forward import Batch, as_input, class_scores, frozen
from .layers import classifier_layer, get_layer


@dataclass(frozen=True)
class Predictions:
    """The input of the classifier layer, the class probabilities and the true labels."""

    features: Float[Tensor, "n features"]
    probability: Float[Tensor, "n classes"]
    labels: Int64[Tensor, " n"]

    @property
    def mistakes(self) -> list[int]:
        """The indices of misclassified images, the most confident mistake first."""
        confidence, predicted = self.probability.max(1)
        order = confidence.argsort(descending=True, stable=True)
        return [i for i in order.tolist() if predicted[i] != self.labels[i]]


def predict_all(
    network: nn.Module, images: Batch, labels: Int64[Tensor, " n"], batch: int = 64
) -> Predictions:
    """Predicts all images in batches, and captures what the classifier layer reads."""
    read: list[Tensor] = []
    features, scores = [], []
    name = classifier_layer(network, images[0])
    hook = get_layer(network, name).register_forward_pre_hook(
        lambda _, args, options: read.extend([*args, *options.values()][:1]), with_kwargs=True
    )
    with hook, frozen(network), torch.no_grad():
        for x in images.split(batch):
            scores.append(class_scores(network, as_input(network, x)).cpu())
            if len(read[-1]) != len(x):
                raise ValueError(f"{name} reads {len(read[-1])} inputs for {len(x)} images")
            features.append(read[-1].flatten(1).cpu())  # of its last call
            read.clear()
    p = torch.cat(scores).float().softmax(1)
    return Predictions(torch.cat(features).float(), p, labels.cpu())


def _umap(features: np.ndarray) -> np.ndarray:
    try:
        return import_module("umap").UMAP(random_state=0).fit_transform(features)
    except ImportError:
        raise ValueError(
            "umap is not installed; pip install umap-learn, or use pca or tsne"
        ) from None


def _pca(features: np.ndarray) -> np.ndarray:
    from sklearn.decomposition import PCA

    return PCA(2, random_state=0).fit_transform(features)


def _tsne(features: np.ndarray) -> np.ndarray:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(features) - 1) / 3)
    return TSNE(random_state=0, perplexity=perplexity, init="pca").fit_transform(features)


METHODS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "pca": _pca,
    "tsne": _tsne,
    "umap": _umap,
}


def check_method(method: str) -> None:
    """Raises a ValueError for an unknown embedding method."""
    if method not in METHODS:
        raise ValueError(f"no embedding method {method!r}; {suggest(method, METHODS)}")


def embedding(features: Float[Tensor, "n features"], method: str = "pca") -> Float[Tensor, "n 2"]:
    """Points in the plane, close together for images with similar features.

    Raises ValueError for an unknown method, fewer than four images, or umap where it is missing.
    """
    check_method(method)
    if len(features) < 4:
        raise ValueError(f"an embedding needs at least 4 images, not {len(features)}")
    return torch.from_numpy(np.asarray(METHODS[method](features.numpy()), dtype=np.float32))
