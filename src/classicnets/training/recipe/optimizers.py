"""Optimizers as values; `build` ties one to a network. The loop sets the lr at each step."""

# pyright: reportPrivateImportUsage=false
# for the operations on lists of tensors, without which a step on small ones is mostly overhead

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

from classicnets.support.errors import check_range
from classicnets.support.modules import require_parameters

from .curvature import curvature

FUSED_ON = ("cpu", "cuda")
DrawImages = Callable[[int], Float[Tensor, "n c h w"]]  # so many training images, scaled


class OptimizerSpec:
    """What a recipe's optimizer is: how it is built, and what it needs before each epoch."""

    @property
    def copies(self) -> int:
        """How many values it keeps per weight."""
        return 1

    @property
    def passes(self) -> int:
        """How many values an update reads or writes per weight."""
        return 3 + 2 * self.copies  # the gradient is read; weight and state are read and written

    def build(self, network: nn.Module) -> Optimizer:
        """The optimizer of these parameters. Raises ValueError for a network without any."""
        raise NotImplementedError

    def before_epoch(self, optimizer: Optimizer, network: nn.Module, draw: DrawImages) -> None:
        """Prepares the optimizer that `build` made; `draw(n)` gives n training images."""


def as_spec(optimizer: object) -> OptimizerSpec:
    """A recipe's optimizer, or what is assumed of one of your own: one value per weight, fused."""
    return optimizer if isinstance(optimizer, OptimizerSpec) else OptimizerSpec()


@dataclass(frozen=True)
class SGD(OptimizerSpec):
    """torch's SGD: v <- momentum v + gradient + weight_decay w; w <- w - lr v.

    AlexNet and Caffe have the learning rate inside the velocity, which differs whenever it
    changes: `CaffeSGD`. `decay_bias_and_norm=False` spares biases and normalisation.
    """

    momentum: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False
    decay_bias_and_norm: bool = True

    def __post_init__(self):
        check_range(self, momentum=(0, 1), weight_decay=(0, math.inf))

    @property
    def copies(self) -> int:
        return int(self.momentum > 0)

    def build(self, network: nn.Module) -> Optimizer:
        trainable = _trainable(network)
        return torch.optim.SGD(
            _groups(trainable, self.weight_decay, self.decay_bias_and_norm),
            lr=0.0,
            momentum=self.momentum,
            nesterov=self.nesterov,
            fused=_can_be_fused(trainable),
        )


