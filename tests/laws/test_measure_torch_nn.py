"""Every module of torch.nn, against torch's own counters: none is told a false number.

Multiply-adds against a formula or torch's FLOP counter, saved bytes against autograd, receptive
fields against the support of the gradient. A class that a new torch adds fails until it is listed.
"""

import inspect
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from classicnets.measure import Layer, measure

PUBLIC = {
    name for name, kind in vars(nn).items() if inspect.isclass(kind) and issubclass(kind, nn.Module)
}

NOT_APPLICABLE = {
    **dict.fromkeys(("Module", "RNNBase", "RNNCellBase"), "abstract"),
    **dict.fromkeys(("Container", "ModuleDict", "ModuleList", "Sequential"), "holds modules"),
    **dict.fromkeys(("ParameterDict", "ParameterList"), "holds parameters"),
    "DataParallel": "spreads a module over GPUs",
    **{name: "lazy, in test_lazy" for name in PUBLIC if name.startswith("Lazy")},
    **{name: "compares scores with labels" for name in PUBLIC if "Loss" in name},
}

# the length of the sequence, the features that go in, and those that come out
T, IN, OUT = 5, 6, 4


class Fed(nn.Module):
    """A module with more than one input."""

    def __init__(self, module: nn.Module, feed: Callable[[nn.Module, Tensor], object]):
        super().__init__()
        self.module, self.feed = module, feed

    def forward(self, x: Tensor) -> object:
        return self.feed(self.module, x)


class Autocast(nn.Module):
    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> object:
        with torch.autocast("cpu", torch.bfloat16):
            return self.module(x)


class Scale(nn.Module):
    """A weight per value, so that autograd follows what comes after it."""

    def __init__(self, size: tuple[int, ...]):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(size) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


def unpool(sides: int) -> Callable[[nn.Module, Tensor], Tensor]:
    pool = getattr(nn.functional, f"max_pool{sides}d")
    return lambda module, x: module(*pool(x, 2, return_indices=True))


def tokens(scale: int) -> Callable[[nn.Module, Tensor], Tensor]:
    """Looks up constant tokens and adds the image, so that the result depends on it."""
    return lambda module, x: module(torch.arange(IN).expand(len(x), IN)) + x.mean() * scale


def attention_macs(length: int, width: int) -> int:
    """Three projections, the scores, the weighted sum, and the projection of the result."""
    return 4 * length * width**2 + 2 * length**2 * width


ENCODER = attention_macs(T, IN) + 2 * T * IN * 8  # one attention, and two layers to 8 and back
DECODER = ENCODER + attention_macs(T, IN)

