"""What changes during training, and what each step reports."""

import math
from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from classicnets.training.execution.graph import GraphedCallable


@dataclass
class TrainingState:
    """All that changes in training, and so, but for `model` and `graph`, what a checkpoint holds.

    `model` is the network as steps call it, possibly compiled or in DDP; `evaluating` are the parts
    of it that stay in evaluation mode, such as frozen batch normalisation; `average` holds the
    averaged weights, `graph` the step where it is recorded. `totals` are of this epoch: images
    seen, the sum of their losses, wrong answers; `first_lr` is the learning rate at its first step.
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
            for part in self.evaluating:
                part.training = False

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
