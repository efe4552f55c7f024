"""A data set in memory or on disk: `Images` and `ImageFiles`, and its three `Splits`."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from classicnets.support.errors import first_few, option
from classicnets.support.tables import html_table, html_text

from .crops import Boxes, Sizes, centre_boxes
from .decode import read_images
from .members import Members
from .resample import resample
from .transfer import to_device

if TYPE_CHECKING:
    from .index import FileFacts

Indices = Int64[Tensor, " n"]

SHOWN = 10  # classes that a message names
INVISIBLE: dict[int, str | None] = {0x200B: None, 0x2060: None, 0xFEFF: None}  # of no width
SAMPLE = 200  # images that are looked at where all would take too long


@dataclass(frozen=True)
class Images:
    """Images of one size in memory, as bytes, with their labels, and their files if they have any.

    Grey images may also be (n, h, w). With `memory_mapped` the pixels stay in their file when the
    labels move to a device. `facts` are the sizes and times of the files when they were listed.
    Raises a ValueError for another type or shape, or for other numbers of images and labels.
    """

    pixels: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"]
    memory_mapped: bool = False
    paths: list[str] | None = None
    facts: "FileFacts | None" = None

    def __post_init__(self) -> None:
        if isinstance(self.pixels, Tensor) and self.pixels.ndim == 3:
            object.__setattr__(self, "pixels", self.pixels[:, None])
        _require("pixels", self.pixels, torch.uint8, 4, "(n, c, h, w) or (n, h, w)")
        _require("labels", self.labels, torch.int64, 1, "(n,)")
        _require_as_many(len(self.pixels), self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, indices: Indices) -> UInt8[Tensor, "n c h w"]:
        return self.pixels[indices]

    @property
    def channels(self) -> int:
        return self.pixels.shape[1]

    @property
    def sizes(self) -> Sizes:
        """Height and width of each image."""
        return torch.tensor([self.pixels.shape[2:]]).expand(len(self), 2)

    def subset(self, indices: Indices) -> "Images":
        paths = self.paths and [self.paths[i] for i in indices.tolist()]
        labels = self.labels[indices]
        facts = None if self.facts is None else self.facts[indices.cpu().numpy()]
        return replace(self, pixels=self.pixels[indices], labels=labels, paths=paths, facts=facts)

    def to(self, device: torch.device) -> "Images":
        pixels = self.pixels if self.memory_mapped else self.pixels.to(device)
        return replace(self, pixels=pixels, labels=self.labels.to(device))

    def crop(self, indices: Indices, boxes: Boxes, side: int) -> UInt8[Tensor, "n c side side"]:
        """One crop of each of these images, resized to `side`, on the device of the labels.

        Pixels are copied exactly where the box has that size and whole-number corners.
        """
        h, w = self.pixels.shape[2:]
        indices = to_device(indices, self.pixels.device)
        device = self.labels.device
        if side == h == w and (boxes == boxes.new_tensor([0, 0, h, w])).all():
            return to_device(self.pixels.index_select(0, indices), device)
        corners = boxes[:, :2]
        if (boxes[:, 2:] == side).all() and (corners == corners.round()).all():
            return to_device(self._slice(indices, corners.long(), side), device)
        return resample(to_device(self.pixels[indices], device), boxes, side)

    def _slice(self, indices: Tensor, corners: Tensor, side: int) -> Tensor:
        h, w = self.pixels.shape[2:]
        pixels = self.pixels
        overhang = torch.cat([-corners, corners + side - torch.tensor([h, w])])
        pad = max(0, int(overhang.max())) if len(indices) else 0
        if pad:
            pixels = F.pad(pixels[indices], (pad,) * 4)
            indices = torch.arange(len(indices), device=pixels.device)
        top, left = to_device(corners + pad, pixels.device).unbind(1)
        return pixels.unfold(2, side, 1).unfold(3, side, 1)[indices, :, top, left]


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Image files of any size, decoded on demand, for data sets that do not fit into memory.

    `paths` may also be images in tar files. `sizes` are height and width after EXIF rotation,
    `facts` as in `Images`. Batches arrive on the labels' device. Raises a ValueError for labels or
    sizes of another type, or other numbers of them.
    """

    paths: list[str] | Members
    labels: Int64[Tensor, " n"]
    sizes: Sizes
    channels: int
    facts: "FileFacts | None" = None

    def __post_init__(self) -> None:
        _require("labels", self.labels, torch.int64, 1, "(n,)")
        _require("sizes", self.sizes, torch.int64, 2, "(n, 2)")
        _require_as_many(len(self.paths), self.labels)
        _require_as_many(len(self.sizes), self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Indices) -> "ImageFiles":
        if isinstance(self.paths, Members):
            paths = self.paths.take(indices)
        else:
            paths = [self.paths[i] for i in indices.tolist()]
        labels, sizes = self.labels[indices], self.sizes[indices]
        facts = None if self.facts is None else self.facts[indices.cpu().numpy()]
        return ImageFiles(paths, labels, sizes, self.channels, facts)

    def sample(self, limit: int) -> Indices:
        """The indices of at most `limit` images, evenly spaced; of shards on the web, of the first
        ones, which are enough.
        """
        count = len(self)
        if isinstance(self.paths, Members) and self.paths.on_web:
            archives = self.paths.rows[:, 0]
            count = min(count, max(limit, int((archives == archives[0]).sum())))
        return evenly_spaced(count, limit)

    def to(self, device: torch.device) -> "ImageFiles":
        return replace(self, labels=self.labels.to(device))

    def crop(self, indices: Indices, boxes: Boxes, side: int) -> UInt8[Tensor, "n c side side"]:
        """As `Images.crop`. Raises a ValueError that names a file that cannot be read."""
        paths = [self.paths[int(i)] for i in indices.tolist()]
        x, reasons = read_images(paths, side, self.channels, boxes.tolist())
        if reasons:
            raise ValueError(reasons[min(reasons)])
        return to_device(x, self.labels.device)


