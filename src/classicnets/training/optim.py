"""Update rules as values; `build` ties one to a network. Each step sets the rate before."""

# pyright: reportPrivateImportUsage=false
# for the operations on lists of tensors, without which a step on small ones is mostly overhead

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

from classicnets.layers.bounds import bounded

from .curvature import curvature

FUSED_ON = ("cpu", "cuda")


@dataclass(frozen=True)
class SGD:
    """v <- momentum v + gradient + decay w; w <- w - rate v: the rate is outside the velocity.

    That is torch's rule. AlexNet's and Caffe's have the rate inside, and part company with it
    whenever the rate changes. `decay_all=False` spares biases and normalisation.
    """

    momentum: float = 0.0
    decay: float = 0.0
    nesterov: bool = False
    decay_all: bool = True

    def __post_init__(self):
        bounded(self, momentum=(0, 1), decay=(0, math.inf))

    def build(self, network: nn.Module) -> Optimizer:
        learned = _learned(network)
        groups = [{"params": learned, "weight_decay": self.decay}]
        if not self.decay_all:
            groups = [
                {"params": [p for p in learned if p.ndim > 1], "weight_decay": self.decay},
                {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
            ]
        return torch.optim.SGD(
            [group for group in groups if group["params"]],
            lr=0.0,
            momentum=self.momentum,
            nesterov=self.nesterov,
            fused=all(p.device.type in FUSED_ON for p in learned),
        )


@dataclass(frozen=True)
class SGDRateInside:
    """v <- momentum v - decay rate w - rate gradient; w <- w + v: the rate is inside the velocity.

    Krizhevsky et al. 2012, section 5. After the rate has dropped, what the velocity holds was still
    taken at the old one. All parameters decay.
    """

    momentum: float
    decay: float = 0.0

    def __post_init__(self):
        bounded(self, momentum=(0, 1), decay=(0, math.inf))

    def build(self, network: nn.Module) -> Optimizer:
        return RateInside(_learned(network), self.momentum, self.decay)


@dataclass(frozen=True)
class LevenbergMarquardt:
    """w <- w - rate / (mu + h) gradient, where h is the curvature along that weight.

    Gradient and curvature are those of the error divided by `unit`.

    The stochastic diagonal Levenberg-Marquardt method, LeCun et al. 1998, section III-C and
    appendix C. Before each pass h is estimated from so many `samples` of the pictures by
    `before_pass`, and is then frozen.
    """

    mu: float = 0.02
    samples: int = 500
    unit: float = 1.0

    def __post_init__(self):
        bounded(self, mu=(1e-12, math.inf), samples=(1, math.inf), unit=(1e-12, math.inf))

    def build(self, network: nn.Module) -> "DiagonalLevenbergMarquardt":
        return DiagonalLevenbergMarquardt(_learned(network), self.mu * self.unit)


Rule = SGD | SGDRateInside | LevenbergMarquardt


class RateInside(Optimizer):
    """What `SGDRateInside` builds; the state of a parameter is its velocity."""

    def __init__(self, parameters: list[nn.Parameter], momentum: float, decay: float):
        super().__init__(parameters, {"lr": 0.0, "momentum": momentum, "weight_decay": decay})

    @torch.no_grad()
    def step(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        for group in self.param_groups:
            learned, gradients = _with_gradients(group["params"])
            velocities = [self._velocity(p) for p in learned]
            rate = group["lr"]
            torch._foreach_mul_(velocities, group["momentum"])
            torch._foreach_add_(velocities, learned, alpha=-group["weight_decay"] * rate)
            torch._foreach_add_(velocities, gradients, alpha=-rate)
            torch._foreach_add_(learned, velocities)

    def _velocity(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "velocity" not in state:
            state["velocity"] = torch.zeros_like(parameter)
        return state["velocity"]


class DiagonalLevenbergMarquardt(Optimizer):
    """What `LevenbergMarquardt` builds; the state of a parameter is its curvature h."""

    # rate / (mu + h / unit) gradient / unit is rate / (mu unit + h) gradient
    def __init__(self, parameters: list[nn.Parameter], mu: float):
        super().__init__(parameters, {"lr": 0.0, "mu": mu})
        self.scales: dict[Tensor, Tensor] = {}

    def before_pass(self, network: nn.Module, x: Float[Tensor, "n ..."]) -> None:
        """Estimates the curvature from these pictures, and keeps it until the next call."""
        curvatures = curvature(network, x)
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                self.state[parameter]["curvature"] = curvatures[name]
        self._scale()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().load_state_dict(dict(state_dict))
        self._scale()

    def _scale(self) -> None:
        """1 / (mu + h), once for the million steps of a pass."""
        self.scales = {
            parameter: 1 / (group["mu"] + self.state[parameter]["curvature"])
            for group in self.param_groups
            for parameter in group["params"]
            if parameter in self.state
        }

    @torch.no_grad()
    def step(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        assert self.scales, "before_pass comes before the first step"
        for group in self.param_groups:
            learned, gradients = _with_gradients(group["params"])
            scales = [self.scales[p] for p in learned]
            torch._foreach_addcmul_(learned, gradients, scales, value=-group["lr"])


def _learned(network: nn.Module) -> list[nn.Parameter]:
    learned = [p for p in network.parameters() if p.requires_grad]
    if not learned:
        raise ValueError(f"{type(network).__name__} has no parameters to train")
    return learned


def _with_gradients(parameters: list[nn.Parameter]) -> tuple[list[Tensor], list[Tensor]]:
    """Those that this step's loss depends on, and their gradients."""
    pairs = [(p, p.grad) for p in parameters if p.grad is not None]
    assert pairs, "backward comes before a step"
    return [p for p, _ in pairs], [gradient for _, gradient in pairs]
