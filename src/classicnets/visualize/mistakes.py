"""A set of pictures as the network sees it: a map of its last features, and its mistakes."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import torch
from jaxtyping import Float, Int64
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from torch import Tensor, nn

from .layers import head, layer_named, prepared, scores_of, undisturbed


@dataclass(frozen=True)
class Seen:
    """Pictures as the network sees them: the features that its last layer reads, its
    probabilities, and the true labels.
    """

    features: Float[Tensor, "n features"]
    probability: Float[Tensor, "n classes"]
    labels: Int64[Tensor, " n"]

    @property
    def mistakes(self) -> list[int]:
        """The pictures it is wrong about, the most confident mistake first."""
        confidence, called = self.probability.max(1)
        order = confidence.argsort(descending=True, stable=True)
        return [i for i in order.tolist() if called[i] != self.labels[i]]

    @property
    def confusion(self) -> Int64[Tensor, "classes classes"]:
        """[i, j] counts the pictures of class i that are called j."""
        classes = self.probability.shape[1]
        pairs = self.labels * classes + self.probability.argmax(1)
        return torch.bincount(pairs, minlength=classes**2).view(classes, classes)


def see_all(
    network: nn.Module,
    images: Float[Tensor, "n c h w"],
    labels: Int64[Tensor, " n"],
    batch: int = 64,
) -> Seen:
    """One pass over the pictures."""
    read: list[Tensor] = []
    last = layer_named(network, head(network, images[0]))
    hook = last.register_forward_pre_hook(lambda _, args: read.append(args[0].flatten(1).cpu()))
    with hook, undisturbed(network), torch.no_grad():
        scores = [scores_of(network, prepared(network, x)).cpu() for x in images.split(batch)]
    return Seen(torch.cat(read).float(), torch.cat(scores).float().softmax(1), labels.cpu())


def _umap(features: np.ndarray) -> np.ndarray:
    try:
        return import_module("umap").UMAP(random_state=0).fit_transform(features)
    except ImportError:
        raise ValueError(
            "umap is not installed (pip install umap-learn); pca and tsne are"
        ) from None


def _tsne(features: np.ndarray) -> np.ndarray:
    perplexity = min(30.0, (len(features) - 1) / 3)
    return TSNE(random_state=0, perplexity=perplexity, init="pca").fit_transform(features)


METHODS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "pca": lambda features: PCA(2, random_state=0).fit_transform(features),
    "tsne": _tsne,
    "umap": _umap,
}


def embedding(features: Float[Tensor, "n features"], method: str = "pca") -> Float[Tensor, "n 2"]:
    """A map on which pictures with similar features lie together.

    Raises ValueError for an unknown method, fewer than four pictures, or umap where it is missing.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    if len(features) < 4:
        raise ValueError(f"an embedding needs at least 4 pictures, not {len(features)}")
    return torch.from_numpy(np.asarray(METHODS[method](features.numpy()), dtype=np.float32))
