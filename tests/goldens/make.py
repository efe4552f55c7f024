"""Scores of torchvision's networks, stored for machines on which torchvision does not import.

    python tests/goldens/make.py        needs torch and torchvision, and nothing of classicnets

Weights and picture come from a formula, the same to the last bit wherever numpy runs, so that a
few numbers can stand for hundreds of megabytes. Writes torchvision.json beside this file.
"""

import json
import math
from pathlib import Path
from zlib import crc32

import numpy as np
import torch

FILE = Path(__file__).with_name("torchvision.json")
NETWORKS = ("vgg11", "vgg13", "vgg16", "vgg19", "resnet18", "resnet34", "resnet50")
PRIME = 65_537  # longer than any row of weights is likely to divide, so that no two rows are equal


def values(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Numbers that look random, in [-1, 1), told by the name; integer arithmetic, hence exact."""
    i = np.arange(PRIME, dtype=np.uint64) + np.uint64(crc32(name.encode()))
    i = (i * i % np.uint64(4_294_967_291)) * np.uint64(2_654_435_761) % np.uint64(2**32)
    period = (i.astype(np.float64) / 2**31 - 1).astype(np.float32)
    return torch.from_numpy(np.resize(period, shape))


def tensor(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """A tensor of a state dict, scaled so that scores neither vanish nor explode."""
    u = values(name, shape)
    if name.endswith("running_var"):
        return 1 + u / 2
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if len(shape) > 1:
        return u * math.sqrt(6 / math.prod(shape[1:]))
    return 1 + u / 10 if name.endswith("weight") else u / 10


def picture() -> torch.Tensor:
    """One image of 224x224."""
    return values("picture", (1, 3, 224, 224))


def digest(scores: torch.Tensor) -> dict[str, object]:
    """Every twentieth score, and the sum and norm of all of them."""
    return {
        "scores": [float(f"{x:.6g}") for x in scores[0, ::20].tolist()],
        "sum": float(f"{scores.sum().item():.6g}"),
        "norm": float(f"{scores.norm().item():.6g}"),
    }


def published_stride(network: torch.nn.Module) -> None:
    """Moves the stride of torchvision's bottlenecks to the first 1x1, where the authors have it."""
    for block in network.modules():
        if type(block).__name__ == "Bottleneck":
            block.conv1.stride, block.conv2.stride = block.conv2.stride, (1, 1)


def torchvision_scores(name: str) -> torch.Tensor:
    """What torchvision's network makes of the picture with the weights of the formula."""
    import torchvision

    with torch.device("meta"):
        network = torchvision.models.get_model(name)
    published_stride(network)
    weights = {n: tensor(n, tuple(t.shape)) for n, t in network.state_dict().items()}
    network.load_state_dict(weights, assign=True)
    with torch.no_grad():
        return network.eval()(picture())


def main() -> None:
    import torchvision

    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    networks = {name: digest(torchvision_scores(name)) for name in NETWORKS}
    FILE.write_text(json.dumps({"made with": versions, "networks": networks}, indent=1) + "\n")


if __name__ == "__main__":
    main()
