"""The loop. It yields records; whoever iterates decides what becomes of them, and when to stop."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from classicnets.data.batches import batches
from classicnets.data.images import Images, Splits
from classicnets.data.pixels import Scaling
from classicnets.data.views import centre

from .recipe import Recipe
from .step import drawing_from, seeded, step, threads_for

CHECK_EVERY = 50  # steps; looking at the loss waits for the device


@dataclass
class State:
    """All that changes in training, and so all that a checkpoint holds.

    `order` is the order of this epoch's pictures and `totals` the pictures seen in it, the sum of
    their losses, and the wrong answers. `best` is the best validation so far: top-1 error, loss.
    `generator` decides order and augmentation; dropout draws from `chance`, torch's own.
    """

    network: nn.Module
    optimizer: Optimizer
    generator: Generator
    chance: list[Tensor]
    order: Tensor
    totals: Tensor
    step: int = 0
    best: tuple[float, float] = (math.inf, math.inf)


@dataclass(frozen=True)
class Judgement:
    """Mean loss, and top-1 and top-5 error in %, over a whole set."""

    loss: float
    top1_error: float
    top5_error: float

    @property
    def rank(self) -> tuple[float, float]:
        return self.top1_error, self.loss


@dataclass(frozen=True)
class Record:
    """One step. Loss and error (in %) are means over the epoch so far; reading them waits for the
    device. The last record of an epoch carries the validation, and whether it is the `best` yet.
    """

    step: int
    steps: int
    epoch: int
    epochs: int
    rate: float
    totals: Tensor = field(repr=False)
    validation: Judgement | None = None
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


def start(network: nn.Module, recipe: Recipe, seed: int) -> State:
    """The state before the first step: initial values drawn, the optimizer built."""
    device = next(network.parameters(), torch.empty(0)).device
    generator = Generator().manual_seed(seed)
    recipe.init(network.cpu(), generator)  # the same values on every device
    network.to(device)
    return State(
        network=network,
        optimizer=recipe.optimizer.build(network),
        generator=generator,
        chance=seeded(device, seed),
        order=torch.empty(0, dtype=torch.long),
        totals=torch.zeros(3, device=device, dtype=torch.float64),
    )


def train(state: State, recipe: Recipe, splits: Splits, scaling: Scaling) -> Iterator[Record]:
    """From where the state stands to the end of the recipe, a record per step.

    Stopping between two records and going on from the same state changes nothing, and neither does
    anything done in between. Raises a ValueError when the loss is no longer finite.
    """
    while state.step < recipe.epochs * _per_epoch(recipe, splits):
        yield from _epoch(state, recipe, splits, scaling)


@torch.no_grad()
def judge(network: nn.Module, recipe: Recipe, images: Images, scaling: Scaling) -> Judgement:
    """Loss and errors over all the images, one centre view each."""
    network.eval()
    device = images.labels.device
    totals = torch.zeros(3, device=device, dtype=torch.float64)
    # the recipe's batch fits into memory, but one picture at a time would be slow
    for x, labels in batches(images, torch.arange(len(images)), max(recipe.batch, 64)):
        scores = network(scaling(centre(x, recipe.crop)))
        right = scores.topk(min(5, scores.shape[1])).indices == labels[:, None]
        loss = recipe.loss(scores, labels) * len(x)
        totals += torch.stack([loss, (~right[:, 0]).sum(), (~right.any(1)).sum()])
    loss, top1, top5 = (totals / len(images)).tolist()
    return Judgement(loss, 100 * top1, 100 * top5)


def _per_epoch(recipe: Recipe, splits: Splits) -> int:
    return math.ceil(len(splits.train) / recipe.batch)


def _epoch(state: State, recipe: Recipe, splits: Splits, scaling: Scaling) -> Iterator[Record]:
    """What is left of this epoch, and the validation at its end."""
    per_epoch = _per_epoch(recipe, splits)
    steps = per_epoch * recipe.epochs
    epoch, done = divmod(state.step, per_epoch)
    if done == 0:
        state.order = torch.randperm(len(splits.train), generator=state.generator)
        state.totals.zero_()
    numbers = recipe.batch * splits.channels * recipe.crop**2
    for x, labels in batches(splits.train, state.order[done * recipe.batch :], recipe.batch):
        rate = recipe.rate(state.step / steps)
        with threads_for(numbers), drawing_from(state.chance, state.totals.device):
            for augmentation in recipe.augment:
                x = augmentation(x, state.generator)
            x = scaling(centre(x, recipe.crop))
            loss, wrong = step(state.network, state.optimizer, recipe.loss, rate, x, labels)
            state.totals += torch.stack([torch.full_like(loss, len(x)), loss * len(x), wrong])
            state.step += 1
            last = state.step % per_epoch == 0
            if last or state.step % CHECK_EVERY == 0:
                require_finite(state)
            validation = _validate(state, recipe, splits, scaling) if last else None
        yield Record(
            step=state.step,
            steps=steps,
            epoch=epoch + 1,
            epochs=recipe.epochs,
            rate=rate,
            totals=state.totals.clone(),
            validation=validation,
            best=validation is not None and validation.rank == state.best,
        )


def require_finite(state: State) -> None:
    """Raises a ValueError when this epoch's losses are no longer numbers."""
    if not state.totals[1].isfinite():
        raise ValueError(_diverged(state))


def _validate(state: State, recipe: Recipe, splits: Splits, scaling: Scaling) -> Judgement:
    validation = judge(state.network, recipe, splits.validation, scaling)
    if not math.isfinite(validation.loss):
        raise ValueError(_diverged(state))
    state.best = min(state.best, validation.rank)
    return validation


def _diverged(state: State) -> str:
    rate = state.optimizer.param_groups[0]["lr"]
    return (
        f"the loss is no longer finite at step {state.step}, with a rate of {rate:g}; "
        "a lower rate may help"
    )
