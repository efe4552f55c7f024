"""Splits that a data set lacks, taken from its training images class by class."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

from .images import ImageFiles, Images, Indices, because, require_labels

VALIDATION, TEST = 0.1, 0.2  # fractions split off from the training images
SIZES: Mapping[str, float | int] = {"validation": VALIDATION, "test": TEST}  # of those that lack


def split_off(
    where: str,
    train: Images | ImageFiles,
    classes: Sequence[str],
    sizes: Mapping[str, float | int],
    seed: int,
    missing: bool = False,
) -> dict[str, Indices]:
    """The indices in `train` of the splits named in `sizes`, and of what is left, as "train".

    Raises a ValueError when a class has too few images for all of them; with `missing` it may be
    missing from a split whose size is a fraction.
    """
    least = sum(size if isinstance(size, int) else not missing for size in sizes.values())
    require_labels(where, train, classes, 1 + least)
    indices = stratified_split(train.labels, seed, tuple(sizes.values()))
    return dict(zip(("train", *sizes), indices, strict=True))


def completed(
    where: str,
    splits: Mapping[str, Images | ImageFiles],
    classes: Sequence[str],
    sizes: Mapping[str, float | int],
    seed: int,
    missing: bool = False,
    skipped: Sequence[str] = (),
) -> dict[str, Images | ImageFiles]:
    """The splits, with those named in `sizes` that they lack; see `split_off`.

    `skipped` says which images are not there, for which there may be too few.
    """
    lacking = {name: size for name, size in sizes.items() if name not in splits}
    if not lacking:
        return dict(splits)
    where, train = f"{where}, train split," if len(splits) > 1 else where, splits["train"]
    try:
        left = split_off(where, train, classes, lacking, seed, missing)
    except ValueError as error:
        raise ValueError(f"{error}{because(skipped)}") from None
    return {**splits, **{name: train.subset(indices) for name, indices in left.items()}}


def stratified_split(
    labels: Int64[Tensor, " n"], seed: int, sizes: tuple[float | int, ...] = (VALIDATION, TEST)
) -> list[Int64[Tensor, " m"]]:
    """Splits indices class by class: first what is left, then one list for each of `sizes`.

    A float is a fraction of each class, an int a number of images of each class. scikit-learn's
    split refuses splits smaller than the number of classes, which small folders have; here each
    class gives at least one image, while it has one left for the first list.

    >>> [len(part) for part in stratified_split(torch.tensor([0] * 100 + [1] * 3), seed=0)]
    [71, 11, 21]
    """
    generator = torch.Generator().manual_seed(seed)
    splits: list[list[Tensor]] = [[] for _ in range(len(sizes) + 1)]
    counts = torch.bincount(labels)
    for members in labels.argsort(stable=True).split(counts[counts > 0].tolist()):
        members = members[torch.randperm(len(members), generator=generator)]
        left, taken = len(members), []
        for size in sizes:
            wanted = size if isinstance(size, int) else max(1, round(size * len(members)))
            taken.append(min(wanted, left - 1))
            left -= taken[-1]
        for split, chosen in zip(splits, members.split([left, *taken]), strict=True):
            split.append(chosen)
    return [torch.cat(split).sort().values for split in splits]
