"""Tensors from files: read, and compared with those whose place they are to take."""

import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .errors import plain_reason
from .files import open_named, read_named


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises a FileNotFoundError, or a ValueError for a file that cannot be read or is damaged.
    """
    try:
        return safetensors.torch.load(read_named(path))
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged: {_reason(error)}") from error


def map_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, mapped into memory: read where they are used, and copied
    where they are changed.

    Raises a FileNotFoundError, or a ValueError for a file that cannot be read or is damaged.
    """
    open_named(path).close()
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """What the reader says, in words of our own where a file is cut off or of another format."""
    said = plain_reason(error).rpartition("deserializing header: ")[2]
    if "not fully covered" in said or "IncompleteBuffer" in said:
        return "it has not as many bytes as its header says"
    return "it has no whole header" if said.lower().startswith(("header", "invalid")) else said


def read_metadata(path: Path) -> dict[str, str]:
    """What a safetensors file that can be read says of its tensors."""
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def checksum(tensors: Iterable[Tensor]) -> int:
    """The CRC-32 of the bytes of these tensors, one after the other."""
    total = 0
    for t in tensors:
        total = zlib.crc32(t.detach().cpu().reshape(-1).view(torch.uint8).numpy().data, total)
    return total


def find_difference(there: Mapping[str, Tensor], here: Mapping[str, Tensor]) -> tuple[str, str]:
    """The first name, if any, whose tensor differs in shape or type, and how; else "", ""."""
    for name in (*here, *there):
        pair = [tuple(t[name].shape) if name in t else "missing" for t in (there, here)]
        if pair[0] == pair[1]:
            pair = [t[name].dtype for t in (there, here)]
        if pair[0] != pair[1]:
            return name, f"is {pair[0]} there and {pair[1]} here"
    return "", ""


def is_finite(t: Tensor) -> bool:
    """Whether no value is NaN or infinite. Their sum is finite only then, and takes no memory; that
    of large ones may overflow."""
    return bool(t.sum().isfinite()) or bool(t.isfinite().all())


def find_not_finite(there: Mapping[str, Tensor], here: Mapping[str, Tensor]) -> str:
    """The first name, if any, whose tensor holds NaN or infinite values that are not those of the
    same name `here`."""
    for name, tensor in there.items():
        if not tensor.is_floating_point():
            continue
        own = here[name].to(tensor.device) if name in here else torch.zeros(())
        if tensor.dtype.itemsize == 1:  # 8 bits, with which torch does no arithmetic
            tensor, own = tensor.float(), own.float()
        if not is_finite(tensor):
            finite = tensor.isfinite()
            same = (tensor == own) | (tensor.isnan() & own.isnan())  # a mask may hold -inf
            if not (finite | same).all():
                return name
    return ""
