"""Linear probes: the accuracy of a linear classifier on each layer's features (ZFNet, Table 7)."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from .deconv import as_maps
from .forward import Batch, as_input, frozen
from .layers import find_calls, layer_outputs

MAX_FEATURES = 2048  # of a layer


def probes(
    network: nn.Module,
    train: tuple[Batch, Int64[Tensor, " n"]],
    test: tuple[Float[Tensor, "m c h w"], Int64[Tensor, " m"]],
    layers: Sequence[str],
) -> dict[str, float]:
    """Layer -> test accuracy in % of softmax regression on its standardised features.

    Maps are averaged down to at most 2,048 features, where the paper uses all. Raises ValueError
    for an unknown layer.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    (x, y), (x_test, y_test) = train, test
    fitted, tested = features(network, x, layers), features(network, x_test, layers)
    accuracy = {}
    for name in layers:
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300, tol=1e-3))
        probe.fit(fitted[name], y.cpu().numpy())
        accuracy[name] = 100 * float(probe.score(tested[name], y_test.cpu().numpy()))
    return accuracy


def features(
    network: nn.Module,
    images: Batch,
    layers: Sequence[str],
    limit: int = MAX_FEATURES,
    batch: int = 64,
) -> dict[str, np.ndarray]:
    """Layer -> its outputs as rows (n, features), averaged down to at most `limit` features."""
    parts: dict[str, list[Tensor]] = {name: [] for name in layers}
    calls = find_calls(network, images, layers)
    with frozen(network), torch.no_grad():
        for x in images.split(batch):
            for name, out in layer_outputs(network, as_input(network, x), calls).items():
                maps = as_maps(out)
                side = max(1, int((limit / maps.shape[1]) ** 0.5))
                h, w = min(side, maps.shape[2]), min(side, maps.shape[3])
                parts[name].append(F.adaptive_avg_pool2d(maps, (h, w)).flatten(1).float().cpu())
    return {name: torch.cat(rows).numpy() for name, rows in parts.items()}
