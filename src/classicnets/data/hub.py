"""Image data sets of the Hugging Face hub, by way of the package `datasets` if it is installed."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np
import torch

from .decode import as_square
from .images import (
    SAMPLE,
    TEST,
    VALIDATION,
    Images,
    Splits,
    fingerprint,
    require,
    spread,
    stratified,
)
from .listing import IN_MEMORY

PARTS = {"validation": ("validation", "valid", "val", "dev"), "test": ("test",)}


def read_hub(name: str, side: int, channels: int, seed: int = 0) -> Splits:
    """The data set of this name as squares of `side` pixels; what it has not is split off.

    Raises a ValueError when `datasets` cannot be imported, there is no such set, or it has no
    column of pictures, no column of class labels, more pictures than memory should hold, or too few
    of a class.
    """
    try:
        load = import_module("datasets").load_dataset
    except ImportError as error:
        raise ValueError(
            f"hf:{name} needs the package datasets (pip install datasets): {error}"
        ) from None
    try:
        held = load(name)
    except Exception as error:  # whatever a hub, a network or a set may do
        reason = str(error).partition("\n")[0]
        raise ValueError(f"hf:{name} cannot be loaded: {reason}") from error
    if "train" not in held:
        raise ValueError(f"hf:{name} has no split train; it has {', '.join(held)}")
    picture, label, classes = _columns(name, held["train"].features)
    if (size := sum(map(len, held.values())) * channels * side**2) > IN_MEMORY:
        raise ValueError(
            f"hf:{name} would need {size / 2**30:.1f} GiB in memory; "
            f"at most {IN_MEMORY / 2**30:.0f} GiB are read"
        )
    rows = {"train": held["train"]}
    for part, names in PARTS.items():
        if found := [called for called in names if called in held]:
            rows[part] = held[found[0]]
    parts = {part: _read(of, picture, label, side, channels) for part, of in rows.items()}
    digest = fingerprint(
        array
        for part, of in rows.items()
        for array in (parts[part].labels.numpy(), *_stored(of, picture))
    )
    missing = [part for part in PARTS if part not in parts]
    require(f"hf:{name}", parts["train"], classes, 1 + len(missing))
    if missing:
        whole = parts["train"]
        shares = tuple({"validation": VALIDATION, "test": TEST}[part] for part in missing)
        drawn = stratified(whole.labels, seed, shares)
        parts |= {k: whole.part(i) for k, i in zip(("train", *missing), drawn, strict=True)}
    return Splits(
        f"hf:{name}",
        classes,
        parts["train"],
        parts["validation"],
        parts["test"],
        digest=digest,
        origin=name.rpartition("/")[2],
    ).require(1)


def _columns(name: str, features: Any) -> tuple[str, str, tuple[str, ...]]:
    """The names of the columns of pictures and of labels, and the classes."""
    kinds = {column: type(kind).__name__ for column, kind in features.items()}
    pictures = [column for column, kind in kinds.items() if kind == "Image"]
    labels = [column for column, kind in kinds.items() if kind == "ClassLabel"]
    if not pictures or not labels:
        raise ValueError(
            f"hf:{name} has no column of {'class labels' if pictures else 'pictures'}; "
            f"it has {', '.join(f'{column} ({kind})' for column, kind in kinds.items())}"
        )
    label = next((column for column in labels if column in ("label", "fine_label")), labels[0])
    return pictures[0], label, tuple(features[label].names)


def _read(rows: Any, picture: str, label: str, side: int, channels: int) -> Images:
    pixels = torch.empty(len(rows), channels, side, side, dtype=torch.uint8)
    for k, row in enumerate(rows):
        pixels[k] = as_square(row[picture], side, channels)
    return Images(pixels, torch.tensor(rows[label]))


def _stored(rows: Any, picture: str) -> Iterator[np.ndarray]:
    """Some of the pictures as they were before they were brought to a size."""
    for k in spread(len(rows), SAMPLE).tolist():
        yield np.array(rows[k][picture])