WITH_ARGUMENTS: dict[str, Callable[[], nn.Module]] = {
    "AdaptiveAvgPool1d": lambda: nn.AdaptiveAvgPool1d(3),
    "AdaptiveAvgPool2d": lambda: nn.AdaptiveAvgPool2d(3),
    "AdaptiveAvgPool3d": lambda: nn.AdaptiveAvgPool3d(3),
    "AdaptiveMaxPool1d": lambda: nn.AdaptiveMaxPool1d(3),
    "AdaptiveMaxPool2d": lambda: nn.AdaptiveMaxPool2d(3),
    "AdaptiveMaxPool3d": lambda: nn.AdaptiveMaxPool3d(3),
    **{f"{kind}Pool{n}d": lambda kind=kind, n=n: getattr(nn, f"{kind}Pool{n}d")(2)
       for kind in ("Avg", "Max") for n in (1, 2, 3)},
    **{f"LPPool{n}d": lambda n=n: getattr(nn, f"LPPool{n}d")(2, 2) for n in (1, 2, 3)},
    **{f"MaxUnpool{n}d": lambda n=n: Fed(getattr(nn, f"MaxUnpool{n}d")(2), unpool(n))
       for n in (1, 2, 3)},
    **{f"FractionalMaxPool{n}d": lambda n=n: getattr(nn, f"FractionalMaxPool{n}d")(2, 3)
       for n in (2, 3)},
    **{f"BatchNorm{n}d": lambda n=n: getattr(nn, f"BatchNorm{n}d")(4) for n in (1, 2, 3)},
    **{f"InstanceNorm{n}d": lambda n=n: getattr(nn, f"InstanceNorm{n}d")(4) for n in (1, 2, 3)},
    **{f"{kind}Pad{n}d": lambda kind=kind, n=n: getattr(nn, f"{kind}Pad{n}d")(1)
       for kind in ("Circular", "Reflection", "Replication", "Zero") for n in (1, 2, 3)},
    **{f"ConstantPad{n}d": lambda n=n: getattr(nn, f"ConstantPad{n}d")(1, 0.5) for n in (1, 2, 3)},
    **{f"{kind}{n}d": lambda kind=kind, n=n: getattr(nn, f"{kind}{n}d")(4, 2, 3, stride=2)
       for kind in ("Conv", "ConvTranspose") for n in (1, 2, 3)},
    "SyncBatchNorm": lambda: nn.SyncBatchNorm(4),
    "GroupNorm": lambda: nn.GroupNorm(2, 4),
    "LayerNorm": lambda: nn.LayerNorm((4, 6, 6)),
    "RMSNorm": lambda: nn.RMSNorm((4, 6, 6)),
    "LocalResponseNorm": lambda: nn.LocalResponseNorm(3),
    "CrossMapLRN2d": lambda: nn.CrossMapLRN2d(3),
    "ChannelShuffle": lambda: nn.ChannelShuffle(2),
    "PixelShuffle": lambda: nn.PixelShuffle(2),
    "PixelUnshuffle": lambda: nn.PixelUnshuffle(2),
    "Unflatten": lambda: nn.Unflatten(1, (2, 2)),
    "Unfold": lambda: nn.Unfold(3),
    "Fold": lambda: nn.Fold((4, 4), 2, stride=2),
    "Softmax": lambda: nn.Softmax(1),
    "Softmin": lambda: nn.Softmin(1),
    "LogSoftmax": lambda: nn.LogSoftmax(1),
    "GLU": lambda: nn.GLU(1),
    "Threshold": lambda: nn.Threshold(0.1, 0.0),
    "Upsample": lambda: nn.Upsample(scale_factor=2),
    "UpsamplingBilinear2d": lambda: nn.UpsamplingBilinear2d(scale_factor=2),
    "UpsamplingNearest2d": lambda: nn.UpsamplingNearest2d(scale_factor=2),
    "Linear": lambda: nn.Linear(6, 3),
    "Bilinear": lambda: Fed(nn.Bilinear(6, 6, 3), lambda module, x: module(x, x)),
    "CosineSimilarity": lambda: Fed(nn.CosineSimilarity(), lambda module, x: module(x, x + 1)),
    "PairwiseDistance": lambda: Fed(nn.PairwiseDistance(), lambda module, x: module(x, x + 1)),
    "Embedding": lambda: Fed(nn.Embedding(IN, OUT), tokens(1)),
    "EmbeddingBag": lambda: Fed(nn.EmbeddingBag(IN, OUT), tokens(2)),
    **{name: lambda name=name: getattr(nn, name)(IN, OUT, batch_first=True)
       for name in ("RNN", "GRU", "LSTM")},
    **{name: lambda name=name: getattr(nn, name)(IN, OUT)
       for name in ("RNNCell", "GRUCell", "LSTMCell")},
    "MultiheadAttention": lambda: Fed(
        nn.MultiheadAttention(IN, 2, batch_first=True), lambda module, x: module(x, x, x)[0]
    ),
    "TransformerEncoderLayer": lambda: nn.TransformerEncoderLayer(IN, 2, 8, batch_first=True),
    "TransformerEncoder": lambda: nn.TransformerEncoder(
        nn.TransformerEncoderLayer(IN, 2, 8, batch_first=True), 2
    ),
    "TransformerDecoderLayer": lambda: Fed(
        nn.TransformerDecoderLayer(IN, 2, 8, batch_first=True), lambda module, x: module(x, x)
    ),
    "TransformerDecoder": lambda: Fed(
        nn.TransformerDecoder(nn.TransformerDecoderLayer(IN, 2, 8, batch_first=True), 2),
        lambda module, x: module(x, x),
    ),
    "Transformer": lambda: Fed(
        nn.Transformer(IN, 2, 1, 1, 8, batch_first=True), lambda module, x: module(x, x)
    ),
}  # fmt: skip

SEQUENCES = ("RNN", "GRU", "LSTM", "MultiheadAttention", "Transformer")
SIZES = {"Fold": (16, 4), "RNNCell": (IN,), "GRUCell": (IN,), "LSTMCell": (IN,),
         "Embedding": (IN, 1), "EmbeddingBag": (1,)}  # fmt: skip

# multiply-adds that torch's counter does not know, by formula
MACS = {
    "RNN": T * OUT * (IN + OUT), "GRU": 3 * T * OUT * (IN + OUT), "LSTM": 4 * T * OUT * (IN + OUT),
    "RNNCell": OUT * (IN + OUT), "GRUCell": 3 * OUT * (IN + OUT), "LSTMCell": 4 * OUT * (IN + OUT),
    "MultiheadAttention": attention_macs(T, IN),
    "TransformerEncoderLayer": ENCODER, "TransformerEncoder": 2 * ENCODER,
    "TransformerDecoderLayer": DECODER, "TransformerDecoder": 2 * DECODER,
    "Transformer": ENCODER + DECODER,
    "Bilinear": 4 * 6 * (6 * 6 * 3 + 6 * 3),
}  # fmt: skip


