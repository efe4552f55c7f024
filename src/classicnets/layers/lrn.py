"""Local response normalisation as the papers print it, with a backward pass written by hand.

torch's own divides alpha by the window and goes through several full-size temporaries; see
benchmarks/lrn.py for what that costs. On a GPU it is one kernel each way (`lrn_triton`); where that
is not to be had, the code for the CPU is compiled for it, or goes as it is.
"""

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

# convention: what alpha is divided by, given the window n; and the usual k
CONVENTIONS = {
    "paper": (lambda n: 1, 2.0),  # AlexNet, section 3.3: the printed formula
    "cuda-convnet": (lambda n: n, 2.0),  # the authors' code
    "caffe": (lambda n: n, 1.0),  # Caffe's models; also torch.nn.LocalResponseNorm
}


class LocalResponseNorm(nn.Module):
    """b_i = a_i / (k + alpha * sum of a_j^2 over the n maps around i)^beta (AlexNet, section 3.3).

    `convention` says how alpha is meant: "paper" takes it as it stands in the formula;
    "cuda-convnet" and "caffe" divide it by n. k is the convention's unless given.
    Has a first derivative, no second. Raises ValueError for an even window or an unknown
    convention. (n, c, h, w) -> (n, c, h, w)

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
            raise ValueError(f"size must be odd, so that map i is in the middle, not {size}")
        if convention not in CONVENTIONS:
            raise ValueError(
                f"convention must be one of {', '.join(CONVENTIONS)}, not {convention!r}"
            )
        divisor, usual_k = CONVENTIONS[convention]
        self.size, self.beta = size, beta
        self.alpha = alpha / divisor(size)
        self.k = usual_k if k is None else k

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return _lrn(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"size={self.size}, alpha={self.alpha:g}, beta={self.beta:g}, k={self.k:g}"


# One operator, so that whoever counts, compiles or exports sees one thing.
@torch.library.custom_op("classicnets::lrn", mutates_args=())
def _lrn(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    return _way(x, size).forward(x, size, alpha, beta, k)


@torch.library.custom_op("classicnets::lrn_backward", mutates_args=())
def _lrn_backward(g: Tensor, x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    return _way(x, size).backward(g, x, size, alpha, beta, k)


@_lrn.register_fake
def _(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    return torch.empty_like(x)


@_lrn_backward.register_fake
def _(g: Tensor, x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    return torch.empty_like(x)


def _keep(ctx, inputs, output) -> None:
    x, *ctx.constants = inputs
    ctx.save_for_backward(x)


def _backward(ctx, g: Tensor):
    return _lrn_backward(g, *ctx.saved_tensors, *ctx.constants), None, None, None, None


_lrn.register_autograd(_backward, setup_context=_keep)


class Way(NamedTuple):
    """How values and gradients are computed."""

    forward: Callable[[Tensor, int, float, float, float], Tensor]
    backward: Callable[[Tensor, Tensor, int, float, float, float], Tensor]


def _way(x: Tensor, size: int) -> Way:
    """The fastest for this tensor and window that works on its device."""
    if not x.is_cuda:
        return PLAIN
    return _kernels(x.device, x.dtype, size) or _compiled(x.device, x.dtype) or PLAIN


@lru_cache
def _kernels(device: torch.device, dtype: torch.dtype, size: int) -> Way | None:
    """None where there are none for such numbers or windows, or Triton lacks something here."""
    try:
        kernels = import_module(".lrn_triton", __package__)
        way = Way(kernels.forward, kernels.backward)
        fits = dtype in kernels.DTYPES and size <= kernels.WIDEST
    except Exception:  # it is not installed, or not for this torch
        return None
    return way if fits and _works(way, device, dtype) else None


@lru_cache
def _compiled(device: torch.device, dtype: torch.dtype) -> Way | None:
    way = Way(torch.compile(_forward), torch.compile(_gradient))
    return way if _works(way, device, dtype) else None


def _works(way: Way, device: torch.device, dtype: torch.dtype) -> bool:
    """Compilers look for what they need, such as another compiler, when they first work."""
    try:
        way.forward(torch.ones(1, 1, 1, 1, device=device, dtype=dtype), 1, 1.0, 0.75, 1.0)
    except torch.OutOfMemoryError:
        raise
    except Exception:  # each says so in its own way
        return False
    return True


def _forward(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    y = torch.empty_like(x)
    for a, b in zip(_pieces(x), _pieces(y), strict=True):
        b.copy_(_power(_scale(a, size, alpha, k), beta).mul_(a))
    return y


def _gradient(g: Tensor, x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    dx = torch.empty_like(x)
    for da, a, db in zip(_pieces(dx), _pieces(x), _pieces(g), strict=True):
        scale = _scale(a, size, alpha, k)
        direct = _power(scale, beta).mul_(db)
        across = _window_sum((direct * a).div_(scale), size)
        da.copy_(direct.addcmul_(across, a, value=-2 * alpha * beta))
    return dx


PLAIN = Way(_forward, _gradient)


def _pieces(x: Tensor) -> tuple[Tensor, ...]:
    # a processor's cache holds one image's maps through the dozen passes over them
    return x.split(1) if x.device.type == "cpu" else (x,)


def _exact(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _scale(x: Tensor, size: int, alpha: float, k: float) -> Tensor:
    return _window_sum(x.to(_exact(x)).square(), size).mul_(alpha).add_(k)


def _window_sum(x: Tensor, size: int) -> Tensor:
    """The sum over the maps within size // 2 of each, without multiplications."""
    maps = x.shape[1]
    total = x.clone()
    for away in range(1, min(size // 2, maps - 1) + 1):
        total.narrow(1, away, maps - away).add_(x.narrow(1, 0, maps - away))
        total.narrow(1, 0, maps - away).add_(x.narrow(1, away, maps - away))
    return total


def _power(scale: Tensor, beta: float) -> Tensor:
    """scale ** -beta; the papers' 0.75 from two square roots, several times as fast as pow."""
    if beta != 0.75:
        return scale.pow(-beta)
    root = scale.rsqrt()
    return root.sqrt().mul_(root)
