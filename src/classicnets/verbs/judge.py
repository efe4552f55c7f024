"""To load, evaluate and predict: what a run has learnt, or several together."""

from collections.abc import Container, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import torch
from torch import Tensor, nn

from classicnets import catalog
from classicnets.data.images import Files, Images, Splits
from classicnets.data.picture import SUFFIXES, read_pictures
from classicnets.data.sets import open_data, open_test, resolved
from classicnets.data.windows import ScaleJitter
from classicnets.evaluation.metrics import Evaluation, evaluation
from classicnets.evaluation.protocols import Sight, averaged, log_probabilities, passes
from classicnets.evaluation.protocols import protocol as find_protocol
from classicnets.training.inference import Inference
from classicnets.training.run import Facts, Run, open_run
from classicnets.training.step import Execution, settled

AT_ONCE = 64  # pictures judged together


def load(run: str | Path, network: nn.Module | None = None) -> nn.Module:
    """The network of a run with its best weights, ready to be used. `network` as in `resume`.

    Raises ValueError when the run is missing, damaged, or that of another network.
    """
    return _loaded(open_run(Path(run)), network)


def evaluate(
    run: str | Path | Sequence[str | Path],
    data: str | Images | Files | None = None,
    protocol: str | None = None,
    network: nn.Module | None = None,
    device: str = "auto",
    precision: str = "fp32",
) -> Evaluation:
    """The errors of a run on the test part of its data, or on other pictures of its classes.

    Pictures are shown as the protocol says, by default as in the paper of each run's recipe. The
    probabilities of several runs are averaged; `network`, as in `load`, then serves them all. The
    `precision` bf16 is faster, and may turn the answer where two classes are nearly as likely.

    Raises ValueError for an unknown protocol, device or precision, where `load` does, for data that
    are missing or of other classes, when the run's own have changed since, for several runs of
    different classes or data, and for a network that cannot be shown what the protocol demands.
    """
    if protocol is not None:
        find_protocol(protocol)
    execution = Execution(precision=precision, parts=1)
    where = device_named(device)
    paths = [run] if isinstance(run, str | Path) else list(run)
    runs = [open_run(Path(path)) for path in paths]
    _require_alike(runs, data)
    began = perf_counter()
    scores, names, count = [], [], 0
    labels, files = torch.empty(0), None
    for found in runs:
        facts = found.facts
        name = protocol or getattr(facts.recipe, "protocol", "single")
        shown, sight = find_protocol(name), _sight(facts)
        module = _ready(_loaded(found, network).to(where), facts, execution)
        images = (
            data if isinstance(data, Images | Files) else _test_images(facts, data, shown.whole)
        ).to(where)
        scores.append(log_probabilities(module, images, shown, sight, facts.scaling))
        count += passes(shown, sight)
        names.append(name)
        labels, files = images.labels.cpu(), getattr(images, "paths", None)
    return evaluation(
        averaged(scores),
        labels,
        runs[0].facts.classes,
        " + ".join(dict.fromkeys(names)),
        perf_counter() - began,
        count,
        files,
    )


class Prediction(NamedTuple):
    """A picture and its likeliest classes, each with its probability.

    A file that cannot be read has none, and `unreadable` says why.
    """

    path: str
    top: tuple[tuple[str, float], ...]
    unreadable: str = ""


def predict(
    run: str | Path,
    paths: Sequence[str | Path],
    top: int = 5,
    network: nn.Module | None = None,
    device: str = "auto",
) -> list[Prediction]:
    """What a run takes these pictures to be, and those anywhere in these folders.

    Raises a ValueError that names the first file that cannot be read, for a folder without
    pictures, for an unknown device, and where `load` does; then nothing is predicted. Only what is
    found in a folder may be unreadable.
    """
    if not paths:
        raise ValueError("predict needs at least one picture")
    if top < 1:
        raise ValueError(f"top must be at least 1, not {top}")
    where = device_named(device)
    found = open_run(Path(run))
    module = _ready(_loaded(found, network).to(where), found.facts)
    files = [file for path in map(Path, paths) for file in pictures_at(path)]
    named = {Path(path) for path in paths}
    return [
        prediction
        for start in range(0, len(files), AT_ONCE)
        for prediction in _predicted(
            module, found.facts, files[start : start + AT_ONCE], named, top
        )
    ]


