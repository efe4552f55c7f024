"""Tensors from files of other packages: PyTorch, safetensors, HDF5, Caffe. Reading runs no code."""

import math
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from classicnets.support.errors import plain_reason
from classicnets.support.tensors import map_tensors

from .caffe import read_caffe, starts_like_caffe

HDF5 = b"\x89HDF\r\n\x1a\n"
ZIP, PICKLE = b"PK\x03\x04", b"\x80"  # a file of torch.save today, and before torch 1.6
BEGINS = {
    ".safetensors": "the length of its header, and a brace",
    ".h5": "the signature of HDF5",
    ".pth": "the signature of a zip archive, or of a pickle",
    ".pt": "the signature of a zip archive, or of a pickle",
    ".caffemodel": "a field of a network, in a protocol buffer",
}
MOST = 2**30  # elements of a file; VGG E has a seventh
WRAPPED = ("state_dict", "model_state_dict", "model")  # where a checkpoint keeps its weights


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, as its package names them; the content says which format.

    Raises a ValueError for a file that is missing, of another format, damaged, or without tensors.
    """
    if not path.is_file():
        raise ValueError(f"no file of weights at {path}")
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {plain_reason(error)}") from error
    tensors = _reader(path, start)(path)
    if not tensors:
        raise ValueError(f"{path} holds no tensors")
    return tensors


def _reader(path: Path, start: bytes) -> Callable[[Path], dict[str, Tensor]]:
    if start[:8] == HDF5:
        return _hdf5
    if start[:4] == ZIP or start[:1] == PICKLE:
        return _torch
    if start[8:] == b"{":
        return map_tensors
    if starts_like_caffe(start):
        return read_caffe
    raise ValueError(
        f"{path} is not a file of weights: {_instead(path, start)}; PyTorch's .pth, .safetensors, "
        "Keras's .h5 and Caffe's .caffemodel are read"
    )


def _instead(path: Path, start: bytes) -> str:
    """Why a file is taken for none of weights."""
    if not start:
        return "it is empty"
    if path.suffix in BEGINS:
        return f"a {path.suffix} begins with {BEGINS[path.suffix]}, and this one does not"
    return "it does not begin like any of them"


def _torch(path: Path) -> dict[str, Tensor]:
    """A state dict of torch.save, mapped into memory where its format allows."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd versions of pickle, before it fails
            mapped = zipfile.is_zipfile(path)
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # a damaged file makes the reader raise nearly anything
        raise ValueError(
            f"{path} is damaged, or holds more than tensors, which could run code: "
            f"{plain_reason(error)}"
        ) from error
    for name in WRAPPED:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds a {type(content).__name__}, not a state dict")
    # nn.DataParallel puts a word before every name
    return {
        name.removeprefix("module."): tensor.detach()
        for name, tensor in content.items()
        if isinstance(name, str) and isinstance(tensor, Tensor)
    }


def _hdf5(path: Path) -> dict[str, Tensor]:
    """The data sets of a Keras file, `conv1_conv/kernel`, without the endings of older versions."""
    try:
        import h5py  # noqa: PLC0415  # an extra
    except ImportError:
        raise ValueError(
            f"reading {path.name} needs h5py: pip install 'classicnets[weights]'"
        ) from None
    try:
        with h5py.File(path, "r") as file:
            return {name: _dense(data) for name, data in _data_sets(file, h5py.Dataset)}
    except ValueError:
        raise
    except Exception as error:  # as above
        raise ValueError(f"{path} is damaged: {plain_reason(error)}") from error


def _data_sets(group: Any, kind: type) -> Iterator[tuple[str, Any]]:
    """Name and data set of each weight; links to elsewhere are not followed.

    Keras repeats the layer's name: `conv1_conv/conv1_conv/kernel:0`.
    """
    found: list[tuple[str, Any]] = []

    def visit(path: str, item: Any) -> None:
        if isinstance(item, kind) and item.dtype.kind == "f":
            *_, layer, name = ["", *path.split("/")]
            found.append((f"{layer}/{name.partition(':')[0]}", item))

    group.visititems(visit)
    total = sum(math.prod(item.shape) for _, item in found)
    if total > MOST:
        raise ValueError(f"{group.filename} claims {total:,} numbers; at most {MOST:,} are read")
    yield from found


def _dense(data: Any) -> Tensor:
    if data.external or data.is_virtual:
        raise ValueError(f"{data.file.filename}: {data.name} lies in another file")
    return torch.from_numpy(data[()]).float()
