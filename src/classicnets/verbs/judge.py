"""To load, evaluate and predict: what a run has learnt."""

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import torch
from torch import nn

from classicnets import catalog
from classicnets.data.images import Images, Splits
from classicnets.data.picture import read_pictures
from classicnets.data.pixels import Scaling
from classicnets.data.sets import open_data, open_test, resolved
from classicnets.evaluation.metrics import Evaluation, evaluation
from classicnets.evaluation.protocols import protocol as find_protocol
from classicnets.training.run import Facts, Run, open_run

AT_ONCE = 64  # pictures judged together


def load(run: str | Path, network: nn.Module | None = None) -> nn.Module:
    """The network of a run with its best weights, ready to be used. `network` as in `resume`.

    Raises ValueError when the run is missing, damaged, or that of another network.
    """
    return _loaded(open_run(Path(run)), network)


def evaluate(
    run: str | Path,
    data: str | Images | None = None,
    protocol: str = "single",
    network: nn.Module | None = None,
    device: str = "auto",
) -> Evaluation:
    """The errors of a run on the test part of its data, or on other pictures of its classes.

    Raises ValueError for an unknown protocol or device, where `load` does, for data that are
    missing or of other classes, and when the run's own have changed since.
    """
    find_protocol(protocol)
    where = device_named(device)
    found = open_run(Path(run))
    facts = found.facts
    module = _loaded(found, network).to(where)
    images = data if isinstance(data, Images) else _test_images(facts, data)
    crop = facts.input[1]
    return judged(module, images.to(where), facts.classes, crop, facts.scaling, protocol)


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

    Raises a ValueError that names the first file that cannot be read, for an unknown device, and
    where `load` does; then nothing is predicted.
    """
    if not paths:
        raise ValueError("predict needs at least one picture")
    if top < 1:
        raise ValueError(f"top must be at least 1, not {top}")
    where = device_named(device)
    found = open_run(Path(run))
    facts = found.facts
    module = _loaded(found, network).to(where)
    c, crop, _ = facts.input
    pixels, reasons = read_pictures([Path(path) for path in paths], facts.side, c)
    if reasons:
        raise ValueError(reasons[min(reasons)])
    images = Images(pixels, torch.zeros(len(pixels), dtype=torch.long)).to(where)
    scores = find_protocol("single")(module, images, crop, facts.scaling, AT_ONCE)
    likeliest = scores.softmax(1).topk(min(top, scores.shape[1]))
    classes = facts.classes
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
    facts = run.facts
    try:
        entry = catalog.find(facts.network)
    except ValueError as error:
        raise ValueError(
            f"{run.directory} is a run of {facts.network}, which can only be used from Python, "
            "where network= gives it"
        ) from error
    return entry.build(classes=len(facts.classes), channels=facts.input[0])


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


def device_named(name: str) -> torch.device:
    """A device that works here; "auto" is a GPU if there is one. Raises ValueError for others."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.ones(1, device=device).item()  # not on meta, which has no values
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"the device {name!r} cannot be used here; auto and cpu can") from error
    return device


def require_unchanged(facts: Facts, splits: Splits, hint: str = "") -> None:
    """Raises a ValueError when these are not the data that the run was trained on."""
    if splits.classes != facts.classes:
        raise ValueError(
            f"{facts.data} now has the classes {', '.join(splits.classes)}; "
            f"the run was trained on {', '.join(facts.classes)}"
        )
    then, now = sum(facts.pictures), sum(splits.sizes)
    if (splits.sizes, splits.digest) != (facts.pictures, facts.digest):
        now = f"{now} now" if then != now else "as many others now"
        raise ValueError(
            f"{facts.data} has changed since the run: {then} pictures then, {now}{hint}"
        )


def _loaded(run: Run, network: nn.Module | None) -> nn.Module:
    module = built(run, network)
    run.load_weights(module)
    return module.eval()


def _test_images(facts: Facts, data: str | None) -> Images:
    side, channels = facts.side, facts.input[0]
    if data is not None and resolved(data) != facts.data:
        return open_test(data, side, channels, facts.classes)
    splits = open_data(facts.data, side, channels)
    require_unchanged(facts, splits, "; --data judges it on other pictures")
    return splits.test
