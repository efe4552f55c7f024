"""Small published data sets, read whole into memory from the files their authors gave out.

Pictures keep their own size: windows bring them to the network's. Where there is no validation
part, it is drawn from the training pictures, as many of each class.
"""

import gzip
import struct
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from scipy.io import loadmat
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F

from .decode import grey
from .download import Remote, fetch, opening
from .images import Images, Splits, fingerprint, require, stratified

DIGITS = tuple("0123456789")
CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
KUZUSHIJI = tuple("おきすつなはまやれを")


@dataclass(frozen=True)
class Idx:
    """A set in MNIST's form: its classes, where its four files lie, and their MD5 sums."""

    classes: tuple[str, ...]
    mirrors: tuple[str, ...]
    sums: tuple[str, str, str, str]


IDX_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
IDX_SETS = {
    "mnist": Idx(
        DIGITS,
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        (
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
    ),
    "fashion-mnist": Idx(
        CLOTHES,
        (
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        (
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
    ),
    "kmnist": Idx(
        KUZUSHIJI,
        ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
        (
            "bdb82020997e1d708af4cf47b453dcf7",
            "e144d726b3acfaa3e44228e80efcd344",
            "5c965bf0a639b31b8f53240b1b52f4d7",
            "7320c461ea6c1c855c0b718fb2a4b134",
        ),
    ),
}
CIFAR = ("https://www.cs.toronto.edu/~kriz/",)
CIFAR10 = Remote("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", CIFAR)
CIFAR100 = Remote("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8", CIFAR)
STANFORD = ("http://ufldl.stanford.edu/housenumbers/",)
SVHN = (
    Remote("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373", STANFORD),
    Remote("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3", STANFORD),
)


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
    digest = fingerprint((values, targets))
    return Splits("digits", DIGITS, train, validation, test, digest=digest)


def mnist_like(name: str, side: int, channels: int, seed: int = 0) -> Splits:
    """MNIST or what has its form: 60,000 and 10,000 pictures of 28x28 pixels, ink bright.

    They stand in the middle of 32x32 as LeNet-5 wants them (section II-B). 500 pictures of each
    class are for validation, which leaves 55,000 for training; the paper had no validation part and
    trained on all 60,000.
    """
    held = IDX_SETS[name]
    remotes = (Remote(*named, held.mirrors) for named in zip(IDX_FILES, held.sums, strict=True))
    sides = ((28, 28), ()) * 2  # pictures and labels, for training and for the test
    arrays = [read_idx(fetch(r, name), *of) for r, of in zip(remotes, sides, strict=True)]
    return _with_validation(name, held.classes, arrays, partial(_margin, channels), 500, seed)


def read_idx(path: Path, *sides: int) -> UInt8[Tensor, "..."]:
    """The bytes in an IDX file, packed by gzip: so many of an array with these sides.

    Raises a ValueError when it is something else.
    """
    with opening(path), gzip.open(path) as file:
        zero, kind, axes = struct.unpack(">HBB", file.read(4))
        if (zero, kind) != (0, 8):
            raise ValueError("no IDX array of bytes")
        shape = struct.unpack(f">{axes}I", file.read(4 * axes))
        if shape[1:] != sides:
            raise ValueError(f"an array of {shape}, not of {('n', *sides)}")
        return torch.from_numpy(np.frombuffer(file.read(), np.uint8).copy()).view(shape)


def cifar10(side: int, channels: int, seed: int = 0) -> Splits:
    """CIFAR-10 (Krizhevsky 2009): 32x32 pixels, 45,000, 5,000 and 10,000 pictures."""
    with opening(path := fetch(CIFAR10, "cifar10")):
        files = _unpacked(path)
        classes = tuple(files["batches.meta.txt"].decode().split())
        rows = b"".join(files[f"data_batch_{k}.bin"] for k in range(1, 6))
        arrays = (*_cifar(rows, 1), *_cifar(files["test_batch.bin"], 1))
    return _with_validation("cifar10", classes, arrays, partial(_channelled, channels), 500, seed)


def cifar100(side: int, channels: int, seed: int = 0) -> Splits:
    """CIFAR-100 (Krizhevsky 2009), by the fine labels: 45,000, 5,000 and 10,000 pictures."""
    with opening(path := fetch(CIFAR100, "cifar100")):
        files = _unpacked(path)
        classes = tuple(files["fine_label_names.txt"].decode().split())
        arrays = (*_cifar(files["train.bin"], 2), *_cifar(files["test.bin"], 2))
    return _with_validation("cifar100", classes, arrays, partial(_channelled, channels), 50, seed)


def svhn(side: int, channels: int, seed: int = 0) -> Splits:
    """Street View House Numbers, cropped to 32x32 (Netzer et al. 2011): 73,257 and 26,032 digits.

    A tenth of the training pictures is for validation. A nought is called 10 in the files.
    """
    arrays = []
    for remote in SVHN:
        with opening(path := fetch(remote, "svhn")):
            held = loadmat(path)
            arrays.append(torch.from_numpy(held["X"]).permute(3, 2, 0, 1).contiguous())
            labels = torch.from_numpy(held["y"]).flatten()
            arrays.append(labels.where(labels != 10, 0))
    return _with_validation("svhn", DIGITS, arrays, partial(_channelled, channels), 0.1, seed)


def _with_validation(
    name: str,
    classes: tuple[str, ...],
    arrays: Sequence[Tensor],
    shown: Callable[[Tensor], Tensor],
    share: float | int,
    seed: int,
) -> Splits:
    """Of pictures and labels for training and for the test; `shown` gives them their channels.

    The digest is of what was read, so that it is the same for one channel and for three.
    """
    pixels, labels, test_pixels, test_labels = arrays
    train = Images(shown(pixels), labels.long())
    require(name, train, classes, 1 + share if isinstance(share, int) else 2)
    rest, drawn = stratified(train.labels, seed, (share,))
    test = Images(shown(test_pixels), test_labels.long())
    digest = fingerprint(array.numpy() for array in arrays)
    return Splits(name, classes, train.part(rest), train.part(drawn), test, digest=digest)


def _margin(channels: int, pictures: UInt8[Tensor, "n 28 28"]) -> UInt8[Tensor, "n c 32 32"]:
    return F.pad(pictures, (2, 2, 2, 2))[:, None].expand(-1, channels, -1, -1)


def _channelled(channels: int, pixels: UInt8[Tensor, "n 3 h w"]) -> UInt8[Tensor, "n c h w"]:
    return grey(pixels) if channels == 1 else pixels


def _cifar(held: bytes, labels: int) -> tuple[Tensor, Tensor]:
    """Pictures and labels, from rows of so many labels, the finest last, and a picture."""
    rows = torch.from_numpy(np.frombuffer(held, np.uint8).copy()).view(-1, labels + 3 * 32 * 32)
    return rows[:, labels:].reshape(-1, 3, 32, 32), rows[:, labels - 1]


def _unpacked(path: Path) -> dict[str, bytes]:
    """Name -> contents of the files in an archive, whatever folder they are in there."""
    with tarfile.open(path, "r:gz") as archive:
        return {
            Path(member.name).name: file.read()
            for member in archive
            if (file := archive.extractfile(member))
        }


PUBLISHED: dict[str, Callable[[int, int, int], Splits]] = {
    "digits": digits,
    **{name: partial(mnist_like, name) for name in IDX_SETS},
    "cifar10": cifar10,
    "cifar100": cifar100,
    "svhn": svhn,
}
