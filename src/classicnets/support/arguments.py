"""The arguments of a network's builder, which each package spells in its own way."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

SIZES = ("classes", "channels")
SPELLINGS = {"num_classes": "classes", "in_chans": "channels", "in_channels": "channels"}
PRETRAINED = ("pretrained", "weights", "checkpoint_path")


def as_ours(
    name: str, args: Sequence[Any], options: Mapping[str, Any], takes: Sequence[str] = SIZES
) -> dict[str, Any]:
    """The arguments of a call of this package's builder `name`, in our spelling.

    Raises ValueError for an argument that it does not take, one given twice, and fewer than one
    class or channel.

    >>> as_ours("resnet50", [], {"num_classes": 10})
    {'classes': 10}
    """
    legal = f"{name} takes {', '.join(takes[:-1])} and {takes[-1]}"
    if len(args) > len(takes):
        raise ValueError(f"{legal}, not {len(args)} values")
    found: dict[str, Any] = {}
    for word, value in (*zip(takes, args, strict=False), *options.items()):
        what = SPELLINGS.get(word, word)
        if what not in takes:
            raise ValueError(f"{legal}, not {word}{_hint(word)}")
        if what in found:
            raise ValueError(f"{name} is given {what} twice: {found[what]!r} and {value!r}")
        if what in SIZES and (type(value) is not int or value < 1):
            raise ValueError(f"{what} must be at least 1, not {value!r}")
        found[what] = value
    return found


def as_theirs(sizes: Mapping[str, int], takes: Collection[str]) -> dict[str, int]:
    """Classes and channels as a third-party builder spells them, without what it does not take.

    >>> as_theirs({"classes": 10, "channels": 3}, ["num_classes", "width"])
    {'num_classes': 10}
    """
    found = {}
    for what, number in sizes.items():
        words = [what, *(word for word, ours in SPELLINGS.items() if ours == what)]
        if word := next((word for word in words if word in takes), ""):
            found[word] = number
    return found


def _hint(word: str) -> str:
    if word not in PRETRAINED:
        return ""
    return (
        "; no pretrained weights come with this package: train the network, as in "
        'train("resnet20", "photos"), and load what it has learnt, as in load("runs/photos")'
    )
