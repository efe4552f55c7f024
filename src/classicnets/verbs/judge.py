"""To load, evaluate and predict: what a run has learnt."""

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import torch
from torch import nn

from classicnets import catalog
from classicnets.data.images import Images
from classicnets.data.picture import read_picture
from classicnets.data.pixels import Scaling
from classicnets.data.sets import SETS, open_data, open_test
from classicnets.evaluation.metrics import Evaluation, evaluation
from classicnets.evaluation.protocols import protocol as find_protocol
from classicnets.training.run import Run, open_run

AT_ONCE = 64  # pictures judged together


def load(run: str | Path, network: nn.Module | None = None) -> nn.Module:
    """The network of a run with its best weights, ready to be used. `network` as in `resume`."""
    found = open_run(Path(run))
    module = built(found, network)
    found.load_weights(module)
    return module.eval()


def evaluate(
    run: str | Path,
    data: str | Images | None = None,
    protocol: str = "single",
    network: nn.Module | None = None,
    device: str = "auto",
) -> Evaluation:
    """The errors of a run on the test part of its data, or on other pictures of its classes."""
    find_protocol(protocol)
    found = open_run(Path(run))
    module = load(run, network).to(device_named(device))
    classes = tuple(found.facts["classes"])
    images = data if isinstance(data, Images) else _test_images(found, data)
    crop = found.facts["input"][1]
    where = next(module.parameters(), torch.empty(0)).device
    return judged(module, images.to(where), classes, crop, scaling_of(found), protocol)


class Prediction(NamedTuple):
    """A picture and its likeliest classes, each with its probability."""

    path: str
    top: tuple[tuple[str, float], ...]


@torch.no_grad()
def predict(
    run: str | Path,
    paths: Sequence[str | Path],
    top: int = 5,
    network: nn.Module | None = None,
    device: str = "auto",
) -> list[Prediction]:
    """What a run takes the pictures in these files to be.

    Raises a ValueError that names the first file that cannot be read; then nothing is predicted.
    """
    if not paths:
        raise ValueError("predict needs at least one picture")
    if top < 1:
        raise ValueError(f"top must be at least 1, not {top}")
    found = open_run(Path(run))
    where = device_named(device)
    module = load(run, network).to(where)
    c, crop, _ = found.facts["input"]
    side = found.facts["recipe"]["side"]
    pixels = torch.stack([read_picture(Path(path), side, c) for path in paths]).to(where)
    images = Images(pixels, torch.zeros(len(pixels), dtype=torch.long, device=where))
    scores = find_protocol("single")(module, images, crop, scaling_of(found), AT_ONCE)
    likeliest = scores.softmax(1).topk(min(top, scores.shape[1]))
    classes = found.facts["classes"]
    return [
        Prediction(str(path), tuple((classes[i], p) for i, p in zip(ids, ps, strict=True)))
        for path, ids, ps in zip(
            paths, likeliest.indices.tolist(), likeliest.values.tolist(), strict=True
        )
    ]


def built(run: Run, network: nn.Module | None) -> nn.Module:
    """The run's network before its weights are read: of the catalogue, or the one given."""
    if network is not None:
        return network
    name, classes, channels = (run.facts[k] for k in ("network", "classes", "input"))
    try:
        entry = catalog.find(name)
    except ValueError as error:
        raise ValueError(
            f"{run.directory} is a run of {name}, which can only be used from Python, "
            "where network= gives it"
        ) from error
    return entry.build(classes=len(classes), channels=channels[0])


def judged(
    network: nn.Module,
    images: Images,
    classes: tuple[str, ...],
    crop: int,
    scaling: Scaling,
    protocol: str,
) -> Evaluation:
    """The errors of a network on these images, seen as the protocol says; takes its time."""
    began = perf_counter()
    scores = find_protocol(protocol)(network.eval(), images, crop, scaling, AT_ONCE)
    seconds = perf_counter() - began
    return evaluation(scores, images.labels.cpu(), classes, protocol, seconds)


def scaling_of(run: Run) -> Scaling:
    """How the run brings pixels to the network's scale."""
    return Scaling(*(tuple(run.facts["scaling"][name]) for name in ("scale", "shift")))


def device_named(name: str) -> torch.device:
    """A device that works here; "auto" is a GPU if there is one. Raises ValueError for others."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"the device {name!r} cannot be used here; auto and cpu can") from error
    return device


def _test_images(run: Run, data: str | None) -> Images:
    own, side, channels = run.facts["data"], run.facts["recipe"]["side"], run.facts["input"][0]
    spec = data or own
    if spec in SETS or Path(spec).resolve() != Path(own):
        return open_test(spec, side, channels, tuple(run.facts["classes"]))
    return open_data(own, side, channels).test
