"""What a data set is once it has been read: pictures, labels, and three disjoint parts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from .crops import centre_boxes
from .decode import read_images
from .resample import resample
from .transfer import to_device

VALIDATION, TEST = 0.1, 0.2  # the shares of what is split off; the rest is for training
SAMPLE = 200  # pictures that speak for all where all would take too long


@dataclass(frozen=True)
class Images:
    """Pictures of one size, kept as bytes, with a label each.

    Those that are `mapped` from a file stay there; the others move to the device with the labels.
    """

    pixels: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"]
    mapped: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, indices: Int64[Tensor, " m"]) -> UInt8[Tensor, "m c h w"]:
        return self.pixels[indices]

    @property
    def channels(self) -> int:
        return self.pixels.shape[1]

    @property
    def sizes(self) -> Int64[Tensor, "n 2"]:
        """Height and width of each picture."""
        return torch.tensor([self.pixels.shape[2:]]).expand(len(self), 2)

    def part(self, indices: Int64[Tensor, " m"]) -> "Images":
        return replace(self, pixels=self.pixels[indices], labels=self.labels[indices])

    def to(self, device: torch.device) -> "Images":
        pixels = self.pixels if self.mapped else self.pixels.to(device)
        return replace(self, pixels=pixels, labels=self.labels.to(device))

    def cut(
        self, indices: Int64[Tensor, " m"], windows: Float32[Tensor, "m 4"], side: int
    ) -> UInt8[Tensor, "m c side side"]:
        """These windows of these pictures, each brought to `side`, on the device of the labels.

        An exact copy where the window has that size and whole-number corners.
        """
        h, w = self.pixels.shape[2:]
        indices = to_device(indices, self.pixels.device)
        device = self.labels.device
        if side == h == w and (windows == windows.new_tensor([0, 0, h, w])).all():
            return to_device(self.pixels.index_select(0, indices), device)
        corners = windows[:, :2]
        if (windows[:, 2:] == side).all() and (corners == corners.round()).all():
            return to_device(self._copied(indices, corners.long(), side), device)
        return resample(to_device(self.pixels[indices], device), windows, side)

    def _copied(self, indices: Tensor, corners: Tensor, side: int) -> Tensor:
        h, w = self.pixels.shape[2:]
        pixels = self.pixels
        sticking_out = torch.cat([-corners, corners + side - torch.tensor([h, w])])
        pad = max(0, int(sticking_out.max())) if len(indices) else 0
        if pad:
            pixels = F.pad(pixels[indices], (pad,) * 4)
            indices = torch.arange(len(indices), device=pixels.device)
        top, left = to_device(corners + pad, pixels.device).unbind(1)
        return pixels.unfold(2, side, 1).unfold(3, side, 1)[indices, :, top, left]


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Pictures in files, of any size, decoded when asked for; for more than memory holds.

    `sizes` are height and width of each as it is shown. Batches arrive on the labels' device.
    """

    paths: list[str]
    labels: Int64[Tensor, " n"]
    sizes: Int64[Tensor, "n 2"]
    channels: int

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, indices: Int64[Tensor, " m"]) -> "ImageFiles":
        paths = [self.paths[int(i)] for i in indices.tolist()]
        return ImageFiles(paths, self.labels[indices], self.sizes[indices], self.channels)

    def to(self, device: torch.device) -> "ImageFiles":
        return replace(self, labels=self.labels.to(device))

    def cut(
        self, indices: Int64[Tensor, " m"], windows: Float32[Tensor, "m 4"], side: int
    ) -> UInt8[Tensor, "m c side side"]:
        """As `Images.cut`. Raises a ValueError that names the file that cannot be read."""
        paths = [self.paths[int(i)] for i in indices.tolist()]
        x, reasons = read_images(paths, side, self.channels, windows.tolist())
        if reasons:
            raise ValueError(reasons[min(reasons)])
        return to_device(x, self.labels.device)


