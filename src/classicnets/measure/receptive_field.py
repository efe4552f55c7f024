"""What the positions of a tensor see of the image: receptive fields, exact through branches.

Followed along each side of the image apart, operator by operator. What cannot be followed exactly
is `Lost`; nothing is guessed. The statistics of batch normalisation are taken as constants, as they
are once a network is trained.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from torch import Tensor


class Lost(Exception):
    """A field that cannot be followed exactly."""


class Field(NamedTuple):
    """What a tensor sees along one side of the image, in pixels.

    Position 0 along dimension `dim` sees the pixels lo to hi, the next one `step` further; negative
    ones lie in the padding. near_lo and near_hi are those of the smallest path. Where `dim` is
    longer than `length`, several sides have been flattened into it; where it is None, none is left.
    """

    dim: int | None
    length: int
    step: int = 1
    lo: int = 0
    hi: int = 0
    near_lo: int = 0
    near_hi: int = 0

    def moved(self, start: int, reach: int, **changes: Any) -> "Field":
        """The field of a window that begins at position `start` and ends `reach` positions on."""
        first, last = start * self.step, (start + reach) * self.step
        return self._replace(
            lo=self.lo + first,
            hi=self.hi + last,
            near_lo=self.near_lo + first,
            near_hi=self.near_hi + last,
            **changes,
        )

    def gathered(self, dim: int | None) -> "Field":
        """All positions seen together. The step stays what it is when the picture is larger."""
        return self.moved(0, self.length - 1, dim=dim, length=1)


Fields = tuple[Field, ...]
See = Callable[[Tensor], Fields | None]  # None for a constant; raises Lost
Rule = Callable[[Sequence[Any], Tensor, See], Fields]


def of_image(image: Tensor) -> Fields:
    """An image (n, c, ...) sees itself, pixel by pixel."""
    return tuple(Field(dim, image.shape[dim]) for dim in range(2, image.ndim))


def follow(operator: str, pointwise: bool, args: Sequence[Any], out: Tensor, see: See) -> Fields:
    """What `out` sees, made by the operator from `args`; raises Lost."""
    if rule := RULES.get(operator):
        return rule(args, out, see)
    if pointwise:
        return _union(((t, see(t)) for t in args if isinstance(t, Tensor)), out)
    raise Lost(operator)


def _seen(x: Tensor, see: See) -> Fields:
    fields = see(x)
    if fields is None:
        raise Lost("what depends on the image is not the first argument")
    return fields


def _union(inputs: Iterable[tuple[Tensor, Fields | None]], out: Tensor) -> Fields:
    """Branches of one shape joined: the hull of what they see, and the smallest of them."""
    branches = []
    for x, fields in inputs:
        if fields is not None:
            shift = out.ndim - x.ndim
            branches.append([f._replace(dim=_shift(f.dim, shift)) for f in fields])
            if any(f.dim is not None and x.shape[f.dim] != out.shape[f.dim + shift]
                   for f in fields):  # fmt: skip
                raise Lost("one position is spread over many")
    if not branches:
        raise Lost("what depends on the image is not an argument by position")
    return tuple(_hull(same_side) for same_side in zip(*branches, strict=True))


def _hull(branches: Sequence[Field]) -> Field:
    first = branches[0]
    if any((f.dim, f.length, f.step) != (first.dim, first.length, first.step) for f in branches):
        raise Lost("branches that do not lie over one another")
    near = min(branches, key=lambda f: f.near_hi - f.near_lo)
    return first._replace(
        lo=min(f.lo for f in branches),
        hi=max(f.hi for f in branches),
        near_lo=near.near_lo,
        near_hi=near.near_hi,
    )


def _shift(dim: int | None, by: int) -> int | None:
    return None if dim is None else dim + by


def _along(x: Tensor, fields: Fields, change: Callable[[Field, int], Field]) -> Fields:
    """Each field that still has a dimension to itself, changed; raises Lost for a flattened one."""
    changed = []
    for f in fields:
        if f.dim is not None and x.shape[f.dim] != f.length:
            raise Lost("positions that have been flattened")
        changed.append(f if f.dim is None else change(f, f.dim))
    return tuple(changed)


def _same(args: Sequence[Any], out: Tensor, see: See) -> Fields:
    return _union([(args[0], _seen(args[0], see))], out)


def _window(
    x: Tensor, out: Tensor, see: See, kernel: Any, stride: Any, padding: Any, dilation: Any
) -> Fields:
    def slide(f: Field, dim: int) -> Field:
        i = dim - (x.ndim - len(kernel))
        if i < 0:
            if dim > 0:
                raise Lost("a convolution across the positions of one side")
            return f
        k, s, p, d = (_side(values, i) for values in (kernel, stride, padding, dilation))
        return f.moved(-p, (k - 1) * d, step=f.step * s, length=out.shape[dim])

    return _along(x, _seen(x, see), slide)


def _side(values: Sequence[int], i: int) -> int:
    return values[i] if len(values) > 1 else values[0]


def _convolution(args: Sequence[Any], out: Tensor, see: See) -> Fields:
    x, weight, _, stride, padding, dilation, transposed = args[:7]
    if transposed or see(weight) is not None:
        raise Lost("a transposed convolution, or one whose weights depend on the image")
    return _window(x, out, see, weight.shape[2:], stride, padding, dilation)


def _max_pool(args: Sequence[Any], out: Tensor, see: See) -> Fields:
    x = args[0]
    kernel, stride, padding, dilation = (*args[1:], *([], [0], [1])[len(args) - 2 :])[:4]
    return _window(x, out, see, kernel, stride or kernel, padding, dilation)


def _average_pool(args: Sequence[Any], out: Tensor, see: See) -> Fields:
    x = args[0]
    kernel, stride, padding = (*args[1:], *([], [0])[len(args) - 2 :])[:3]
    return _window(x, out, see, kernel, stride or kernel, padding, [1])


def _adaptive_pool(args: Sequence[Any], out: Tensor, see: See) -> Fields:
    x = args[0]

    def shrink(f: Field, dim: int) -> Field:
        k, rest = divmod(f.length, out.shape[dim])
        if rest:
            raise Lost("windows of different sizes")
        if out.shape[dim] == 1:
            return f.gathered(dim)
        return f.moved(0, k - 1, step=f.step * k, length=out.shape[dim])

    return _along(x, _seen(x, see), shrink)


def _pad(args: Sequence[Any], out: Tensor, see: See) -> Fields:
    x, pads = args[0], args[1]  # pairs, the last dimension first

    def widen(f: Field, dim: int) -> Field:
        pair = 2 * (x.ndim - 1 - dim)
        before = pads[pair] if pair < len(pads) else 0
        return f.moved(-before, 0, length=out.shape[dim])

    return _along(x, _seen(x, see), widen)


_WHOLE: tuple[Any, ...] = (
    0,
    None,
    None,
    1,
)  # a slice's dimension, start, end and step unless given


def _slice(args: Sequence[Any], out: Tensor, see: See) -> Fields:
    x = args[0]
    axis, start, end, step = (*args[1:], *_WHOLE[len(args) - 1 :])
    axis %= x.ndim

    def pick(f: Field, dim: int) -> Field:
        if dim != axis:
            return f
        first = slice(start, end, step).indices(f.length)[0]
        return f.moved(first, 0, step=f.step * step, length=out.shape[dim])

    return _along(x, _seen(x, see), pick)


def _select(args: Sequence[Any], out: Tensor, see: See) -> Fields:
    x, axis, index = args
    axis %= x.ndim

    def pick(f: Field, dim: int) -> Field:
        if dim == axis:
            return f.moved(index % f.length, 0, dim=None, length=1)
        return f._replace(dim=dim - (dim > axis))

    return _along(x, _seen(x, see), pick)


def _reduce(args: Sequence[Any], out: Tensor, see: See) -> Fields:
    """A sum, mean or maximum over some dimensions: their positions are seen together."""
    x, dims = args[0], args[1] if len(args) > 1 else None
    dims = [dims] if isinstance(dims, int) else dims or range(x.ndim)
    gone = {dim % x.ndim for dim in dims}
    keep = out.ndim == x.ndim

    def place(dim: int) -> int:
        return dim if keep else dim - sum(d < dim for d in gone)

    return tuple(
        f if f.dim is None
        else f.gathered(f.dim if keep else None) if f.dim in gone
        else f._replace(dim=place(f.dim))
        for f in _seen(x, see)
    )  # fmt: skip


def _product(of: int) -> Rule:
    """A matrix product with constants: each row of the left factor is seen together."""

    def rule(args: Sequence[Any], out: Tensor, see: See) -> Fields:
        x = args[of]
        others = (t for i, t in enumerate(args) if i != of and isinstance(t, Tensor))
        if any(see(t) is not None for t in others):
            raise Lost("a product of two things that depend on the image")
        last = x.ndim - 1
        return tuple(f.gathered(None) if f.dim == last else f for f in _seen(x, see))

    return rule


def _softmax(args: Sequence[Any], out: Tensor, see: See) -> Fields:
    fields = _same(args, out, see)
    if any(f.dim == args[1] % out.ndim for f in fields):
        raise Lost("a softmax over positions")
    return fields


def _cat(args: Sequence[Any], out: Tensor, see: See) -> Fields:
    axis = (args[1] if len(args) > 1 else 0) % out.ndim
    branches = [(t, see(t)) for t in args[0]]
    if any(f.dim == axis for _, fields in branches for f in fields or ()):
        raise Lost("positions set side by side")
    return _union(branches, out)


def _permute(order: Callable[..., Sequence[int]]) -> Rule:
    def rule(args: Sequence[Any], out: Tensor, see: See) -> Fields:
        x = args[0]
        new = [dim % x.ndim for dim in order(x.ndim, *args[1:])]
        return tuple(
            f if f.dim is None else f._replace(dim=new.index(f.dim)) for f in _seen(x, see)
        )

    return rule


def _swap(ndim: int, a: int, b: int) -> list[int]:
    order = list(range(ndim))
    order[a], order[b] = order[b], order[a]
    return order


def _view(args: Sequence[Any], out: Tensor, see: See) -> Fields:
    """Dimensions taken together, or ones added and dropped."""
    x = args[0]
    place = _places(x.shape, out.shape)
    return tuple(
        f if f.dim is None else f._replace(dim=None if f.length == 1 else place(f.dim))
        for f in _seen(x, see)
    )


def _places(before: Sequence[int], after: Sequence[int]) -> Callable[[int], int]:
    """Where a dimension of the old shape has gone in the new one, which holds the same values."""

    def place(dim: int) -> int:
        start = math.prod(before[dim + 1 :])  # values from one position to the next
        for new, size in enumerate(after):
            inner = math.prod(after[new + 1 :])
            if size > 1 and inner <= start and start * before[dim] <= inner * size:
                return new
        raise Lost("positions dealt out over several dimensions")

    return place


RULES: dict[str, Rule] = {
    "convolution": _convolution,
    "max_pool2d_with_indices": _max_pool, "max_pool3d_with_indices": _max_pool,
    "avg_pool1d": _average_pool, "avg_pool2d": _average_pool, "avg_pool3d": _average_pool,
    "_adaptive_avg_pool2d": _adaptive_pool, "_adaptive_avg_pool3d": _adaptive_pool,
    "adaptive_max_pool2d": _adaptive_pool, "adaptive_max_pool3d": _adaptive_pool,
    "constant_pad_nd": _pad, "slice": _slice, "select": _select,
    "mean": _reduce, "sum": _reduce, "amax": _reduce, "amin": _reduce,
    "mm": _product(0), "bmm": _product(0),
    "addmm": _product(1), "baddbmm": _product(1),
    "_softmax": _softmax, "_log_softmax": _softmax,
    "native_batch_norm": _same, "classicnets::lrn": _same, "clone": _same, "_to_copy": _same,
    "detach": _same, "alias": _same, "expand": _same, "native_dropout": _same,
    "cat": _cat,
    "permute": _permute(lambda ndim, order: order),
    "transpose": _permute(_swap),
    "t": _permute(lambda ndim: range(ndim)[::-1]),
    "view": _view, "_unsafe_view": _view, "_reshape_alias": _view,
    "unsqueeze": _view, "squeeze": _view,
}  # fmt: skip