@dataclass(frozen=True, repr=False)
class Splits:
    """A data set: its name, its classes in label order, and its three splits.

    `skipped` lists the files that could not be read, with the reason, `left_out` counts and names
    what was not taken for an image, and `duplicates` lists the files that appear in two splits or
    under two labels. `digest` is a hash of the data: of files their names, sizes and
    classes, otherwise of the values. `origin` is the name of the data set that was packed, where
    `name` is a path. `original` is the median height and width of image files before they were
    resized, where known. Raises a ValueError for a split without images, a label out of range,
    splits of different channels, and classes that are not different names.
    """

    name: str
    classes: tuple[str, ...]
    train: Images | ImageFiles
    validation: Images | ImageFiles
    test: Images | ImageFiles
    skipped: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()
    digest: str = ""
    origin: str = ""
    original: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        parts = {part: getattr(self, part) for part in ("train", "validation", "test")}
        for part, images in parts.items():
            if not isinstance(images, Images | ImageFiles):
                raise ValueError(f"{part} must be Images or ImageFiles, not {_describe(images)}")
            if not len(images):
                raise ValueError(
                    f"{self.name}, {part} split, has no images; training, validation and test "
                    "each need some"
                )
        if len(set(channels := [images.channels for images in parts.values()])) > 1:
            raise ValueError(
                f"the splits of {self.name} must have the same channels, not {channels}"
            )
        names = isinstance(self.classes, tuple | list) and [*map(type, self.classes)]
        if not names or set(names) != {str} or len(set(self.classes)) < len(names):
            raise ValueError(f"classes must be a tuple of different names, not {self.classes!r}")
        require_distinct(self.name, self.classes)
        object.__setattr__(self, "classes", tuple(self.classes))
        self.require_labels(0)

    def __repr__(self) -> str:
        train, validation, test = self.sizes
        return (
            f"{self.name}: {len(self.classes)} classes; {train} images for training, "
            f"{validation} for validation, {test} for test"
        )

    def _repr_html_(self) -> str:
        heads = ("class", "training", "validation", "test")
        rows = [(name, *map(str, counts)) for name, counts in self.counts().items()]
        return html_text(repr(self), "p") + html_table([heads, *rows[:1000]], heads[:1])

    @property
    def channels(self) -> int:
        return self.train.channels

    @cached_property
    def grey(self) -> bool:
        """Whether the training images have no colour, judging by up to 200 of them.

        Image files are decoded for this. Raises a ValueError that names one that cannot be read.
        """
        if self.channels == 1:
            return True
        if isinstance(self.train, Images):
            x = self.train[evenly_spaced(len(self.train), SAMPLE)]
        else:
            sample = self.train.sample(SAMPLE)
            side = 32  # small, so that a JPEG is decoded at a reduced scale; greys average to grey
            boxes = centre_boxes(self.train.sizes[sample], side, side)
            x = self.train.crop(sample, boxes, side)
        return bool((x == x[:, :1]).all())

    @property
    def sizes(self) -> tuple[int, int, int]:
        """The number of training, validation and test images."""
        return len(self.train), len(self.validation), len(self.test)

    def to(self, device: torch.device) -> "Splits":
        parts = {name: getattr(self, name).to(device) for name in ("train", "validation", "test")}
        return replace(self, **parts)

    def counts(self) -> dict[str, tuple[int, int, int]]:
        """Class -> its number of training, validation and test images."""
        splits = [
            torch.bincount(images.labels, minlength=len(self.classes)).tolist()
            for images in (self.train, self.validation, self.test)
        ]
        return dict(zip(self.classes, zip(*splits, strict=True), strict=True))

    def require_labels(self, per_class: int, missing: bool = False) -> "Splits":
        """Returns itself, or raises the ValueError of `require_labels` for one of its splits.

        With `missing`, validation and test images may lack classes.
        """
        for name in ("train", "validation", "test"):
            where = f"{self.name}, {name} split,"
            least = 0 if missing and name != "train" else per_class
            try:
                require_labels(where, getattr(self, name), self.classes, least)
            except ValueError as error:
                help_ = f"; add some, or allow missing classes ({option('allow_missing_classes')})"
                help_ *= name != "train"
                raise ValueError(f"{error}{help_ * bool(least)}{because(self.skipped)}") from None
        return self