@dataclass(frozen=True)
class Splits:
    """A data set: its name, its classes in order, and its three parts.

    `skipped` names the files that could not be read, each with the reason, and `duplicates` those
    that are the same picture in two parts. `digest` stands for what was read: of files their names,
    sizes and classes, of others the numbers in them. `origin` is the name of the set that has been
    packed, where `name` does not say it. Raises a ValueError when there are not as many labels as
    pictures, or one is of none of the classes.
    """

    name: str
    classes: tuple[str, ...]
    train: Images | ImageFiles
    validation: Images | ImageFiles
    test: Images | ImageFiles
    skipped: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()
    digest: str = ""
    origin: str = ""

    def __post_init__(self) -> None:
        self.require(0)

    @property
    def channels(self) -> int:
        return self.train.channels

    @property
    def grey(self) -> bool:
        """Whether the training pictures have no colours, as far as 200 of them tell.

        Those in files are decoded for it. Raises a ValueError that names one that cannot be read.
        """
        if self.channels == 1:
            return True
        some = spread(len(self.train), SAMPLE)
        if isinstance(self.train, Images):
            x = self.train[some]
        else:
            side = 32  # a mean of greys is grey, so that a JPEG need not be decoded whole
            x = self.train.cut(some, centre_boxes(self.train.sizes[some], side, side), side)
        return bool((x == x[:, :1]).all())

    @property
    def sizes(self) -> tuple[int, int, int]:
        """How many pictures there are for training, validation and test."""
        return len(self.train), len(self.validation), len(self.test)

    def counts(self) -> dict[str, tuple[int, int, int]]:
        """Class -> how many pictures it has for training, validation and test."""
        parts = [
            torch.bincount(part.labels, minlength=len(self.classes)).tolist()
            for part in (self.train, self.validation, self.test)
        ]
        return dict(zip(self.classes, zip(*parts, strict=True), strict=True))

    def require(self, least: int) -> "Splits":
        """These data, if each class has so many pictures in each part; else a ValueError."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        for name, part in parts.items():
            require(f"{self.name}, {name} part,", part, self.classes, least)
        return self


def require(where: str, images: Images | ImageFiles, classes: Sequence[str], least: int) -> None:
    """Raises a ValueError unless each picture has a class and each class so many pictures."""
    labels = images.labels
    count = len(images.pixels if isinstance(images, Images) else images.paths)
    if count != len(labels):
        raise ValueError(f"{where} has {count} pictures and {len(labels)} labels")
    strange = labels[(labels < 0) | (labels >= len(classes))]
    if len(strange):
        raise ValueError(
            f"{where} has the label {int(strange[0])}; there are {len(classes)} classes, from 0 on"
        )
    if not least:
        return
    counts = torch.bincount(labels, minlength=len(classes))
    if counts.min() < least:
        raise ValueError(
            f"class {classes[int(counts.argmin())]!r} in {where} has {counts.min()} pictures that "
            f"can be read; it needs at least {least}"
            + (", one for each of training, validation and test" if least == 3 else "")
        )


def spread(count: int, most: int) -> Int64[Tensor, " m"]:
    """The indices of so many pictures, or of `most` of them, evenly spaced."""
    taken = min(count, most)
    return torch.arange(taken) * count // max(1, taken)


def fingerprint(arrays: Iterable[np.ndarray]) -> str:
    """What stands for these numbers: with one of them it changes."""
    digest = sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def stratified(
    labels: Int64[Tensor, " n"], seed: int, shares: tuple[float | int, ...] = (VALIDATION, TEST)
) -> list[Int64[Tensor, " m"]]:
    """Indices of the remainder and of each share, every class in proportion and in every part.

    A share that is a whole number is that many of each class. scikit-learn's split refuses a share
    with fewer pictures than there are classes, which small folders have; here each class gives at
    least one. A class too small for that is the caller's to refuse.

    >>> [len(part) for part in stratified(torch.tensor([0] * 100 + [1] * 3), seed=0)]
    [71, 11, 21]
    """
    generator = torch.Generator().manual_seed(seed)
    parts: list[list[Tensor]] = [[] for _ in range(len(shares) + 1)]
    for label in labels.unique():
        members = (labels == label).nonzero()[:, 0]
        members = members[torch.randperm(len(members), generator=generator)]
        sizes = [
            share if isinstance(share, int) else max(1, round(share * len(members)))
            for share in shares
        ]
        sizes = [len(members) - sum(sizes), *sizes]
        assert sizes[0] > 0
        for part, chosen in zip(parts, members.split(sizes), strict=True):
            part.append(chosen)
    return [torch.cat(part).sort().values for part in parts]
