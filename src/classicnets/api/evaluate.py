"""Evaluating runs by a paper's protocol."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import nn

from classicnets.data.images import ImageFiles, Images, require_labels
from classicnets.data.listing import TestImages, find_overlap
from classicnets.data.sets import open_data, open_test, resolve
from classicnets.evaluation.metrics import Evaluation, evaluate_scores
from classicnets.evaluation.protocols import (
    PROTOCOLS as PROTOCOLS,
    count_views,
    find_protocol,
    log_probabilities,
    mean_log_probabilities,
)
from classicnets.support.arguments import answering
from classicnets.support.devices import select_device
from classicnets.support.errors import TrainingAdvice, option, warn_user
from classicnets.support.files import content_digest, exists
from classicnets.training.execution.execution import Execution
from classicnets.training.run.config import RunConfig
from classicnets.training.run.directory import Run

from .opened import open_trained
from .run_data import classes_in, is_data_of, place_of_data, require_unchanged
from .runs import Source, for_inference, load_best, train_scale


@answering("run")
def evaluate(
    run: str | Path | Sequence[str | Path],
    data: str | Path | Images | ImageFiles | None = None,
    protocol: str | None = None,
    network: Source | Sequence[Source] = None,
    device: str = "auto",
    precision: str = "fp32",
    unreadable: str = "skip",
) -> Evaluation:
    """The errors of a run on the test part of its data, or on other images of its classes.

    Images are shown as `protocol` says, by default as in the paper of each run's recipe. The
    probabilities of several runs are averaged; `network`, as in `load`, then serves them all, or
    is a list with one for each. The `precision` bf16 is faster, and may change the answer where two
    classes are nearly as likely. `unreadable` files are skipped with a warning, or refused
    ("refuse"). Other images than the run's own are compared with its training images, file by file,
    which gives `overlap`.

    Raises ValueError for an unknown protocol, device or precision, where `load` does, for data that
    are missing or of other classes, when the run's own have changed since, for several runs of
    different classes or data, and for a network that the protocol cannot be applied to.
    """
    if protocol is not None:
        find_protocol(protocol)
    data = str(data) if isinstance(data, Path) else data
    if isinstance(data, str) and exists(Path(data) / "run.json"):
        raise ValueError(f"{data} is a run, and data are images; several runs are a list")
    execution = Execution(precision=precision, accumulation_steps=1)
    where = select_device(device)
    paths = [run] if isinstance(run, str | Path) else list(run)
    runs = [open_trained(path) for path in paths]
    _require_alike(runs, data)
    began = perf_counter()
    scores, names, weights, count = [], [], [], 0
    images, read, opened = None, None, None
    is_own = [_is_own(found.config, data) for found in runs]
    labels, files = torch.empty(0), None
    for found, source, own in zip(runs, _one_for_each(network, runs), is_own, strict=True):
        config = found.config
        name = protocol or config.recipe.protocol
        shown, scale = find_protocol(name), train_scale(config)
        module = for_inference(load_best(found, source).to(where), config, execution)
        weights.append(_weights(found))
        needed = _source(config, shown.whole)
        if isinstance(data, Images | ImageFiles):
            images = _require_fitting(data, config)
        elif images is None or needed != read:  # else those of the run before serve again
            place = place_of_data(config) if data is None else data
            opened = _test_images(config, place, own, shown.whole, unreadable)
            images = opened.images
        read, images = needed, images.to(where)
        scores.append(log_probabilities(module, images, shown, scale, config.scaling))
        count += count_views(shown, scale)
        names.append(name)
        labels, files = images.labels.cpu(), [*map(str, images.paths or [])] or None
    evaluation = evaluate_scores(
        mean_log_probabilities(scores),
        labels,
        runs[0].config.classes,
        " + ".join(dict.fromkeys(names)),
        perf_counter() - began,
        count,
        files,
    )
    unfinished = tuple(filter(None, map(_unfinished, runs)))
    for line in unfinished:
        warn_user(line, TrainingAdvice)
    evaluation = replace(evaluation, unfinished=unfinished, weights=tuple(weights))
    if opened is not None:
        found = {"skipped": opened.skipped, "left_out": opened.left_out, "data": opened.which}
        evaluation = replace(evaluation, **found)
    if images is None or is_own[0]:
        return evaluation
    return replace(evaluation, overlap=_overlap(images, runs))


def _weights(run: Run) -> dict[str, Any]:
    digest = content_digest(run.weights)
    return {"file": str(run.weights), "sha256": digest, "epoch": run.notes.get("best_epoch")}


def _unfinished(run: Run) -> str:
    """What to say of a run whose training has not ended; empty of one that has."""
    if run.ended:
        return ""
    done, best = run.epochs[-1].epoch if run.epochs else 0, run.notes.get("best_epoch", "?")
    return (
        f"the training of {run.directory} has not ended: {done} of {run.config.epochs} epochs are "
        f"done, and the best weights so far, those of epoch {best}, are evaluated"
    )


def evaluate_network(
    network: nn.Module, images: Images | ImageFiles, config: RunConfig
) -> Evaluation:
    """The errors of a network on these images, one centre crop each."""
    began = perf_counter()
    single, scale = find_protocol("single"), train_scale(config)
    module = for_inference(network, config)
    scores = log_probabilities(module, images, single, scale, config.scaling)
    seconds = perf_counter() - began
    labels = images.labels.cpu()
    return evaluate_scores(
        scores, labels, config.classes, "single", seconds, count_views(single, scale)
    )


def _overlap(images: Images | ImageFiles, runs: Sequence[Run]) -> tuple[str, ...] | None:
    """The files of these images that a run was trained on; None where that is not known of all."""
    digests = [run.digests() for run in runs]
    found = find_overlap(images, set[str]().union(*digests))
    return found if all(digests) else found or None


def _is_own(config: RunConfig, data: str | Images | ImageFiles | None) -> bool:
    """Whether these are the run's own data, whose test part is new to it."""
    return data is None or (isinstance(data, str) and is_data_of(config, data))