def _require(what: str, values: object, dtype: torch.dtype, ndim: int, shape: str) -> None:
    """Raises a ValueError for what is not a tensor of this type and shape."""
    found = tuple(values.shape) if isinstance(values, Tensor) and values.dtype is dtype else ()
    if len(found) == ndim and 0 not in found[1:]:
        return
    kind, hint = str(dtype).removeprefix("torch."), ""
    if isinstance(values, np.ndarray):
        hint = "; torch.from_numpy converts it"
    elif isinstance(values, Tensor) and values.is_floating_point() and dtype is torch.uint8:
        hint = "; multiply values of 0 to 1 by 255, and convert them by .round().to(torch.uint8)"
    elif isinstance(values, Tensor) and values.dtype is not dtype:
        hint = f"; convert them by .to(torch.{kind})"
    raise ValueError(f"{what} must be a tensor of {kind}, {shape}, not {_describe(values)}{hint}")


def _describe(values: object) -> str:
    """What it is, in words: `float32 (9, 3, 8, 8)`, or the name of its type."""
    if isinstance(values, Tensor):
        return f"{str(values.dtype).removeprefix('torch.')} {tuple(values.shape)}"
    return f"{type(values).__module__}.{type(values).__qualname__}".removeprefix("builtins.")


def _require_as_many(count: int, labels: Tensor) -> None:
    if count != len(labels):
        raise ValueError(f"there are {count} images and {len(labels)} labels; each needs one")


def require_labels(
    where: str, images: Images | ImageFiles, classes: Sequence[str], per_class: int
) -> None:
    """Raises a ValueError unless each image has a legal label, and each class enough images.

    It names all classes that have not, up to ten.
    """
    labels = images.labels
    illegal = labels[(labels < 0) | (labels >= len(classes))]
    if len(illegal):
        raise ValueError(
            f"{where} has the label {int(illegal[0])}; labels must be 0 to {len(classes) - 1}"
        )
    if not per_class:
        return
    counts = torch.bincount(labels, minlength=len(classes)).tolist()
    if few := [k for k, count in enumerate(counts) if count < per_class]:
        names = first_few([repr(classes[k]) for k in few], SHOWN)
        numbers = first_few([str(counts[k]) for k in few], SHOWN)
        noun, have, need = (
            ("class", "has", "it needs") if len(few) == 1 else ("classes", "have", "each needs")
        )
        raise ValueError(
            f"{noun} {names} in {where} {have} too few readable images: {numbers}, but {need} "
            f"at least {per_class}"
            + (", one for each of training, validation and test" if per_class == 3 else "")
        )


def require_distinct(where: str, classes: Sequence[str]) -> None:
    """Raises a ValueError for two names that nobody can tell apart, as of a composed and a
    decomposed accent, or with a character of no width.
    """
    seen: dict[str, str] = {}
    for name in classes:
        shown = unicodedata.normalize("NFC", name.translate(INVISIBLE)).strip()
        if (twin := seen.setdefault(shown, name)) != name:
            raise ValueError(
                f"{where} has the classes {twin!a} and {name!a}, which look the same; "
                "give them one name"
            )


def because(skipped: Sequence[str]) -> str:
    """How a message about too few images continues where files were skipped."""
    return f"; {len(skipped)} skipped: {first_few(skipped)}" if skipped else ""


def evenly_spaced(count: int, limit: int) -> Indices:
    """The indices of `count` images, or of at most `limit` of them, evenly spaced."""
    taken = min(count, limit)
    return torch.arange(taken) * count // max(1, taken)


def fingerprint(arrays: Iterable[np.ndarray]) -> str:
    """A hash of the types, shapes and values of these arrays."""
    digest = sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
