"""Data sets by name: pictures and labels in three parts, ready for training."""

from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F

from .folder import read_folder, read_whole
from .images import Images, Splits, stratified


def open_data(spec: str, side: int, channels: int, seed: int = 0) -> Splits:
    """The data set of this name, or of the folder at this path, as squares of `side` pixels.

    Raises a ValueError that offers the nearest names when there is neither.
    """
    if spec in SETS:
        return SETS[spec](side, channels, seed)
    return read_folder(Path(resolved(spec)), side, channels, seed)


def open_test(spec: str, side: int, channels: int, classes: tuple[str, ...]) -> Images:
    """Pictures to be judged by a network that has been trained on these classes.

    Of a named set, its test part; of a folder, its `test/` if there is one, else all of it.
    """
    if spec in SETS:
        splits = SETS[spec](side, channels, 0)
        found, images = splits.classes, splits.test
    else:
        found, images = read_whole(Path(resolved(spec)), side, channels)
    if unknown := set(found) - set(classes):
        raise ValueError(
            f"{spec} has the class {min(unknown)!r}, which the network was not trained on; "
            f"it knows {', '.join(classes)}"
        )
    order = torch.tensor([classes.index(name) for name in found])
    return replace(images, labels=order[images.labels])


def digits(side: int, channels: int, seed: int = 0) -> Splits:
    """The 1,797 handwritten digits that come with scikit-learn (UCI, test part), ink bright.

    They are 8x8 pixels of 17 greys. As in MNIST's 32x32 form, the digit fills 28/32 of the side and
    the rest is margin.
    """
    values, targets = load_digits(return_X_y=True)
    labels = torch.as_tensor(targets).long()
    small = torch.as_tensor(values).float().view(-1, 1, 8, 8) * (255 / 16)
    inner = side * 28 // 32
    before = (side - inner) // 2
    after = side - inner - before
    large = F.interpolate(small, size=(inner, inner), mode="bicubic", align_corners=False)
    pixels = F.pad(large, (before, after, before, after)).round().clamp(0, 255).to(torch.uint8)
    pixels = pixels.expand(-1, channels, -1, -1)
    parts = stratified(labels, seed)
    train, validation, test = (Images(pixels[part], labels[part]) for part in parts)
    return Splits("digits", tuple("0123456789"), train, validation, test)


SETS = {"digits": digits}


def resolved(spec: str) -> str:
    """What `spec` means wherever one stands: the name of a set, or the whole path of a folder.

    Raises a ValueError that offers the nearest names when there is neither.
    """
    path = Path(spec).expanduser()
    if spec in SETS or path.is_dir():
        return spec if spec in SETS else str(path.resolve())
    if path.exists():
        raise ValueError(f"{spec} is a file; data is a folder that holds a folder for each class")
    near = get_close_matches(spec, SETS, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there is {', '.join(SETS)}"
    raise ValueError(f"no data set and no folder is called {spec!r}; {hint}")
