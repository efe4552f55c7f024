"""What a data set is once it has been read: pictures, labels, and three disjoint parts."""

from dataclasses import dataclass

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

VALIDATION, TEST = 0.1, 0.2  # the shares of what is split off; the rest is for training


@dataclass(frozen=True)
class Images:
    """Pictures of one size, kept as bytes, with a label each."""

    pixels: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, indices: Int64[Tensor, " m"]) -> UInt8[Tensor, "m c h w"]:
        return self.pixels[indices]

    def to(self, device: torch.device) -> "Images":
        return Images(self.pixels.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Splits:
    """A data set: its name, its classes in order, and its three parts.

    `skipped` names the files that could not be read, each with the reason. `digest` stands for the
    files of a folder: it differs as soon as one of their names or sizes does.
    """

    name: str
    classes: tuple[str, ...]
    train: Images
    validation: Images
    test: Images
    skipped: tuple[str, ...] = ()
    digest: str = ""

    @property
    def channels(self) -> int:
        return self.train.pixels.shape[1]

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


def stratified(
    labels: Int64[Tensor, " n"], seed: int, shares: tuple[float, ...] = (VALIDATION, TEST)
) -> list[Int64[Tensor, " m"]]:
    """Indices of the remainder and of each share, every class in proportion and in every part.

    scikit-learn's split refuses a share with fewer pictures than there are classes, which small
    folders have; here each class gives at least one. A class too small for that is the caller's
    to refuse.

    >>> [len(part) for part in stratified(torch.tensor([0] * 100 + [1] * 3), seed=0)]
    [71, 11, 21]
    """
    generator = torch.Generator().manual_seed(seed)
    parts: list[list[Tensor]] = [[] for _ in range(len(shares) + 1)]
    for label in labels.unique():
        members = (labels == label).nonzero()[:, 0]
        members = members[torch.randperm(len(members), generator=generator)]
        sizes = [max(1, round(share * len(members))) for share in shares]
        sizes = [len(members) - sum(sizes), *sizes]
        assert sizes[0] > 0
        for part, chosen in zip(parts, members.split(sizes), strict=True):
            part.append(chosen)
    return [torch.cat(part).sort().values for part in parts]