@dataclass(frozen=True)
class Adam(OptimizerSpec):
    """torch's Adam: w <- w - lr m / (sqrt(v) + eps), from means m of the gradient and v of its
    square without their bias towards 0. Kingma and Ba, arXiv:1412.6980.

    The gradient includes weight_decay w. `betas` are the momenta of m and v;
    `decay_bias_and_norm=False` spares biases and normalisation.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    decay_bias_and_norm: bool = True

    rule: ClassVar[type[torch.optim.Adam]] = torch.optim.Adam

    def __post_init__(self):
        check_range(self, eps=(0, math.inf), weight_decay=(0, math.inf))
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(
                f"betas of {type(self).__name__} must be at least 0 and below 1, not {self.betas}"
            )

    @property
    def copies(self) -> int:
        return 2

    def build(self, network: nn.Module) -> Optimizer:
        trainable = _trainable(network)
        return self.rule(
            _groups(trainable, self.weight_decay, self.decay_bias_and_norm),
            lr=0.0,
            betas=self.betas,
            eps=self.eps,
            fused=_can_be_fused(trainable),
        )


@dataclass(frozen=True)
class AdamW(Adam):
    """torch's AdamW: Adam, with w <- w - lr weight_decay w beside its step, which the gradients do
    not scale. Loshchilov and Hutter, arXiv:1711.05101.
    """

    weight_decay: float = 0.01

    rule: ClassVar[type[torch.optim.Adam]] = torch.optim.AdamW


@dataclass(frozen=True)
class CaffeSGD(OptimizerSpec):
    """v <- momentum v - weight_decay lr w - lr gradient; w <- w + v, of AlexNet and Caffe.

    Krizhevsky et al. 2012, section 5. The learning rate is inside the velocity: after a drop, what
    the velocity holds was still scaled by the old one. All parameters decay.
    """

    momentum: float
    weight_decay: float = 0.0

    def __post_init__(self):
        check_range(self, momentum=(0, 1), weight_decay=(0, math.inf))

    @property
    def passes(self) -> int:
        return 2 + 3 * 3  # one operator on one tensor and three on two, where SGD's is fused

    def build(self, network: nn.Module) -> Optimizer:
        return CaffeSGDOptimizer(_trainable(network), self.momentum, self.weight_decay)


@dataclass(frozen=True)
class LevenbergMarquardt(OptimizerSpec):
    """w <- w - lr / (mu + h) gradient, where h is the curvature along that weight.

    Gradient and curvature are those of the error divided by `error_divisor`.

    The stochastic diagonal Levenberg-Marquardt method, LeCun et al. 1998, section III-C and
    appendix C. h is estimated from `samples` training images before each epoch and then frozen.
    """

    mu: float = 0.02
    samples: int = 500
    error_divisor: float = 1.0

    def __post_init__(self):
        check_range(self, mu=(1e-12, math.inf), samples=(1, math.inf))
        check_range(self, error_divisor=(1e-12, math.inf))

    def build(self, network: nn.Module) -> "DiagonalLevenbergMarquardt":
        return DiagonalLevenbergMarquardt(_trainable(network), self.mu * self.error_divisor)

    def before_epoch(self, optimizer: Optimizer, network: nn.Module, draw: DrawImages) -> None:
        assert isinstance(optimizer, DiagonalLevenbergMarquardt)
        optimizer.estimate_curvature(network, draw(self.samples))


class CaffeSGDOptimizer(Optimizer):
    """What `CaffeSGD` builds; the state of a parameter is its velocity."""

    def __init__(self, parameters: list[Tensor], momentum: float, weight_decay: float):
        defaults = {"lr": 0.0, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        for group in self.param_groups:
            parameters, gradients = _with_gradients(group["params"])
            if not parameters:  # of a stage that does not learn
                continue
            velocities = [self._velocity(p) for p in parameters]
            lr = group["lr"]
            torch._foreach_mul_(velocities, group["momentum"])
            torch._foreach_add_(velocities, parameters, alpha=-group["weight_decay"] * lr)
            torch._foreach_add_(velocities, gradients, alpha=-lr)
            torch._foreach_add_(parameters, velocities)

    def _velocity(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "velocity" not in state:
            state["velocity"] = torch.zeros_like(parameter)
        return state["velocity"]


class DiagonalLevenbergMarquardt(Optimizer):
    """What `LevenbergMarquardt` builds; the state of a parameter is its curvature h."""

    # lr / (mu + h / divisor) gradient / divisor is lr / (mu divisor + h) gradient
    def __init__(self, parameters: list[Tensor], mu: float):
        super().__init__(parameters, {"lr": 0.0, "mu": mu})
        self.scales: dict[Tensor, Tensor] = {}

    def estimate_curvature(self, network: nn.Module, x: Float[Tensor, "n ..."]) -> None:
        """Estimates the curvature on these images and keeps it until the next call."""
        curvatures = curvature(network, x)
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                self.state[parameter]["curvature"] = curvatures[name]
        self._scale()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().load_state_dict(dict(state_dict))
        self._scale()

    def _scale(self) -> None:
        """1 / (mu + h), computed once for all steps of an epoch."""
        self.scales = {
            parameter: 1 / (group["mu"] + self.state[parameter]["curvature"])
            for group in self.param_groups
            for parameter in group["params"]
            if parameter in self.state
        }

    @torch.no_grad()
    def step(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        assert self.scales, "estimate_curvature comes before the first step"
        for group in self.param_groups:
            parameters, gradients = _with_gradients(group["params"])
            if not parameters:
                continue
            scales = [self.scales[p] for p in parameters]
            torch._foreach_addcmul_(parameters, gradients, scales, value=-group["lr"])


def _trainable(network: nn.Module) -> list[Tensor]:
    require_parameters(network)
    return [p for p in network.parameters() if p.requires_grad]


def _groups(trainable: list[Tensor], decay: float, everywhere: bool) -> list[dict[str, Any]]:
    """Parameter groups: all decay, or all but those of at most one dimension."""
    decaying = [p for p in trainable if everywhere or p.ndim > 1]
    spared = [p for p in trainable if not everywhere and p.ndim <= 1]
    groups = (
        {"params": decaying, "weight_decay": decay},
        {"params": spared, "weight_decay": 0.0},
    )
    return [group for group in groups if group["params"]]


def _can_be_fused(trainable: list[Tensor]) -> bool:
    return all(p.device.type in FUSED_ON and p.is_floating_point() for p in trainable)


def _with_gradients(parameters: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Those that this step's loss depends on, and their gradients."""
    pairs = [(p, p.grad) for p in parameters if p.grad is not None]
    return [p for p, _ in pairs], [gradient for _, gradient in pairs]