def size_of(name: str) -> tuple[int, ...]:
    if name in SIZES:
        return SIZES[name]
    if name.startswith(SEQUENCES):
        return T, IN
    sides = int(name[-2]) if name[-2].isdigit() else 2
    return (4, *[6] * sides)


def build(name: str) -> nn.Module:
    return nn.Sequential(Scale(size_of(name)), WITH_ARGUMENTS.get(name, getattr(nn, name))())


NO_SIDES = {"Bilinear", "CosineSimilarity", "PairwiseDistance", "Embedding", "EmbeddingBag"}
# positions are enlarged, mirrored, or mixed in a way that one stride cannot state
UNKNOWN = {
    *(f"{kind}{n}d" for n in (1, 2, 3)
      for kind in ("CircularPad", "ReflectionPad", "ReplicationPad", "ConvTranspose", "MaxUnpool")),
    "CrossMapLRN2d", "Fold", "Unfold", "FractionalMaxPool2d", "FractionalMaxPool3d", "Linear",
    "PixelShuffle", "PixelUnshuffle", "RMSNorm", "Upsample", "UpsamplingBilinear2d",
    "UpsamplingNearest2d",
}  # fmt: skip


def has_field(name: str) -> bool:
    return not (name in UNKNOWN | NO_SIDES or name.startswith(SEQUENCES))


WALKED = sorted(PUBLIC - NOT_APPLICABLE.keys())


@pytest.mark.parametrize("name", WALKED)
def test_the_numbers_of_a_module_of_torch_are_true_or_unknown(bytes_saved, name):
    report = measure(build(name), size_of(name), batch=2)
    last = report.layers[-1]
    assert report.totals.macs == (2 * MACS[name] if name in MACS else torch_macs(name)), name
    assert report.totals.params == sum(p.numel() for p in build(name).parameters())
    if not report.fused:
        assert report.totals.saved_bytes == bytes_saved(build(name), images(name))
    assert (last.receptive_field is not None) is has_field(name)
    if last.receptive_field is not None:
        check_field(last, name)


@pytest.mark.parametrize("name", WALKED)
def test_the_saved_bytes_of_a_module_of_torch_follow_autocast(bytes_saved, name):
    network = Autocast(build(name))
    report = measure(network, size_of(name), batch=2)
    if not report.fused:
        assert report.totals.saved_bytes == bytes_saved(network, images(name))


def first(output: object) -> Tensor:
    return output if isinstance(output, Tensor) else output[0]  # type: ignore[index]


def images(name: str) -> Tensor:
    return torch.rand(2, *size_of(name))


def torch_macs(name: str) -> int:
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        build(name)(torch.empty(2, *size_of(name)))
    return counter.get_total_flops() // 2


def check_field(layer: Layer, name: str) -> None:
    """Compares every position of every side with the pixels that have a gradient."""
    network, size = build(name).double().eval(), size_of(name)
    for side in range(len(size) - 1):
        field, stride, offset = (
            v[side] if isinstance(v, tuple) else v
            for v in (layer.receptive_field, layer.stride, layer.offset)
        )
        for i, seen in enumerate(support(network, size, side)):
            if name == "Flatten":  # a vector of values in the order of the positions
                i = i // 6 ** (len(size) - 2 - side) % 6
            start = offset + i * stride
            pixels = range(max(0, start), min(size[side + 1], start + field))
            assert seen == (*pixels[:1], *pixels[-1:]), f"side {side}, position {i}"


def support(network: nn.Module, size: tuple[int, ...], side: int) -> list[tuple[int, ...]]:
    """The first and last pixel along this side of the image that each position depends on."""
    seen: dict[int, set[int]] = {}
    for _ in range(12):  # a maximum, or a rectifier, depends on some of its inputs at a time
        image = (3 * torch.randn(1, *size, dtype=torch.double)).requires_grad_()
        out = first(network(image))
        vector = out.ndim < len(size) + 1
        sums = out.T if vector else out.movedim(side + 1 - len(size), 0).flatten(1)
        for i, values in enumerate(sums):
            weights = torch.rand_like(values)
            (gradient,) = torch.autograd.grad((values * weights).sum(), image, retain_graph=True)
            rows = gradient[0].movedim(side + 1, 0).flatten(1).abs().sum(1)
            seen.setdefault(i, set()).update(rows.nonzero().flatten().tolist())
    return [(*sorted(pixels)[:1], *sorted(pixels)[-1:]) for _, pixels in sorted(seen.items())]