def _predicted(
    network: nn.Module, facts: Facts, files: list[Path], named: set[Path], top: int
) -> list[Prediction]:
    pixels, reasons = read_unless_named(files, named, facts)
    predictions = {i: Prediction(str(files[i]), (), reason) for i, reason in reasons.items()}
    if sound := [i for i in range(len(files)) if i not in reasons]:
        device = next(network.parameters(), torch.empty(0)).device
        images = Images(pixels[sound], torch.zeros(len(sound), dtype=torch.long)).to(device)
        log_p = log_probabilities(
            network, images, find_protocol("single"), _sight(facts), facts.scaling
        )
        likeliest = log_p.argsort(dim=1, descending=True, stable=True)[:, :top]
        for i, ids, p in zip(sound, likeliest.tolist(), log_p.exp().tolist(), strict=True):
            classes = tuple((facts.classes[k], p[k]) for k in ids)
            predictions[i] = Prediction(str(files[i]), classes)
    return [predictions[i] for i in range(len(files))]


def read_unless_named(
    files: Sequence[Path], named: Container[Path], facts: Facts
) -> tuple[Tensor, dict[int, str]]:
    """Pictures as a run's network reads them, and index -> why one cannot be read.

    Raises a ValueError when that one was named, and not found in a folder.
    """
    pixels, reasons = read_pictures(files, facts.side, facts.input[0])
    if refused := [reason for i, reason in sorted(reasons.items()) if files[i] in named]:
        raise ValueError(refused[0])
    return pixels, reasons


def pictures_at(path: Path) -> list[Path]:
    """The file itself, or all the pictures below a folder, in order."""
    if not path.is_dir():
        return [path]
    found = [
        file
        for file in sorted(path.rglob("*"))
        if file.suffix.lower() in SUFFIXES
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    ]
    if not found:
        raise ValueError(f"the folder {path} holds no pictures")
    return found


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


def judge(
    network: nn.Module, images: Images | Files, facts: Facts, protocol: str = "single"
) -> Evaluation:
    """The errors of a network on these images, seen as the protocol says; takes its time."""
    began = perf_counter()
    shown, sight = find_protocol(protocol), _sight(facts)
    scores = log_probabilities(_ready(network, facts), images, shown, sight, facts.scaling)
    seconds = perf_counter() - began
    return evaluation(
        scores, images.labels.cpu(), facts.classes, protocol, seconds, passes(shown, sight)
    )


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


def _ready(
    network: nn.Module,
    facts: Facts,
    execution: Execution = Execution(precision="fp32", parts=1),  # noqa: B008
) -> Inference:
    """The network as it is best shown pictures, in the layout that suits it."""
    # a protocol may look into the network by hooks, which a recording would not run again
    execution = replace(execution, graph=False)
    return Inference(network, settled(execution, network, facts.input, AT_ONCE)[0])


def _sight(facts: Facts) -> Sight:
    window = getattr(facts.recipe, "window", None)
    jitter = (window.low, window.high) if isinstance(window, ScaleJitter) else None
    return Sight(facts.side, facts.input[1], jitter)


def _test_images(facts: Facts, data: str | None, whole: bool) -> Images | Files:
    side, channels = facts.side, facts.input[0]
    if data is not None and resolved(data) != facts.data:
        return open_test(data, side, channels, facts.classes, whole)
    whole = whole or getattr(getattr(facts.recipe, "window", None), "whole", False)
    splits = open_data(facts.data, side, channels, whole=whole)
    require_unchanged(facts, splits, "; --data judges it on other pictures")
    return splits.test


def _require_alike(runs: Sequence[Run], data: str | Images | Files | None) -> None:
    """Raises a ValueError when the probabilities of these runs cannot be averaged."""
    if not runs:
        raise ValueError("evaluate needs at least one run")
    first, *others = runs
    for run in others:
        a, b = first.facts, run.facts
        if a.classes != b.classes:
            raise ValueError(
                f"{run.directory} knows the classes {', '.join(b.classes)} and {first.directory} "
                f"{', '.join(a.classes)}; only runs of the same classes can be averaged"
            )
        own = data is None or (isinstance(data, str) and resolved(data) in (a.data, b.data))
        if own and (a.data, a.digest) != (b.data, b.digest):
            raise ValueError(
                f"{run.directory} was trained on {b.data} and {first.directory} on {a.data}; "
                "--data must name pictures that are new to both"
            )
