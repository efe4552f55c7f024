"""Small published data sets, read into memory from the files that their authors published.

Images keep their own size; crop boxes bring them to the network's. The validation split is split
off from the training images, stratified by class.
"""

import gzip
import math
import struct
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional as F

from .decode import grey
from .download import UNPACKED, Remote, damage_reported, fetch, gunzip
from .images import Images, Splits, fingerprint
from .matlab import read_mat
from .splitting import split_off, stratified_split

DIGITS = tuple("0123456789")
CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
KUZUSHIJI = tuple("おきすつなはまやれを")


@dataclass(frozen=True)
class Idx:
    """A data set in MNIST's format: its classes, where its four files are, and their MD5 sums.

    `unpacked` are the sums of what is in the files.
    """

    classes: tuple[str, ...]
    mirrors: tuple[str, ...]
    sums: tuple[str, ...]
    unpacked: tuple[str, ...] = ("",) * 4


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
        (  # many copies were compressed anew
            "6bbc9ace898e44ae57da46a324031adb",
            "a25bea736e30d166cdddb491f175f624",
            "2646ac647ad5339dbf082846283269ea",
            "27ae3e4e09519cfbb04c329615203637",
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
    """The 1,797 handwritten digits that come with scikit-learn (UCI, test split), bright on black.

    They are 8x8 pixels of 17 greys. As in MNIST's 32x32 form, the digit fills 28/32 of the side and
    the rest is margin.
    """
    values, targets = _read_digits()
    labels = torch.as_tensor(targets)
    small = torch.as_tensor(values).float().view(-1, 1, 8, 8) * (255 / 16)
    inner = side * 28 // 32
    before = (side - inner) // 2
    after = side - inner - before
    large = F.interpolate(small, size=(inner, inner), mode="bicubic", align_corners=False)
    pixels = F.pad(large, (before, after, before, after)).round().clamp(0, 255).to(torch.uint8)
    pixels = pixels.expand(-1, channels, -1, -1)
    train, validation, test = (Images(pixels[i], labels[i]) for i in stratified_split(labels, seed))
    digest = fingerprint((values, targets))
    return Splits("digits", DIGITS, train, validation, test, digest=digest)


def _read_digits() -> tuple[np.ndarray, np.ndarray]:
    """Pixels and digits from scikit-learn's file; to import the package for it takes a second."""
    spec = find_spec("sklearn")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    file = Path(spec.submodule_search_locations[0], "datasets/data/digits.csv.gz")
    rows = np.loadtxt(file, delimiter=",")
    return rows[:, :-1], rows[:, -1].astype(np.int64)


def mnist_like(name: str, side: int, channels: int, seed: int = 0) -> Splits:
    """MNIST or a set in its format: 60,000 and 10,000 images of 28x28 pixels, bright on black.

    They are centred in 32x32, as LeNet-5 reads them (section II-B). 500 images of each class are
    for validation, which leaves 55,000 for training; the paper had no validation split and trained
    on all 60,000.
    """
    idx = IDX_SETS[name]
    shapes = ((28, 28), ()) * 2  # images and labels, for training and for the test
    arrays = [
        read_idx(fetch(Remote(file, md5, idx.mirrors, unpacked), name), *shape)
        for file, md5, unpacked, shape in zip(
            IDX_FILES, idx.sums, idx.unpacked, shapes, strict=True
        )
    ]
    return _with_validation(name, idx.classes, arrays, partial(_pad, channels), 500, seed)


def read_idx(path: Path, *shape: int) -> UInt8[Tensor, "..."]:
    """The bytes of a gzipped IDX file, as an array of any number of rows of this shape.

    Raises a ValueError when it is something else.
    """
    with damage_reported(path), gzip.open(path) as file:
        zero, kind, axes = struct.unpack(">HBB", file.read(4))
        if (zero, kind) != (0, 8):
            raise ValueError("not an IDX array of bytes")
        found = struct.unpack(f">{axes}I", file.read(4 * axes))
        if found[1:] != shape:
            raise ValueError(f"an array of {found}, not of {('n', *shape)}")
        if (size := math.prod(found)) > UNPACKED:
            raise ValueError(f"an array of {size:,} bytes; at most {UNPACKED:,} are read")
        content = file.read(size)
        if len(content) < size or file.read(1):
            raise ValueError(f"not the {size:,} bytes that an array of {found} has")
        return torch.from_numpy(np.frombuffer(content, np.uint8).copy()).view(found)


def cifar10(side: int, channels: int, seed: int = 0) -> Splits:
    """CIFAR-10 (Krizhevsky 2009): 32x32 pixels, 45,000, 5,000 and 10,000 images."""
    with damage_reported(path := fetch(CIFAR10, "cifar10")):
        files = _unpack(path)
        classes = tuple(files["batches.meta.txt"].decode().split())
        rows = b"".join(files[f"data_batch_{k}.bin"] for k in range(1, 6))
        arrays = (*_cifar(rows, 1), *_cifar(files["test_batch.bin"], 1))
    return _with_validation("cifar10", classes, arrays, partial(_convert, channels), 500, seed)


def cifar100(side: int, channels: int, seed: int = 0) -> Splits:
    """CIFAR-100 (Krizhevsky 2009), with the fine labels: 45,000, 5,000 and 10,000 images."""
    with damage_reported(path := fetch(CIFAR100, "cifar100")):
        files = _unpack(path)
        classes = tuple(files["fine_label_names.txt"].decode().split())
        arrays = (*_cifar(files["train.bin"], 2), *_cifar(files["test.bin"], 2))
    return _with_validation("cifar100", classes, arrays, partial(_convert, channels), 50, seed)


def svhn(side: int, channels: int, seed: int = 0) -> Splits:
    """Street View House Numbers, cropped to 32x32 (Netzer et al. 2011): 73,257 and 26,032 digits.

    A tenth of the training images is for validation. The files label the digit 0 as 10.
    """
    arrays = []
    for remote in SVHN:
        with damage_reported(path := fetch(remote, "svhn")):
            pixels, labels = read_mat(path, "X", "y")
            if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[:3] != (32, 32, 3):
                raise ValueError(f"X has {pixels.dtype} {pixels.shape}, not uint8 (32, 32, 3, n)")
            if labels.dtype.kind not in "iu":
                raise ValueError(f"y has {labels.dtype}, not integers")
            arrays.append(torch.from_numpy(pixels).permute(3, 2, 0, 1).contiguous())
            arrays.append(torch.from_numpy(np.where(labels == 10, 0, labels)).flatten())
    return _with_validation("svhn", DIGITS, arrays, partial(_convert, channels), 0.1, seed)


def _with_validation(
    name: str,
    classes: tuple[str, ...],
    arrays: Sequence[Tensor],
    convert: Callable[[Tensor], Tensor],
    size: float | int,
    seed: int,
) -> Splits:
    """Splits of training and test images and labels; `convert` gives pixels their channels.

    The digest is of the arrays as read, so it does not depend on the number of channels.
    """
    pixels, labels, test_pixels, test_labels = arrays
    images = Images(convert(pixels), labels.long())
    indices = split_off(name, images, classes, {"validation": size}, seed)
    train, validation = (images.subset(indices[split]) for split in ("train", "validation"))
    test = Images(convert(test_pixels), test_labels.long())
    digest = fingerprint(array.numpy() for array in arrays)
    return Splits(name, classes, train, validation, test, digest=digest)


def _pad(channels: int, pixels: UInt8[Tensor, "n 28 28"]) -> UInt8[Tensor, "n c 32 32"]:
    return F.pad(pixels, (2, 2, 2, 2))[:, None].expand(-1, channels, -1, -1)


def _convert(channels: int, pixels: UInt8[Tensor, "n 3 h w"]) -> UInt8[Tensor, "n c h w"]:
    return grey(pixels) if channels == 1 else pixels


def _cifar(content: bytes, labels: int) -> tuple[Tensor, Tensor]:
    """Images and labels, from rows of so many labels, the finest last, and an image."""
    rows = torch.from_numpy(np.frombuffer(content, np.uint8).copy()).view(-1, labels + 3 * 32 * 32)
    return rows[:, labels:].reshape(-1, 3, 32, 32), rows[:, labels - 1]


def _unpack(path: Path) -> dict[str, bytes]:
    """File name, without folders, -> content of the files in an archive."""
    content = gunzip(path)
    with tarfile.open(fileobj=content) as archive:
        return {
            Path(member.name).name: file.read(content.getbuffer().nbytes)  # more is a sparse file
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
