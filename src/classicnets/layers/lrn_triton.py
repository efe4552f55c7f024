"""Local response normalisation on a GPU: one Triton kernel forward and one backward.

Every value is read from memory once and written once; its neighbours among the maps, which other
threads read too, come from the caches. Imported only when a tensor on a GPU needs it.
"""

# pyright: reportMissingImports=false
# (not every torch comes with Triton)

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
MAX_WINDOW = 9  # maps; the loops over a window are unrolled, two nested ones in the backward pass
BLOCK = 512  # columns per program
WARPS = 4
DEEP = 16  # maps per column where the maps of a pixel are not contiguous
LONG = 2**31  # elements from which indices need 64 bits


def forward(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """The layer's output, for tensors of one of the `DTYPES`; the arithmetic is in float32."""
    y = torch.empty_like(x)
    if _is_dense(x):
        _launch(_forward, (x, y), x, size, alpha, beta, k)
        return y
    return y.copy_(forward(x.contiguous(), size, alpha, beta, k))


def backward(g: Tensor, x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """The gradient with respect to x, given that with respect to the layer's output."""
    dx = torch.empty_like(x)
    if _is_dense(x):
        # the gradient has the layout of the next layer
        g = torch.empty_like(x).copy_(g) if g.stride() != x.stride() else g
        _launch(_backward, (g, x, dx), x, size, alpha, beta, k)
        return dx
    return dx.copy_(backward(g, x.contiguous(), size, alpha, beta, k))


def _is_dense(x: Tensor) -> bool:
    return x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)


def _launch(kernel, tensors, x: Tensor, size: int, alpha: float, beta: float, k: float) -> None:
    """In memory x is [outer][maps][inner]: inner is one image's map, or 1 with channels_last."""
    if not x.numel():
        return
    maps = x.shape[1]
    inner = x.shape[2] * x.shape[3] if x.is_contiguous() else 1
    deep = 1 if inner == 1 else min(DEEP, maps)
    chunks = triton.cdiv(maps, deep)
    columns = x.numel() // maps * chunks
    with torch.cuda.device_of(x):
        kernel[(triton.cdiv(columns, BLOCK),)](
            *tensors,
            *(columns, inner, alpha, beta, k),
            MAPS=maps,
            CHUNKS=chunks,
            DEEP=deep,
            HALF=min(size // 2, maps - 1),
            ROOTS=beta == 0.75,
            WIDE=x.numel() + BLOCK * maps >= LONG,
            BLOCK=BLOCK,
            num_warps=WARPS,
            num_stages=1,
        )


# A column is a few maps of one pixel. Columns are numbered in memory order, so that a program reads
# contiguous ones. do_not_specialize hides that pointers are multiples of 16 bytes: the compiler
# would give each thread four consecutive values, which spreads the reads of a neighbour over four
# times as many cache lines. @no_type_check keeps runtime type checkers out of the kernels.
@triton.jit(do_not_specialize=["x", "y", "columns"])
@no_type_check
def _forward(
    x, y, columns, inner, alpha, beta, k,
    MAPS: tl.constexpr, CHUNKS: tl.constexpr, DEEP: tl.constexpr, HALF: tl.constexpr,
    ROOTS: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    first, at, here = _columns(columns, inner, MAPS, CHUNKS, DEEP, WIDE, BLOCK)
    for step in range(DEEP):
        i = first + step
        inside = here & (i >= 0) & (i < MAPS)
        place = at + step * inner
        power, _ = _powers(
            x, place, i, here, inner, alpha, beta, k, 0, MAPS, HALF, ROOTS, BLOCK
        )  # fmt: skip
        a = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
        tl.store(y + place, (a * power).to(y.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["g", "x", "dx", "columns"])
@no_type_check
def _backward(
    g, x, dx, columns, inner, alpha, beta, k,
    MAPS: tl.constexpr, CHUNKS: tl.constexpr, DEEP: tl.constexpr, HALF: tl.constexpr,
    ROOTS: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    first, at, here = _columns(columns, inner, MAPS, CHUNKS, DEEP, WIDE, BLOCK)
    for step in range(DEEP):
        i = first + step
        inside = here & (i >= 0) & (i < MAPS)
        place = at + step * inner
        across = tl.full((BLOCK,), 0.0, tl.float32)
        direct = tl.full((BLOCK,), 0.0, tl.float32)
        for d in tl.static_range(-HALF, HALF + 1):
            # the gradient that map i receives through map i + d, whose window contains it
            there = here & (i + d >= 0) & (i + d < MAPS)
            b = tl.load(g + place + d * inner, mask=there, other=0.0).to(tl.float32)
            a = tl.load(x + place + d * inner, mask=there, other=0.0).to(tl.float32)
            power, steep = _powers(
                x, place, i, here, inner, alpha, beta, k, d, MAPS, HALF, ROOTS, BLOCK
            )  # fmt: skip
            across += tl.where(there, b * a * steep, 0.0)
            if d == 0:
                direct = b * power
        a = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
        slope = direct - 2.0 * alpha * beta * a * across
        tl.store(dx + place, slope.to(dx.dtype.element_ty), mask=inside)


@triton.jit
@no_type_check
def _columns(
    columns, inner, MAPS: tl.constexpr, CHUNKS: tl.constexpr, DEEP: tl.constexpr,
    WIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """For each column its first map, the address of that map, and whether the column exists."""
    program = tl.program_id(0)
    if WIDE:
        program = program.to(tl.int64)
    column = program * BLOCK + tl.arange(0, BLOCK)
    row = column // inner
    first = row % CHUNKS * DEEP
    at = (row // CHUNKS * MAPS + first) * inner + column % inner
    return first, at, column < columns


@triton.jit
@no_type_check
def _powers(
    x, place, i, here, inner, alpha, beta, k, d: tl.constexpr,
    MAPS: tl.constexpr, HALF: tl.constexpr, ROOTS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """s ** -beta and s ** (-beta - 1) of map i + d, where s is k + alpha * its sum of squares."""
    total = tl.full((BLOCK,), 0.0, tl.float32)
    for e in tl.static_range(-HALF, HALF + 1):
        # i + (d + e), so that the compiler recognises the neighbours of other d and reads them once
        there = here & (i + (d + e) >= 0) & (i + (d + e) < MAPS)
        a = tl.load(x + place + (d + e) * inner, mask=there, other=0.0).to(tl.float32)
        total += a * a
    s = k + alpha * total
    if ROOTS:
        root = tl.rsqrt(s)
        power = tl.sqrt(root) * root
        steep = power * root * root
    else:
        power = tl.exp2(-beta * tl.log2(s))
        steep = power / s
    return power, steep
