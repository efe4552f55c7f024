"""Receptive fields, followed exactly from operator to operator, through branches as well.

Each side of the image is followed separately. A receptive field that cannot be followed exactly is
`Untracked`, never estimated. The statistics of batch normalisation count as constants, which they
are in a trained network.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from torch import Tensor


class Untracked(Exception):
    """A receptive field that cannot be followed exactly."""


class ReceptiveField(NamedTuple):
    """The receptive field of a tensor along one side of the image, in pixels.

    Position 0 along dimension `dim` sees the pixels `lo` to `hi`, the next position those `stride`
    further on; negative pixels lie in the padding. `smallest_lo` and `smallest_hi` are those of the
    path with the smallest receptive field. At stride 0 every position sees the same pixels. A `dim`
    longer than `length` holds several sides flattened into one, or in a vector of features also
    the maps; `dim` is None where no dimension is left.
    """

    dim: int | None
    length: int
    stride: int = 1
    lo: int = 0
    hi: int = 0
    smallest_lo: int = 0
    smallest_hi: int = 0

    def window(self, start: int, span: int, **changes: Any) -> "ReceptiveField":
        """The receptive field of a window from position `start` to `start + span`."""
        first, last = start * self.stride, (start + span) * self.stride
        return self._replace(
            lo=self.lo + first,
            hi=self.hi + last,
            smallest_lo=self.smallest_lo + first,
            smallest_hi=self.smallest_hi + last,
            **changes,
        )

    def merged(self, dim: int | None) -> "ReceptiveField":
        """All positions merged into one, at the stride that a larger image would give."""
        return self.window(0, self.length - 1, dim=dim, length=1)

    def whole(self) -> "ReceptiveField":
        """Every position sees what all positions together saw."""
        return self.window(0, self.length - 1, stride=0)


Fields = tuple[ReceptiveField, ...]  # one per side of the image
Lookup = Callable[[Tensor], Fields | None]  # None for a constant; raises Untracked
FieldRule = Callable[[Sequence[Any], Tensor, Lookup], Fields]


def image_fields(image: Tensor) -> Fields:
    """The receptive fields of an image (n, c, ...): one pixel each."""
    return tuple(ReceptiveField(dim, image.shape[dim]) for dim in range(2, image.ndim))


def propagate(
    operator: str, pointwise: bool, args: Sequence[Any], out: Tensor, lookup: Lookup
) -> Fields:
    """The receptive fields of `out`, which the operator computed from `args`; raises Untracked."""
    if rule := RULES.get(operator):
        return rule(args, out, lookup)
    if pointwise or operator in POINTWISE:
        return _union(((t, lookup(t)) for t in args if isinstance(t, Tensor)), out)
    raise Untracked(operator)


def _input_fields(args: Sequence[Any], lookup: Lookup, at: int = 0) -> Fields:
    """Those of argument number `at`, where all others are constants."""
    fields = lookup(args[at])
    others = (t for i, t in enumerate(args) if i != at and isinstance(t, Tensor))
    if fields is None or any(lookup(t) is not None for t in others):
        raise Untracked("weights that depend on the image")
    return fields


def _union(inputs: Iterable[tuple[Tensor, Fields | None]], out: Tensor) -> Fields:
    """Joined branches of one shape: the hull of their receptive fields, and the smallest one."""
    branches = []
    for x, fields in inputs:
        if fields is not None:
            shift = out.ndim - x.ndim
            branches.append(_map(fields, lambda f, dim, shift=shift: f._replace(dim=dim + shift)))
            if any(_is_broadcast(f, x, out) for f in fields):
                raise Untracked("a position is broadcast over several")
    if not branches:
        raise Untracked("no positional argument depends on the image")
    return tuple(_hull(same_side) for same_side in zip(*branches, strict=True))


def _is_broadcast(f: ReceptiveField, x: Tensor, out: Tensor) -> bool:
    """Whether one position of `x` becomes several of `out`; to more maps it may be copied."""
    before = (1,) * (out.ndim - x.ndim) + tuple(x.shape)
    if f.dim is None:
        return before[2:] != tuple(out.shape[2:])
    dim = f.dim + out.ndim - x.ndim
    return before[dim] != out.shape[dim]


def _hull(branches: Sequence[ReceptiveField]) -> ReceptiveField:
    first = branches[0]
    if any((f.dim, f.length, f.stride) != (first.dim, first.length, first.stride)
           for f in branches):  # fmt: skip
        raise Untracked("branches of different strides or lengths")
    smallest = min(branches, key=lambda f: f.smallest_hi - f.smallest_lo)
    return first._replace(
        lo=min(f.lo for f in branches),
        hi=max(f.hi for f in branches),
        smallest_lo=smallest.smallest_lo,
        smallest_hi=smallest.smallest_hi,
    )


def _map(fields: Fields, change: Callable[[ReceptiveField, int], ReceptiveField]) -> Fields:
    """The fields with `change(field, dim)` applied where a dimension is left."""
    return tuple(f if f.dim is None else change(f, f.dim) for f in fields)


def _along(
    args: Sequence[Any], lookup: Lookup, change: Callable[[ReceptiveField, int], ReceptiveField]
) -> Fields:
    """As `_map`, for each side with a dimension to itself; raises Untracked for flattened sides."""
    x, fields = args[0], _input_fields(args, lookup)
    if any(f.dim is not None and x.shape[f.dim] != f.length for f in fields):
        raise Untracked("flattened positions")
    return _map(fields, change)


def _same(args: Sequence[Any], out: Tensor, lookup: Lookup) -> Fields:
    return _union([(args[0], _input_fields(args, lookup))], out)


def _whole(dims: Callable[[Sequence[Any]], Iterable[int]]) -> FieldRule:
    """An operator in which every position along these dimensions depends on all of them."""

    def rule(args: Sequence[Any], out: Tensor, lookup: Lookup) -> Fields:
        together = {dim % args[0].ndim for dim in dims(args)}
        return _map(_same(args, out, lookup), lambda f, dim: f.whole() if dim in together else f)

    return rule


def _batch_norm(args: Sequence[Any], out: Tensor, lookup: Lookup) -> Fields:
    """Without running statistics, those of the batch itself; instance normalisation as well."""
    if args[3] is not None:
        return _same(args, out, lookup)
    return _whole(lambda args: (0, *range(2, args[0].ndim)))(args, out, lookup)


def _window(
    args: Sequence[Any],
    out: Tensor,
    lookup: Lookup,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
) -> Fields:
    def slide(f: ReceptiveField, dim: int) -> ReceptiveField:
        i = dim - (out.ndim - len(kernel))
        if i < 0:
            if dim > 0:
                raise Untracked("a convolution whose channels are positions of one side")
            return f
        k, s, p, d = (_side(values, i) for values in (kernel, stride, padding, dilation))
        if f.stride == 0 and p and (d > 1 or p >= k):
            raise Untracked("windows in the padding alone")
        return f.window(-p, (k - 1) * d, stride=f.stride * s, length=out.shape[dim])

    return _along(args, lookup, slide)


def _side(values: Sequence[int], i: int) -> int:
    return values[i] if len(values) > 1 else values[0]


def _convolution(args: Sequence[Any], out: Tensor, lookup: Lookup) -> Fields:
    weight, _, stride, padding, dilation, transposed = args[1:7]
    if transposed:
        raise Untracked("a transposed convolution")
    return _window(args, out, lookup, weight.shape[2:], stride, padding, dilation)


def _max_pool(args: Sequence[Any], out: Tensor, lookup: Lookup) -> Fields:
    kernel, stride, padding, dilation = (*args[1:], *([], [0], [1])[len(args) - 2 :])[:4]
    return _window(args, out, lookup, kernel, stride or kernel, padding, dilation)


def _average_pool(args: Sequence[Any], out: Tensor, lookup: Lookup) -> Fields:
    return _max_pool(args[:4], out, lookup)  # what follows the padding is not a dilation


def _adaptive_pool(args: Sequence[Any], out: Tensor, lookup: Lookup) -> Fields:
    def shrink(f: ReceptiveField, dim: int) -> ReceptiveField:
        k, rest = divmod(f.length, out.shape[dim])
        if rest:
            raise Untracked("windows of different sizes")
        if out.shape[dim] == 1:
            return f.merged(dim)
        return f.window(0, k - 1, stride=f.stride * k, length=out.shape[dim])

    return _along(args, lookup, shrink)


def _pad(args: Sequence[Any], out: Tensor, lookup: Lookup) -> Fields:
    x, pads = args[0], args[1]  # pairs, the last dimension first

    def widen(f: ReceptiveField, dim: int) -> ReceptiveField:
        pair = 2 * (x.ndim - 1 - dim)
        before, after = (*pads[pair : pair + 2], 0, 0)[:2]
        if f.stride == 0 and max(before, after) > 0:
            raise Untracked("positions in the padding alone")
        return f.window(-before, 0, length=out.shape[dim])

    return _along(args, lookup, widen)


# dimension, start, end and step of a slice where not given
SLICE_DEFAULTS: tuple[Any, ...] = (0, None, None, 1)


def _slice(args: Sequence[Any], out: Tensor, lookup: Lookup) -> Fields:
    x = args[0]
    axis, start, end, step = (*args[1:], *SLICE_DEFAULTS[len(args) - 1 :])
    axis %= x.ndim

    def pick(f: ReceptiveField, dim: int) -> ReceptiveField:
        if dim != axis:
            return f
        first = slice(start, end, step).indices(f.length)[0]
        return f.window(first, 0, stride=f.stride * step, length=out.shape[dim])

    return _along(args, lookup, pick)


def _select(args: Sequence[Any], out: Tensor, lookup: Lookup) -> Fields:
    x, axis, index = args
    axis %= x.ndim

    def pick(f: ReceptiveField, dim: int) -> ReceptiveField:
        if dim == axis:
            return f.window(index % f.length, 0, dim=None, length=1)
        return f._replace(dim=dim - (dim > axis))

    return _along(args, lookup, pick)


def _reduce(args: Sequence[Any], out: Tensor, lookup: Lookup) -> Fields:
    """A sum, mean or maximum, which merges the positions of some dimensions."""
    x, dims = args[0], args[1] if len(args) > 1 else None
    dims = [dims] if isinstance(dims, int) else dims or range(x.ndim)
    reduced = {dim % x.ndim for dim in dims}
    keepdim = out.ndim == x.ndim

    def reduce(f: ReceptiveField, dim: int) -> ReceptiveField:
        if dim in reduced:
            return f.merged(dim if keepdim else None)
        return f._replace(dim=dim if keepdim else dim - sum(d < dim for d in reduced))

    return _map(_input_fields(args, lookup), reduce)


def _product(left: int) -> FieldRule:
    """A matrix product with constants, which merges each row of argument number `left`."""

    def rule(args: Sequence[Any], out: Tensor, lookup: Lookup) -> Fields:
        fields, last = _input_fields(args, lookup, left), args[left].ndim - 1
        return _map(fields, lambda f, dim: f.merged(None) if dim == last else f)

    return rule


def _cat(args: Sequence[Any], out: Tensor, lookup: Lookup) -> Fields:
    axis = (args[1] if len(args) > 1 else 0) % out.ndim
    branches = [(t, lookup(t)) for t in args[0]]
    joined = {axis, None} if axis > 1 else {axis}
    if any(f.dim in joined for _, fields in branches for f in fields or ()):
        raise Untracked("a concatenation of positions")
    return _union(branches, out)


def _glu(args: Sequence[Any], out: Tensor, lookup: Lookup) -> Fields:
    fields = _input_fields(args, lookup)
    if any(f.dim in (None, args[1] % out.ndim) for f in fields):
        raise Untracked("one half of the positions gates the other")
    return fields


def _permute(order: Callable[..., Sequence[int]]) -> FieldRule:
    def rule(args: Sequence[Any], out: Tensor, lookup: Lookup) -> Fields:
        x = args[0]
        new = [dim % x.ndim for dim in order(x.ndim, *args[1:])]
        fields = _input_fields(args, lookup)
        return _map(fields, lambda f, dim: f._replace(dim=new.index(dim)))

    return rule


def _swap(ndim: int, a: int, b: int) -> list[int]:
    order = list(range(ndim))
    order[a], order[b] = order[b], order[a]
    return order


def _view(args: Sequence[Any], out: Tensor, lookup: Lookup) -> Fields:
    """Dimensions flattened together, or dimensions of size 1 added and removed.

    Sides may be flattened together with maps into a vector of features, which has no positions;
    elsewhere positions along a side would no longer be those of the maps.
    """
    x = args[0]
    fields = _map(
        _input_fields(args, lookup),
        lambda f, dim: f._replace(
            dim=None if f.length == 1 else _viewed_dim(dim, x.shape, out.shape)
        ),
    )
    for dim in {f.dim for f in fields if f.dim is not None and out.ndim > 2}:
        if math.prod(f.length for f in fields if f.dim == dim) != out.shape[dim]:
            raise Untracked("positions flattened together with maps or with copies")
    return fields


def _viewed_dim(dim: int, before: Sequence[int], after: Sequence[int]) -> int:
    """The dimension of the new shape that holds dimension `dim` of the old one."""
    start = math.prod(before[dim + 1 :])  # values from one position to the next
    for new, size in enumerate(after):
        inner = math.prod(after[new + 1 :])
        if size > 1 and inner <= start and start * before[dim] <= inner * size:
            return new
    raise Untracked("positions split over several dimensions")


RULES: dict[str, FieldRule] = {
    "convolution": _convolution, "_convolution": _convolution,  # the second where it is traced
    "max_pool2d_with_indices": _max_pool, "max_pool3d_with_indices": _max_pool,
    "avg_pool1d": _average_pool, "avg_pool2d": _average_pool, "avg_pool3d": _average_pool,
    "_adaptive_avg_pool2d": _adaptive_pool, "_adaptive_avg_pool3d": _adaptive_pool,
    "adaptive_max_pool2d": _adaptive_pool, "adaptive_max_pool3d": _adaptive_pool,
    "constant_pad_nd": _pad, "slice": _slice, "select": _select,
    "mean": _reduce, "sum": _reduce, "amax": _reduce, "amin": _reduce,
    "mm": _product(0), "bmm": _product(0),
    "addmm": _product(1), "baddbmm": _product(1),
    "_softmax": _whole(lambda args: (args[1],)), "_log_softmax": _whole(lambda args: (args[1],)),
    "native_batch_norm": _batch_norm, "cudnn_batch_norm": _batch_norm,
    "native_layer_norm": _whole(lambda args: range(-len(args[1]), 0)),
    "native_group_norm": _whole(lambda args: range(2, args[0].ndim)),
    "classicnets::lrn": _same, "clone": _same, "_to_copy": _same,
    "detach": _same, "alias": _same, "expand": _same, "native_dropout": _same,
    "cat": _cat, "glu": _glu,
    "permute": _permute(lambda ndim, order: order),
    "transpose": _permute(_swap),
    "t": _permute(lambda ndim: range(ndim)[::-1]),
    "view": _view, "_unsafe_view": _view, "_reshape_alias": _view,
    "unsqueeze": _view, "squeeze": _view,
}  # fmt: skip

# position by position, although torch does not say so, or permuting the maps of a position
POINTWISE = {
    "_prelu_kernel", "channel_shuffle", "hardswish", "log_sigmoid_forward",
    "native_channel_shuffle", "rrelu_with_noise",
}  # fmt: skip
