"""Image data sets of the Hugging Face hub, through the package `datasets` if it is installed."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np
import torch
from PIL import Image

from classicnets.support.errors import one_line

from .decode import as_square
from .images import SAMPLE, Images, Splits, evenly_spaced, fingerprint
from .listing import MEMORY_LIMIT
from .splitting import SIZES, completed

SPLIT_NAMES = {"validation": ("validation", "valid", "val", "dev"), "test": ("test",)}
SAFE = 4  # the version of `datasets` that removed loading scripts


def read_hub(
    name: str, side: int, channels: int, seed: int = 0, allow_missing_classes: bool = False
) -> Splits:
    """The data set of this name as squares of `side` pixels; missing splits are split off.

    Raises a ValueError when `datasets` cannot be imported, there is no such data set, or it has no
    image column, no class label column, more images than the memory limit, or too few of a class.
    """
    package = _package(name)
    try:
        loaded = package.load_dataset(name)
    except Exception as error:  # the hub, the network or the data set may raise anything
        raise ValueError(f"hf:{name} cannot be loaded: {one_line(error)}") from error
    if "train" not in loaded:
        raise ValueError(f"hf:{name} has no split train; it has {', '.join(loaded)}")
    image, label, classes = _columns(name, loaded["train"].features)
    if (size := sum(map(len, loaded.values())) * channels * side**2) > MEMORY_LIMIT:
        raise ValueError(
            f"hf:{name} would need {size / 2**30:.1f} GiB in memory; "
            f"at most {MEMORY_LIMIT / 2**30:.0f} GiB are read"
        )
    rows = {"train": loaded["train"]}
    for split, aliases in SPLIT_NAMES.items():
        if found := [alias for alias in aliases if alias in loaded]:
            rows[split] = loaded[found[0]]
    splits = {split: _read(of, image, label, side, channels) for split, of in rows.items()}
    digest = fingerprint(
        array
        for split, of in rows.items()
        for array in (splits[split].labels.numpy(), *_originals(of, image))
    )
    whole = completed(f"hf:{name}", splits, classes, SIZES, seed, allow_missing_classes)
    return Splits(
        f"hf:{name}",
        classes,
        whole["train"],
        whole["validation"],
        whole["test"],
        digest=digest,
        origin=name.rpartition("/")[2],
    )


def _package(name: str) -> Any:
    """The package `datasets`. Raises a ValueError for an old one, which runs scripts of the hub."""
    try:
        package = import_module("datasets")
    except ImportError as error:
        raise ValueError(
            f"hf:{name} needs the package datasets (pip install datasets): {error}"
        ) from None
    version = str(package.__version__)
    if int(version.partition(".")[0]) < SAFE:
        raise ValueError(
            f"hf:{name} needs datasets {SAFE} or later, which runs no scripts of data sets, not "
            f"{version} (pip install --upgrade datasets)"
        )
    return package


def _columns(name: str, features: Any) -> tuple[str, str, tuple[str, ...]]:
    """The names of the image and label columns, and the classes."""
    kinds = {column: type(kind).__name__ for column, kind in features.items()}
    images = [column for column, kind in kinds.items() if kind == "Image"]
    labels = [column for column, kind in kinds.items() if kind == "ClassLabel"]
    if not images or not labels:
        raise ValueError(
            f"hf:{name} has no column of {'class labels' if images else 'images'}; "
            f"it has {', '.join(f'{column} ({kind})' for column, kind in kinds.items())}"
        )
    label = next((column for column in labels if column in ("label", "fine_label")), labels[0])
    return images[0], label, tuple(features[label].names)


def _read(rows: Any, image: str, label: str, side: int, channels: int) -> Images:
    pixels = torch.empty(len(rows), channels, side, side, dtype=torch.uint8)
    for k, row in enumerate(rows):
        if not isinstance(row[image], Image.Image):
            kind = type(row[image]).__name__
            raise ValueError(f"row {k} of the column {image} holds no image ({kind})")
        pixels[k] = as_square(row[image], side, channels)
    return Images(pixels, torch.tensor(rows[label]))


def _originals(rows: Any, image: str) -> Iterator[np.ndarray]:
    """A sample of the images before they are resized."""
    for k in evenly_spaced(len(rows), SAMPLE).tolist():
        yield np.array(rows[k][image])