def _require_fitting(images: Images | ImageFiles, config: RunConfig) -> Images | ImageFiles:
    """The images, or a ValueError where they are not of the run's channels and classes."""
    require_labels("the data", images, config.classes, 0)
    if images.channels != config.input[0]:
        raise ValueError(
            f"the data have {images.channels} channels, but the run was trained on "
            f"{config.input[0]}"
        )
    return images


def _test_images(
    config: RunConfig, place: str, own: bool, whole: bool, unreadable: str
) -> TestImages:
    """The images at this place, or the test part of the run's `own` data, which is new to it."""
    side, channels = config.side, config.input[0]
    if not own:
        classes = classes_in(place, config.classes)
        found = open_test(place, side, channels, classes, whole, unreadable)
        return found._replace(which=f"{found.which} {place}")
    whole = whole or config.recipe.crop_sampler.whole
    hint = f"; {option('data', 'FOLDER')} evaluates it on other images"
    try:
        splits = open_data(
            place, side, channels, whole=whole, unreadable=unreadable, allow_missing_classes=True
        )
    except ValueError as error:  # as when a file is damaged
        raise ValueError(f"the data of the run cannot be read: {error}{hint}") from error
    require_unchanged(config, splits, hint)
    count, moved = sum(splits.sizes), ", where the run's data are now" * (place != config.data)
    which = f"the test part of {place}{moved}: {len(splits.test)} of {count} images"
    return TestImages(splits.test, splits.skipped, splits.left_out, which)


def _source(config: RunConfig, whole: bool) -> tuple[Any, ...]:
    """All of a run that decides which images `_test_images` reads, and how."""
    return (
        config.data,
        config.images,
        config.digest,
        config.side,
        config.input,
        whole,
        config.recipe.crop_sampler.whole,
    )


def _one_for_each(network: Source | Sequence[Source], runs: Sequence[Run]) -> Sequence[Source]:
    given: list[Any] = list(network) if isinstance(network, list | tuple) else [network]
    if len(given) not in (1, len(runs)):
        raise ValueError(
            f"{len(given)} networks for {len(runs)} runs; give one for all, or one for each run"
        )
    return given * (len(runs) if len(given) == 1 else 1)


def _require_alike(runs: Sequence[Run], data: str | Images | ImageFiles | None) -> None:
    """Raises a ValueError when the probabilities of these runs cannot be averaged."""
    if not runs:
        raise ValueError("evaluate needs at least one run")
    first, *others = runs
    for run in others:
        a, b = first.config, run.config
        if a.classes != b.classes:
            raise ValueError(
                f"{run.directory} has the classes {', '.join(b.classes)} and {first.directory} "
                f"{', '.join(a.classes)}; only runs of the same classes can be averaged"
            )
        own = data is None or (isinstance(data, str) and resolve(data) in (a.data, b.data))
        if own and (a.data, a.digest) != (b.data, b.digest):
            raise ValueError(
                f"{run.directory} was trained on {b.data} and {first.directory} on {a.data}; "
                f"{option('data', 'FOLDER')} must name images that are new to both"
            )
