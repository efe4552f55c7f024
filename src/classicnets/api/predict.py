"""Predicting the classes of images."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from classicnets.data.decode import TASK, read_images
from classicnets.data.given import Given, Item, list_items
from classicnets.data.images import Images
from classicnets.evaluation.protocols import find_protocol, log_probabilities
from classicnets.support.arguments import answering
from classicnets.support.devices import network_device, select_device
from classicnets.support.errors import warn_skipped
from classicnets.support.progress import progress
from classicnets.support.tables import html_table
from classicnets.training.run.config import RunConfig

from .opened import open_trained
from .runs import BATCH, Source, for_inference, load_best, train_scale


class Prediction(NamedTuple):
    """An image and its likeliest classes, each with its probability.

    `path` is `image 0` for an array, by its number. A file that cannot be read has no classes, and
    `unreadable` says why.
    """

    path: str
    top: tuple[tuple[str, float], ...]
    unreadable: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {', '.join(self.cells()) or self.unreadable}"

    def cells(self) -> list[str]:
        """Each class with its probability, as text."""
        return [f"{name} {100 * p:.1f} %" for name, p in self.top]

    def as_dict(self) -> dict[str, Any]:
        """As `predict --json` prints it."""
        top = [{"class": name, "probability": p} for name, p in self.top]
        return {"path": self.path, "top": top}


class Predictions(list[Prediction]):
    """A list of predictions, which prints a line for each.

    `left_out` has a line for each reason why something in a folder was not taken for an image.
    """

    left_out: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "\n".join(map(str, self))

    def _repr_html_(self) -> str:
        width = max((len(prediction.top) for prediction in self), default=0)
        heads = ["image", "predicted", *[""] * (width - 1)][: 1 + max(width, 1)]
        rows = [[p.path, *(p.cells() or [p.unreadable])] for p in self]
        rows = [row + [""] * (len(heads) - len(row)) for row in rows]
        return html_table([heads, *rows], heads)


class Predictor:
    """A trained network, opened once for any number of batches; it predicts as `predict` does.

    Raises a ValueError for an unknown device, and where `load` does.
    """

    def __init__(self, run: str | Path, network: Source = None, device: str = "auto"):
        where = select_device(device)
        self.run = open_trained(run)
        self.network = for_inference(load_best(self.run, network).to(where), self.run.config)

    def predict(self, items: Sequence[Item], top: int) -> list[Prediction]:
        """The `top` likeliest classes of a batch, in its order, as `predict` has them.

        Raises a ValueError for an image that cannot be read, unless it was found in a folder.
        """
        config = self.run.config
        images, readable, reasons = read_or_refuse(items, config)
        predictions = {i: Prediction(items[i].name, (), reason) for i, reason in reasons.items()}
        if readable:
            images = images.to(network_device(self.network))
            log_p = log_probabilities(
                self.network, images, find_protocol("single"), train_scale(config), config.scaling
            )
            likeliest = log_p.argsort(dim=1, descending=True, stable=True)[:, :top]
            for i, ids, p in zip(readable, likeliest.tolist(), log_p.exp().tolist(), strict=True):
                classes = tuple((config.classes[k], p[k]) for k in ids)
                predictions[i] = Prediction(items[i].name, classes)
        return [predictions[i] for i in range(len(items))]

    def predict_files(self, files: Sequence[tuple[str, Path]], top: int) -> list[Prediction]:
        """The same for files that were sent under other names; none of them makes it fail."""
        found = self.predict([Item(name, path, found=True) for name, path in files], top)
        return [
            prediction._replace(unreadable=prediction.unreadable.replace(str(path), name, 1))
            for prediction, (name, path) in zip(found, files, strict=True)
        ]


@answering("images")
def predict(
    run: str | Path,
    images: Given | Sequence[Given],
    top: int = 5,
    network: Source = None,
    device: str = "auto",
) -> Predictions:
    """The `top` likeliest classes of these images, and of those anywhere in these folders.

    `images` is one or a list of paths, Pillow images, NumPy arrays (h, w) or (h, w, 3), and torch
    tensors (c, h, w), or a batch, (n, h, w, 3) or (n, c, h, w): bytes, or floating-point values
    from 0 to 1. All are resized and cropped as files are; only a JPEG file much larger than needed
    is decoded at a fraction of its size.

    Raises a ValueError that names the first image that cannot be read, for a folder without images,
    for an unknown device, and where `load` does; then nothing is predicted. Files found in a folder
    may be unreadable, which is a warning.
    """
    items = list_items(images)
    if not items:
        raise ValueError("predict needs at least one image")
    if not isinstance(top, int):
        raise ValueError(f"top is a whole number, not {top!r}; several images are a list")
    if top < 1:
        raise ValueError(f"top must be at least 1, not {top}")
    predictor = Predictor(run, network, device)
    predictions = Predictions(
        prediction for batch in _batches(items) for prediction in predictor.predict(batch, top)
    )
    predictions.left_out = items.left_out
    warn_skipped([prediction.unreadable for prediction in predictions if prediction.unreadable])
    return predictions


def read_or_refuse(
    items: Sequence[Item], config: RunConfig
) -> tuple[Images, list[int], dict[int, str]]:
    """The readable images as a run's network reads them, their indices, and index -> why another
    cannot be read.

    Raises a ValueError when that one was given rather than found in a folder.
    """
    sources = [item.source for item in items]
    pixels, reasons = read_images(sources, config.side, config.input[0])
    for i, reason in reasons.items():
        if not items[i].found:
            named = isinstance(sources[i], Path)  # in the reason
            raise ValueError(
                reason if named else f"{items[i].name} cannot be read as an image: {reason}"
            )
    readable = [i for i in range(len(items)) if i not in reasons]
    labels = torch.zeros(len(readable), dtype=torch.long)  # unknown, and not used
    return Images(pixels[readable], labels), readable, reasons


def _batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Parts of so many images as are evaluated together; reports progress."""
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]
        progress.get()(TASK, min(start + BATCH, len(items)), len(items))
