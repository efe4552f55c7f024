"""How much each layer knows of the classes: a linear classifier on its features. ZFNet, Table 7."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional as F

from .deconv import as_maps
from .layers import outputs, prepared, undisturbed

FEATURES = 2048  # of a layer at most; larger maps are averaged down


def probes(
    network: nn.Module,
    train: tuple[Float[Tensor, "n c h w"], Int64[Tensor, " n"]],
    test: tuple[Float[Tensor, "m c h w"], Int64[Tensor, " m"]],
    layers: Sequence[str],
) -> dict[str, float]:
    """Layer -> accuracy in % on the test pictures of a classifier trained on what the layer gives.

    Softmax regression on standardised features. Maps are averaged down to what stays below 2,048
    features, where the paper takes all. Raises ValueError for an unknown layer.
    """
    (x, y), (x_test, y_test) = train, test
    known, asked = features(network, x, layers), features(network, x_test, layers)
    accuracy = {}
    for name in layers:
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300, tol=1e-3))
        probe.fit(known[name], y.cpu().numpy())
        accuracy[name] = 100 * float(probe.score(asked[name], y_test.cpu().numpy()))
    return accuracy


def features(
    network: nn.Module,
    images: Float[Tensor, "n c h w"],
    layers: Sequence[str],
    most: int = FEATURES,
    batch: int = 64,
) -> dict[str, np.ndarray]:
    """Layer -> what it gives for each picture, (n, features), averaged down to `most` at most."""
    found: dict[str, list[Tensor]] = {name: [] for name in layers}
    with undisturbed(network), torch.no_grad():
        for x in images.split(batch):
            for name, out in outputs(network, prepared(network, x), layers).items():
                maps = as_maps(out)
                side = max(1, int((most / maps.shape[1]) ** 0.5))
                h, w = min(side, maps.shape[2]), min(side, maps.shape[3])
                found[name].append(F.adaptive_avg_pool2d(maps, (h, w)).flatten(1).float().cpu())
    return {name: torch.cat(parts).numpy() for name, parts in found.items()}
