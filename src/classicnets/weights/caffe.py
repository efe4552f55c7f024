"""Tensors from Caffe's .caffemodel: a protocol buffer, read with a description of our own.

It has only the fields needed, by their numbers in caffe.proto; all others are skipped. Packed
values are taken as bytes, which they are on the wire, so that millions of them cost nothing.
"""

import math
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from classicnets.support.errors import plain_reason

MOST = 2**31 - 1  # bytes of a protocol buffer
MOST_LAYERS, MOST_AXES = 10_000, 8
EPSILON = 1e-5  # of batch normalisation, in Caffe's default and in torch
# message -> field -> its number, its kind, and whether there may be several
FIELDS: dict[str, dict[str, tuple[int, str, bool]]] = {
    "Net": {"layers": (2, "OldLayer", True), "layer": (100, "Layer", True)},
    "Layer": {
        "name": (1, "string", False),
        "type": (2, "string", False),
        "blobs": (7, "Blob", True),
        "batch_norm": (139, "BatchNorm", False),
    },
    "OldLayer": {
        "name": (4, "string", False),
        "type": (5, "int32", False),
        "blobs": (6, "Blob", True),
    },
    "BatchNorm": {"eps": (3, "float", False)},
    "Blob": {
        **{name: (k, "int32", False) for k, name in enumerate(("num", "channels", "h", "w"), 1)},
        "data": (5, "bytes", False),
        "shape": (7, "Shape", False),
        "double_data": (8, "bytes", False),
    },
    "Shape": {"dim": (1, "int64", True)},
}
# the types of layers with weights; the numbers are those of the old format
TYPES = {"Convolution": "weighted", "InnerProduct": "weighted", "BatchNorm": "norm"}
TYPES |= {"Scale": "weighted", "4": "weighted", "14": "weighted"}


def starts_like_caffe(start: bytes) -> bool:
    """Whether the first bytes are a field of a network: its name, or a layer."""
    return start[:1] in (b"\x0a", b"\x12") or start[:2] == b"\xa2\x06"


def read_caffe(path: Path) -> dict[str, Tensor]:
    """The tensors of a .caffemodel: `conv1.weight`, `bn_conv1.running_mean`, `scale_conv1.bias`.

    Means and variances are divided by the factor that Caffe keeps beside them, and an epsilon of
    its own is in the variance. Raises a ValueError for a file that is damaged or too large, and for
    layers that other networks have.
    """
    if path.stat().st_size > MOST:
        raise ValueError(f"{path} has more than {MOST:,} bytes, the most of a .caffemodel")
    net = _messages(path)["Net"]()
    try:
        net.ParseFromString(path.read_bytes())
        layers = [*net.layers, *net.layer]
        names = [layer.name for layer in layers]
    except Exception as error:  # whatever the library raises for a damaged one
        raise ValueError(f"{path} is damaged: {plain_reason(error)}") from error
    if len(names) > MOST_LAYERS:
        raise ValueError(f"{path} claims {len(names):,} layers; at most {MOST_LAYERS:,} are read")
    found: dict[str, Tensor] = {}
    for layer in layers:
        try:
            tensors = _tensors(layer)
        except ValueError as error:
            raise ValueError(f"{path}, layer {layer.name[:60]!r}: {error}") from error
        for name, tensor in tensors.items():
            if name in found:
                raise ValueError(f"{path} has two layers {layer.name[:60]!r}")
            found[name] = tensor
    return found


def _tensors(layer: Any) -> dict[str, Tensor]:
    if not layer.blobs:
        return {}
    kind = TYPES.get(str(layer.type))
    if kind is None:
        raise ValueError(f"a layer of type {str(layer.type)[:60]} has weights, which none here has")
    blobs = [_tensor(blob) for blob in layer.blobs]
    if kind == "norm":
        return _statistics(layer, blobs)
    if len(blobs) > 2:
        raise ValueError(f"it has {len(blobs)} arrays, not a weight and a bias")
    weight, *bias = blobs
    if str(layer.type) in ("InnerProduct", "14") and weight.shape[:2] == (1, 1):
        weight = weight.flatten(0, 2)  # the old format has four axes throughout
    tensors = [weight, *(b.flatten() for b in bias)]
    return {f"{layer.name}.{n}": t for n, t in zip(("weight", "bias"), tensors, strict=False)}


def _statistics(layer: Any, blobs: list[Tensor]) -> dict[str, Tensor]:
    """The running averages; the third array is the factor by which both are multiplied."""
    if len(blobs) != 3 or blobs[2].numel() != 1:
        raise ValueError("batch normalisation has a mean, a variance and one factor")
    factor = blobs[2].item()
    mean, variance = ((b.flatten() / factor if factor else b.flatten() * 0) for b in blobs[:2])
    own = layer.batch_norm.eps if layer.batch_norm.HasField("eps") else EPSILON
    if not 0 <= own < math.inf:
        raise ValueError(f"its epsilon is {own}")
    variance = variance + (round(own, 12) - EPSILON if abs(own - EPSILON) > 1e-9 else 0.0)
    return {f"{layer.name}.running_mean": mean, f"{layer.name}.running_var": variance}


def _tensor(blob: Any) -> Tensor:
    """A copy of an array, (num, channels, h, w) in the old format."""
    old = (blob.num, blob.channels, blob.h, blob.w)
    shape = tuple(blob.shape.dim) if blob.HasField("shape") else old
    kind, data = (
        (torch.float64, blob.double_data) if blob.double_data else (torch.float32, blob.data)
    )
    if len(shape) > MOST_AXES or min(shape, default=1) < 0:
        raise ValueError(f"an array cannot have the shape {shape[:MOST_AXES]}")
    if math.prod(shape) * kind.itemsize != len(data):
        raise ValueError(f"an array of {shape} has {len(data):,} bytes of values")
    if not data:
        return torch.zeros(shape)
    return torch.frombuffer(bytearray(data), dtype=kind).reshape(shape).float()


@cache
def _described() -> dict[str, Any]:
    """The classes of the messages. Raises an ImportError without protobuf."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # noqa: PLC0415  # an extra

    file = descriptor_pb2.FileDescriptorProto(name="classicnets/caffe.proto", syntax="proto2")
    for name, fields in FIELDS.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, several) in fields.items():
            inner = {"type_name": f".{kind}"} if kind in FIELDS else {}
            message.field.add(
                name=field,
                number=number,
                label="LABEL_REPEATED" if several else "LABEL_OPTIONAL",
                type="TYPE_MESSAGE" if inner else f"TYPE_{kind.upper()}",
                **inner,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in FIELDS
    }


def _messages(path: Path) -> dict[str, Any]:
    try:
        return _described()
    except ImportError:
        raise ValueError(
            f"reading {path.name} needs protobuf: pip install 'classicnets[weights]'"
        ) from None
