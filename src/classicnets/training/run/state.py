"""What changes during training, and what each step reports."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from classicnets.training.execution.graph import GraphedCallable


class Stage(NamedTuple):
    """A part of a network whose layers learn at one rate: its name, modules and parameters."""

    name: str
    modules: tuple[nn.Module, ...]
    parameters: tuple[nn.Parameter, ...]


@dataclass
class TrainingState:
    """All that changes in training, and so, but for `model` and `graph`, what a checkpoint holds.

    `model` is the network as steps call it, possibly compiled or in DDP; `evaluating` are the parts
    of it that stay in evaluation mode, such as frozen batch normalisation; `stages` are those with
    learning rates of their own, the last one its head, and `resting` those that do not learn in
    this epoch; `average` holds the averaged weights, `graph` the step where it is recorded.
    `totals` are of this epoch: images seen, the sum of their losses, wrong answers; `first_lr` is
    the learning rate at its first step.
    `validation` has the top-1 error of each epoch, `lowest` the lowest training error seen, `best`
    the best validation so far: top-1 error, loss; `waited` counts the epochs since then.
    """

    network: nn.Module
    model: nn.Module
    optimizer: Optimizer
    average: AveragedModel | None
    totals: Tensor
    graph: GraphedCallable | None = None
    evaluating: tuple[nn.Module, ...] = ()
    stages: tuple[Stage, ...] = ()
    resting: tuple[Stage, ...] = ()
    step: int = 0
    first_lr: float = 0.0
    validation: tuple[float, ...] = ()
    lowest: float = math.inf
    best: tuple[float, float] = (math.inf, math.inf)
    waited: int = 0

    def set_training(self) -> None:
        """Training mode, after an evaluation; asking every layer takes its time."""
        if not self.network.training:
            self.model.train()
            resting = (module for stage in self.resting for module in stage.modules)
            for part in (*self.evaluating, *resting):
                part.training = False

    def set_rates(self, factors: Sequence[float]) -> None:
        """The factors of the learning rate for the stages; those of rate 0 rest: no gradients, and
        evaluation mode."""
        for stage, factor in zip(self.stages, factors, strict=True):
            for parameter in stage.parameters:
                parameter.requires_grad_(factor > 0)
        for group in self.optimizer.param_groups:
            group["factor"] = factors[group["stage"]]
        resting = tuple(s for s, factor in zip(self.stages, factors, strict=True) if not factor)
        if resting != self.resting:
            self.resting = resting
            self.network.eval()  # so that the modes are set before the next step
            if self.graph is not None:
                self.graph.forget()

    @property
    def evaluated(self) -> nn.Module:
        """The network that is evaluated and saved: the averaged one, once there is one."""
        if self.average is not None and self.average.n_averaged > 0:
            return self.average.module
        return self.network


@dataclass(frozen=True)
class Metrics:
    """Mean loss, and top-1 and top-5 error in %, over a whole set.

    With five classes or fewer there is no top-5 error.
    """

    loss: float
    top1_error: float
    top5_error: float | None

    @property
    def rank(self) -> tuple[float, float]:
        """Smaller is better."""
        return self.top1_error, self.loss


@dataclass(frozen=True)
class Record:
    """One step. Loss and error (in %) are means over the epoch so far; reading them synchronizes
    with the device. `first_lr` is the learning rate at the first step of the epoch, `lr` at this
    one. The last record of an epoch has the validation, and whether it is the `best` so far.
    """

    step: int
    steps: int
    epoch: int
    epochs: int
    first_lr: float
    lr: float
    totals: Tensor = field(repr=False)
    validation: Metrics | None = None
    best: bool = False

    @property
    def images(self) -> int:
        return int(self.totals[0].item())

    @property
    def loss(self) -> float:
        return (self.totals[1] / self.totals[0]).item()

    @property
    def error(self) -> float:
        return (100 * self.totals[2] / self.totals[0]).item()
