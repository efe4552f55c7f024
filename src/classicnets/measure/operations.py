"""The arithmetic of one operator: a table from torch's operators to their counting rules.

A multiply-add is one multiplication and one addition of a convolution or a matrix product. All
other arithmetic is counted by kind, as Caffe's netscope did.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Cost:
    """Arithmetic by kind, for a whole batch."""

    macs: int = 0
    comparisons: int = 0
    additions: int = 0
    multiplications: int = 0
    divisions: int = 0
    exponentials: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(**{kind: n + getattr(other, kind) for kind, n in vars(self).items()})

    def with_macs_scaled(self, fraction: float) -> "Cost":
        """The same cost with only this fraction of the multiply-adds."""
        return replace(self, macs=round(fraction * self.macs))


CostRule = Callable[[Sequence[Any], Tensor], Cost]


def cost(operator: str, args: Sequence[Any], out: Tensor) -> Cost | None:
    """The arithmetic of an operator that computes `out` from `args`; None without a rule for it."""
    if operator in FREE:
        return Cost()
    rule = RULES.get(operator)
    return rule(args, out) if rule else None


def _convolution(args: Sequence[Any], out: Tensor) -> Cost:
    x, weight, transposed = args[0], args[1], args[6]
    # one window per output value, but per input value where the convolution is transposed
    positions = x if transposed else out
    return Cost(macs=positions.numel() * weight[0].numel())


def _product(left: int) -> CostRule:
    """A matrix product whose left factor is argument number `left`."""
    return lambda args, out: Cost(macs=out.numel() * args[left].shape[-1])


def _each(**arithmetic: int) -> CostRule:
    """A fixed amount of arithmetic per output value."""
    return lambda args, out: Cost(**{kind: n * out.numel() for kind, n in arithmetic.items()})


def _bilinear(args: Sequence[Any], out: Tensor) -> Cost:
    # a matrix per output value, times one input and then the other
    _, n, m = args[1].shape
    return Cost(macs=out.numel() * (n * m + m))


def _max_pool(args: Sequence[Any], out: Tensor) -> Cost:
    return Cost(comparisons=out.numel() * _window(args, out))


def _average_pool(args: Sequence[Any], out: Tensor) -> Cost:
    sums = out.numel() * _window(args, out)
    divisor = args[6] if len(args) > 6 else None  # 1 for a sum, as in LeNet-5
    return Cost(additions=sums, divisions=0 if divisor == 1 else out.numel())


def _window(args: Sequence[Any], out: Tensor) -> int:
    kernel = args[1]
    return math.prod(kernel) if len(kernel) > 1 else kernel[0] ** (out.ndim - 2)


def _adaptive_max_pool(args: Sequence[Any], out: Tensor) -> Cost:
    return Cost(comparisons=_adaptive_reads(args, out))


def _adaptive_average_pool(args: Sequence[Any], out: Tensor) -> Cost:
    return Cost(additions=_adaptive_reads(args, out), divisions=out.numel())


def _adaptive_reads(args: Sequence[Any], out: Tensor) -> int:
    """The number of values that all windows read; neighbouring windows may overlap by one."""
    reads, sides = out.numel(), len(args[1])
    for n, m in zip(args[0].shape[-sides:], out.shape[-sides:], strict=True):
        reads = reads // m * sum(-(-(i + 1) * n // m) - i * n // m for i in range(m))
    return reads


def _batch_norm(args: Sequence[Any], out: Tensor) -> Cost:
    if args[3] is None:  # without running statistics, those of the image: instance normalisation
        return _per_image_norm(out, weight=args[1], bias=args[2])
    # - mean, / deviation, * gamma, + beta
    affine = args[1] is not None
    n = out.numel()
    return Cost(additions=(1 + affine) * n, multiplications=affine * n, divisions=n)


def _layer_norm(args: Sequence[Any], out: Tensor) -> Cost:
    return _per_image_norm(out, weight=args[2], bias=args[3])


def _group_norm(args: Sequence[Any], out: Tensor) -> Cost:
    return _per_image_norm(out, weight=args[1], bias=args[2])


def _per_image_norm(out: Tensor, weight: Tensor | None, bias: Tensor | None) -> Cost:
    # sum for the mean, - mean, square, sum for the deviation, / deviation, * gamma, + beta
    n = out.numel()
    return Cost(
        additions=(3 + (bias is not None)) * n,
        multiplications=(1 + (weight is not None)) * n,
        divisions=n,
    )


def _lrn(args: Sequence[Any], out: Tensor) -> Cost:
    # AlexNet, section 3.3: square, sum over the window, * alpha, + k, power, division
    n, size = out.numel(), args[1]
    return Cost(additions=size * n, multiplications=2 * n, exponentials=n, divisions=n)


def _power(args: Sequence[Any], out: Tensor) -> Cost:
    squared = isinstance(args[1], int | float) and args[1] == 2
    return Cost(multiplications=out.numel()) if squared else Cost(exponentials=out.numel())


def _sum(args: Sequence[Any], out: Tensor) -> Cost:
    return Cost(additions=args[0].numel())


def _mean(args: Sequence[Any], out: Tensor) -> Cost:
    return Cost(additions=args[0].numel(), divisions=out.numel())


def _extreme(args: Sequence[Any], out: Tensor) -> Cost:
    return Cost(comparisons=args[0].numel())


_compare = _each(comparisons=1)
_add = _each(additions=1)
_multiply = _each(multiplications=1)
_divide = _each(divisions=1)
_exponential = _each(exponentials=1)
_softmax = _each(exponentials=1, additions=1, divisions=1)

RULES: dict[str, CostRule] = {
    "convolution": _convolution, "_convolution": _convolution,  # the second where it is traced
    "mm": _product(0), "mv": _product(0), "bmm": _product(0), "dot": _product(0),
    "addmm": _product(1), "addmv": _product(1), "baddbmm": _product(1),
    "_trilinear": _bilinear,
    "max_pool2d_with_indices": _max_pool, "max_pool3d_with_indices": _max_pool,
    "avg_pool1d": _average_pool, "avg_pool2d": _average_pool, "avg_pool3d": _average_pool,
    "adaptive_max_pool2d": _adaptive_max_pool, "adaptive_max_pool3d": _adaptive_max_pool,
    "_adaptive_avg_pool2d": _adaptive_average_pool, "_adaptive_avg_pool3d": _adaptive_average_pool,
    "native_batch_norm": _batch_norm, "cudnn_batch_norm": _batch_norm,
    "native_layer_norm": _layer_norm, "native_group_norm": _group_norm,
    "classicnets::lrn": _lrn,
    "relu": _compare, "threshold": _compare, "hardtanh": _compare, "clamp": _compare,
    "clamp_min": _compare, "clamp_max": _compare, "maximum": _compare, "minimum": _compare,
    "abs": _compare, "sign": _compare, "eq": _compare, "ne": _compare, "gt": _compare,
    "ge": _compare, "lt": _compare, "le": _compare, "where": _compare,
    "leaky_relu": _each(comparisons=1, multiplications=1),
    "_prelu_kernel": _each(comparisons=1, multiplications=1),
    "rrelu_with_noise": _each(comparisons=1, multiplications=1),
    "hardshrink": _compare, "softshrink": _each(comparisons=1, additions=1),
    "glu": _each(exponentials=1, divisions=1, additions=1, multiplications=1),
    "max": _extreme, "min": _extreme, "amax": _extreme, "amin": _extreme, "argmax": _extreme,
    "add": _add, "sub": _add, "rsub": _add, "sum": _sum, "mean": _mean,
    "mul": _multiply, "square": _multiply,
    "addcmul": _each(multiplications=1, additions=1),
    "addcdiv": _each(divisions=1, additions=1),
    "div": _divide, "reciprocal": _divide,
    "exp": _exponential, "log": _exponential, "pow": _power,
    "sqrt": _exponential, "rsqrt": _exponential,
    "tanh": _each(exponentials=1, divisions=1, additions=2),
    "sigmoid": _each(exponentials=1, divisions=1, additions=1),
    "silu": _each(exponentials=1, divisions=1, additions=1, multiplications=1),
    "_softmax": _softmax, "_log_softmax": _softmax, "_safe_softmax": _softmax,
    # x / 2 * (1 + erf(x / sqrt 2)), with erf counted as an exponential
    "gelu": _each(exponentials=1, multiplications=3, additions=1),
    "elu": _each(comparisons=1, exponentials=1, multiplications=1, additions=1),
    "celu": _each(comparisons=1, exponentials=1, multiplications=1, divisions=1, additions=1),
    "softplus": _each(comparisons=1, exponentials=2, additions=1),  # log(1 + exp(x))
    "hardsigmoid": _each(comparisons=2, additions=1, divisions=1),  # clamp(x + 3, 0, 6) / 6
    "hardswish": _each(comparisons=2, additions=1, divisions=1, multiplications=1),
    # a weighted sum of the nearest 2, 4, 8 or 16 values
    "upsample_linear1d": _each(multiplications=2, additions=1),
    "upsample_bilinear2d": _each(multiplications=4, additions=3),
    "upsample_trilinear3d": _each(multiplications=8, additions=7),
    "upsample_bicubic2d": _each(multiplications=16, additions=15),
}  # fmt: skip

# these move, create or index values without arithmetic, as all views do
FREE = {
    "alias", "arange", "bernoulli", "cat", "channel_shuffle", "clone", "constant_pad_nd",
    "contiguous", "copy", "detach", "embedding", "empty", "empty_like", "empty_strided", "eye",
    "fill", "flip", "full", "full_like", "gather", "im2col", "index", "index_copy",
    "index_fill", "index_put", "index_select", "lift_fresh", "linspace", "masked_fill",
    "masked_select", "max_unpool2d", "max_unpool3d", "native_channel_shuffle", "neg",
    "new_empty", "new_empty_strided", "new_full", "new_ones", "new_zeros", "normal", "ones",
    "ones_like", "_pack_padded_sequence", "pixel_shuffle", "pixel_unshuffle", "rand",
    "rand_like", "randint", "randn", "randn_like", "reflection_pad1d", "reflection_pad2d",
    "reflection_pad3d", "repeat", "replication_pad1d", "replication_pad2d", "replication_pad3d",
    "resize_as", "roll", "scalar_tensor", "scatter", "squeeze", "stack", "t", "_to_copy",
    "transpose", "tril", "triu", "uniform", "unsafe_split", "_unsafe_view", "unsqueeze",
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "zero", "zeros",
    "zeros_like",
}  # fmt: skip
