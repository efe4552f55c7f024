"""Local response normalisation as the papers print it, with a hand-written backward pass.

torch's own layer divides alpha by the window and allocates several full-size temporaries;
benchmarks/lrn.py times both. On a GPU it is one Triton kernel forward and one backward
(`lrn_triton`); where Triton does not work, the eager code is compiled, or runs as it is.
"""

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

# convention: the divisor of alpha for a window of n maps, and the default k
CONVENTIONS = {
    "paper": (lambda n: 1, 2.0),  # AlexNet, section 3.3: the printed formula
    "cuda-convnet": (lambda n: n, 2.0),  # the authors' code
    "caffe": (lambda n: n, 1.0),  # Caffe's models; also torch.nn.LocalResponseNorm
}


class LocalResponseNorm(nn.Module):
    """b_i = a_i / (k + alpha * sum of a_j^2 over the n maps around i)^beta (AlexNet, section 3.3).

    (n, c, h, w) -> (n, c, h, w). With the `convention` "paper" alpha is that of the formula;
    "cuda-convnet" and "caffe" divide it by n. k defaults to the convention's.
    Differentiable once, not twice. Raises a ValueError for an even window or an unknown convention.

    >>> f"{LocalResponseNorm()(torch.ones(1, 1, 1, 1)).item():.6f}", f"{(2 + 1e-4) ** -0.75:.6f}"
    ('0.594581', '0.594581')
    """

    def __init__(
        self,
        size: int = 5,
        alpha: float = 1e-4,
        beta: float = 0.75,
        k: float | None = None,
        convention: str = "paper",
    ):
        super().__init__()
        if size < 1 or size % 2 == 0:
            raise ValueError(f"size must be odd, so that map i is its centre, not {size}")
        if convention not in CONVENTIONS:
            raise ValueError(
                f"convention must be one of {', '.join(CONVENTIONS)}, not {convention!r}"
            )
        divisor, default_k = CONVENTIONS[convention]
        self.size, self.beta = size, beta
        self.alpha = alpha / divisor(size)
        self.k = default_k if k is None else k

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return _lrn(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"size={self.size}, alpha={self.alpha:g}, beta={self.beta:g}, k={self.k:g}"


# One operator, so that counting, torch.compile and export see a single node.
@torch.library.custom_op("classicnets::lrn", mutates_args=())
def _lrn(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    return _implementation(x, size).forward(x, size, alpha, beta, k)


@torch.library.custom_op("classicnets::lrn_backward", mutates_args=())
def _lrn_backward(g: Tensor, x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    return _implementation(x, size).backward(g, x, size, alpha, beta, k)


@_lrn.register_fake
def _(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    return torch.empty_like(x)


@_lrn_backward.register_fake
def _(g: Tensor, x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    return torch.empty_like(x)


def _save(ctx, inputs, output) -> None:
    x, *ctx.constants = inputs
    ctx.save_for_backward(x)


def _backward(ctx, g: Tensor):
    return _lrn_backward(g, *ctx.saved_tensors, *ctx.constants), None, None, None, None


_lrn.register_autograd(_backward, setup_context=_save)


class Implementation(NamedTuple):
    """The functions that compute values and gradients."""

    forward: Callable[[Tensor, int, float, float, float], Tensor]
    backward: Callable[[Tensor, Tensor, int, float, float, float], Tensor]


def _implementation(x: Tensor, size: int) -> Implementation:
    """The fastest implementation for this tensor and window that runs on its device."""
    if not x.is_cuda:
        return EAGER
    return _triton(x.device, x.dtype, size) or _compiled(x.device, x.dtype) or EAGER


@lru_cache
def _triton(device: torch.device, dtype: torch.dtype, size: int) -> Implementation | None:
    """The Triton kernels; None if they lack this dtype or window, or if Triton does not run."""
    try:
        kernels = import_module(".lrn_triton", __package__)
        implementation = Implementation(kernels.forward, kernels.backward)
        supported = dtype in kernels.DTYPES and size <= kernels.MAX_WINDOW
    except Exception:  # Triton is missing, or does not match this torch
        return None
    return implementation if supported and _runs(implementation, device, dtype) else None


@lru_cache
def _compiled(device: torch.device, dtype: torch.dtype) -> Implementation | None:
    implementation = Implementation(torch.compile(_forward), torch.compile(_gradient))
    return implementation if _runs(implementation, device, dtype) else None


def _runs(implementation: Implementation, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether it runs here: missing tools, such as a C compiler, only show in the first call."""
    try:
        x = torch.ones(1, 1, 1, 1, device=device, dtype=dtype)
        implementation.forward(x, 1, 1.0, 0.75, 1.0)
    except torch.OutOfMemoryError:
        raise
    except Exception:  # compilers raise errors of many types
        return False
    return True


def _forward(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    y = torch.empty_like(x)
    for a, b in zip(_chunks(x), _chunks(y), strict=True):
        b.copy_(_power(_scale(a, size, alpha, k), beta).mul_(a))
    return y


def _gradient(g: Tensor, x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    dx = torch.empty_like(x)
    for da, a, db in zip(_chunks(dx), _chunks(x), _chunks(g), strict=True):
        scale = _scale(a, size, alpha, k)
        direct = _power(scale, beta).mul_(db)
        across = _window_sum((direct * a).div_(scale), size)
        da.copy_(direct.addcmul_(across, a, value=-2 * alpha * beta))
    return dx


EAGER = Implementation(_forward, _gradient)


def _chunks(x: Tensor) -> tuple[Tensor, ...]:
    # the maps of one image stay in a CPU's cache during the dozen passes over them
    return x.split(1) if x.device.type == "cpu" else (x,)


def _exact(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _scale(x: Tensor, size: int, alpha: float, k: float) -> Tensor:
    return _window_sum(x.to(_exact(x)).square(), size).mul_(alpha).add_(k)


def _window_sum(x: Tensor, size: int) -> Tensor:
    """The sum over the maps within size // 2 of each, without multiplications."""
    maps = x.shape[1]
    total = x.clone()
    for shift in range(1, min(size // 2, maps - 1) + 1):
        total.narrow(1, shift, maps - shift).add_(x.narrow(1, 0, maps - shift))
        total.narrow(1, 0, maps - shift).add_(x.narrow(1, shift, maps - shift))
    return total


def _power(scale: Tensor, beta: float) -> Tensor:
    """scale ** -beta; 0.75, as in the papers, from two square roots, which is faster than pow."""
    if beta != 0.75:
        return scale.pow(-beta)
    root = scale.rsqrt()
    return root.sqrt().mul_(root)
