"""Predicting the classes of images."""

from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from classicnets.data.decode import read_images
from classicnets.data.files import find_images, summarise
from classicnets.data.images import Images
from classicnets.data.listing import TASK
from classicnets.evaluation.protocols import find_protocol, log_probabilities
from classicnets.support.devices import network_device, select_device
from classicnets.support.errors import warn_skipped
from classicnets.support.progress import progress
from classicnets.training.run.config import RunConfig
from classicnets.training.run.directory import open_run

from .runs import BATCH, Source, for_inference, load_best, train_scale


class Prediction(NamedTuple):
    """An image and its likeliest classes, each with its probability.

    A file that cannot be read has no classes, and `unreadable` says why.
    """

    path: str
    top: tuple[tuple[str, float], ...]
    unreadable: str = ""


def predict(
    run: str | Path,
    paths: Sequence[str | Path],
    top: int = 5,
    network: Source = None,
    device: str = "auto",
) -> list[Prediction]:
    """The `top` likeliest classes of these images, and of those anywhere in these folders.

    Raises a ValueError that names the first file that cannot be read, for a folder without images,
    for an unknown device, and where `load` does; then nothing is predicted. Files found in a folder
    may be unreadable, which is a warning.
    """
    if not paths:
        raise ValueError("predict needs at least one image")
    if top < 1:
        raise ValueError(f"top must be at least 1, not {top}")
    where = select_device(device)
    found = open_run(Path(run))
    module = for_inference(load_best(found, network).to(where), found.config)
    files = [file for path in map(Path, paths) for file in images_at(path)]
    named = {Path(path) for path in paths}
    predictions = [
        prediction
        for batch in _batches(files)
        for prediction in _predict_batch(module, found.config, batch, named, top)
    ]
    warn_skipped([prediction.unreadable for prediction in predictions if prediction.unreadable])
    return predictions


def images_at(path: Path) -> list[Path]:
    """The file itself, or all the images below a folder, in order."""
    if not path.is_dir():
        return [path]
    images, others = find_images(path)
    if not images:
        lines = "".join(f"; left out: {line}" for line in summarise(others, path))
        raise ValueError(f"the folder {path} holds no images{lines}")
    return list(map(Path, images))


def left_out(paths: Sequence[str | Path]) -> list[str]:
    """What `predict` leaves out of the folders among these paths; a line for each reason."""
    others = [pair for path in paths if Path(path).is_dir() for pair in find_images(path).left_out]
    return list(summarise(others, ""))


def read_or_refuse(
    files: Sequence[Path], named: Container[Path], config: RunConfig
) -> tuple[Images, list[int], dict[int, str]]:
    """The readable images as a run's network reads them, their indices, and index -> why another
    cannot be read.

    Raises a ValueError when that one was named rather than found in a folder.
    """
    pixels, reasons = read_images(files, config.side, config.input[0])
    if refused := [reason for i, reason in reasons.items() if files[i] in named]:
        raise ValueError(refused[0])
    readable = [i for i in range(len(files)) if i not in reasons]
    labels = torch.zeros(len(readable), dtype=torch.long)  # unknown, and not used
    return Images(pixels[readable], labels), readable, reasons


def _batches(files: Sequence[Path]) -> Iterator[Sequence[Path]]:
    """Parts of so many files as are evaluated together; reports progress."""
    for start in range(0, len(files), BATCH):
        yield files[start : start + BATCH]
        progress.get()(TASK, min(start + BATCH, len(files)), len(files))


def _predict_batch(
    network: nn.Module, config: RunConfig, files: Sequence[Path], named: set[Path], top: int
) -> list[Prediction]:
    images, readable, reasons = read_or_refuse(files, named, config)
    predictions = {i: Prediction(str(files[i]), (), reason) for i, reason in reasons.items()}
    if readable:
        images = images.to(network_device(network))
        log_p = log_probabilities(
            network, images, find_protocol("single"), train_scale(config), config.scaling
        )
        likeliest = log_p.argsort(dim=1, descending=True, stable=True)[:, :top]
        for i, ids, p in zip(readable, likeliest.tolist(), log_p.exp().tolist(), strict=True):
            classes = tuple((config.classes[k], p[k]) for k in ids)
            predictions[i] = Prediction(str(files[i]), classes)
    return [predictions[i] for i in range(len(files))]
