"""The loop. It yields records; whoever iterates decides what becomes of them, and when to stop."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from classicnets.data.batches import stream
from classicnets.data.images import Files, Images, Splits
from classicnets.data.pixels import Scaling
from classicnets.data.windows import centre

from . import parallel
from .chance import source, torch_drawing_from
from .graph import Graph
from .rates import History
from .recipe import Fitted, Recipe
from .step import Execution, require_graph, set_rate, step, suited_to

CHECK_EVERY = 50  # steps; looking at the loss waits for the device


@dataclass(frozen=True)
class Plan:
    """What a training is given, and what does not change while it runs.

    `scaling` and `augment` are the recipe's, with their figures from the training pictures;
    `workers` read pictures that do not lie in memory.
    """

    recipe: Recipe
    splits: Splits
    scaling: Scaling
    augment: tuple[Fitted, ...]
    execution: Execution
    seed: int
    workers: int | None = None


@dataclass
class State:
    """All that changes in training, and so, but for `called` and `graph`, what a checkpoint holds.

    `called` is the network as steps call it, which may be compiled or one of many; `average` is the
    recipe's, `graph` the step where it is recorded. `totals` are of this pass: the pictures seen,
    the sum of their losses, the wrong answers. `validation` has the top-1 error of each pass,
    `lowest` the lowest training error that was looked at, `best` the best validation so far: top-1
    error, loss.
    """

    network: nn.Module
    called: nn.Module
    optimizer: Optimizer
    average: AveragedModel | None
    totals: Tensor
    graph: Graph | None = None
    step: int = 0
    validation: tuple[float, ...] = ()
    lowest: float = math.inf
    best: tuple[float, float] = (math.inf, math.inf)

    @property
    def judged(self) -> nn.Module:
        """The network that counts: the average, once there is one."""
        if self.average is not None and self.average.n_averaged > 0:
            return self.average.module
        return self.network


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


def start(network: nn.Module, plan: Plan) -> State:
    """The state before the first step: initial values drawn, the optimizer built."""
    device = next(network.parameters(), torch.empty(0)).device
    # drawn on the CPU: the same values on every device
    plan.recipe.init(network.cpu(), source(plan.seed, "init", 0))
    network.to(device)
    called = plan.execution.prepared(network, device)
    average = plan.recipe.average
    optimizer = plan.recipe.optimizer.build(network)
    graph = None
    if plan.execution.graph:
        require_graph(device, optimizer)
        update = partial(step, called, optimizer, plan.recipe.loss, execution=plan.execution)
        graph = Graph(update)
    return State(
        network=network,
        called=called,
        optimizer=optimizer,
        average=average.build(network) if average else None,
        totals=torch.zeros(3, device=device, dtype=torch.float64),
        graph=graph,
    )


def train(state: State, plan: Plan) -> Iterator[Record]:
    """From where the state stands to the end of the recipe, a record per step.

    Stopping between two records and going on from the same state changes nothing, and neither does
    anything done in between. Raises a ValueError when the loss is no longer finite.
    """
    while state.step < plan.recipe.length(len(plan.splits.train))[1]:
        yield from _epoch(state, plan)


def rehearse(state: State, plan: Plan) -> None:
    """All that a step needs from its recipe, once, with two pictures; nothing is learnt.

    Raises a ValueError for a part that fails.
    """
    recipe, train = plan.recipe, plan.splits.train
    some = torch.arange(min(2, len(train)))
    chance = source(plan.seed, "rehearsal", 0)
    windows = recipe.window.draw(train.sizes[some], recipe.side, recipe.crop, chance)
    x, _ = next(stream(train, [(some, windows)], recipe.crop, 0))
    for augmentation in plan.augment:
        try:
            x = augmentation(x, chance)
        except RuntimeError as error:
            raise ValueError(f"{augmentation!r} does not fit these pictures: {error}") from error
    x = plan.scaling(x)
    if getattr(recipe.optimizer, "samples", 0):
        state.optimizer.before_pass(state.network, x)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        float(recipe.rate(0.0, History()))
    except Exception as error:  # a part of one's own may do anything
        said = f"{type(error).__name__}: {error}"
        raise ValueError(f"the rate {recipe.rate!r} gives no number ({said})") from error


@torch.no_grad()
def judge(network: nn.Module, plan: Plan, images: Images | Files) -> Judgement:
    """Loss and errors over all the images, one centre view each, shared among the processes."""
    network.eval()
    recipe, device = plan.recipe, images.labels.device
    windows = centre(images.sizes, recipe.side, recipe.crop)
    # the recipe's batch fits into memory, but one picture at a time would be slow
    size = max(-(-recipe.batch // plan.execution.parts), 64)
    requests = ((at, windows[at]) for at in parallel.share(torch.arange(len(images))).split(size))
    totals = torch.zeros(3, device=device, dtype=torch.float64)
    for x, labels in stream(images, requests, recipe.crop, plan.workers):
        with plan.execution.casting(device):
            scores = network(plan.execution.laid(plan.scaling(x)))
            loss = recipe.loss(scores, labels) * len(x)
        right = scores.topk(min(5, scores.shape[1])).indices == labels[:, None]
        totals += torch.stack([loss, (~right[:, 0]).sum(), (~right.any(1)).sum()])
    loss, top1, top5 = (parallel.summed(totals) / len(images)).tolist()
    return Judgement(loss, 100 * top1, 100 * top5)


def _epoch(state: State, plan: Plan) -> Iterator[Record]:
    """What is left of this pass, and the validation at its end."""
    recipe, train, device = plan.recipe, plan.splits.train, state.totals.device
    a_pass, steps = recipe.length(len(train))
    epoch, done = divmod(state.step, a_pass)
    epochs = math.ceil(steps / a_pass)
    if done == 0:
        state.totals.zero_()
        _before_pass(state, plan, epoch)
    size = recipe.growth(recipe.crop, (epoch + 1) / epochs) if recipe.growth else recipe.crop
    numbers = recipe.batch * plan.splits.channels * size**2
    requests = islice(_requests(plan, epoch), done, steps - epoch * a_pass)
    for x, labels in stream(train, requests, size, plan.workers):
        history = History(steps / a_pass, state.validation, state.lowest)
        rate = recipe.rate(state.step / steps, history)
        mine = f"torch {parallel.rank()}"
        with suited_to(numbers, True), torch_drawing_from(plan.seed, mine, state.step, device):
            _step(state, plan, rate, x, labels)
            last = state.step % a_pass == 0 or state.step == steps
            totals = state.totals.clone()
            if last or state.step % CHECK_EVERY == 0:
                parallel.summed(totals)
                require_finite(state)
                state.lowest = min(state.lowest, (100 * totals[2] / totals[0]).item())
            validation = _validate(state, plan) if last else None
        yield Record(
            step=state.step,
            steps=steps,
            epoch=epoch + 1,
            epochs=epochs,
            rate=rate,
            totals=totals,
            validation=validation,
            best=validation is not None and validation.rank == state.best,
        )


def _requests(plan: Plan, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """This process's share of each batch of a pass: which pictures, and what of them is seen."""
    recipe, train = plan.recipe, plan.splits.train
    order = torch.randperm(len(train), generator=source(plan.seed, "order", epoch))
    chance = source(plan.seed, "window", epoch)
    # all of a pass at once: with one picture a step this is what takes the time
    windows = recipe.window.draw(train.sizes[order], recipe.side, recipe.crop, chance)
    for request in zip(order.split(recipe.batch), windows.split(recipe.batch), strict=True):
        yield parallel.share(request[0]), parallel.share(request[1])


def _step(state: State, plan: Plan, rate: float, x: Tensor, labels: Tensor) -> None:
    recipe, share = plan.recipe, 1.0
    a_pass, steps = recipe.length(len(plan.splits.train))
    if (processes := parallel.size()) > 1:
        left = len(plan.splits.train) - state.step % a_pass * recipe.batch
        share = processes * len(x) / min(recipe.batch, left)
    if not state.network.training:  # as after a judgement; asking every layer takes its time
        state.called.train()
    if plan.augment:
        chance = source(plan.seed, f"augment {parallel.rank()}", state.step)
        for augmentation in plan.augment:
            x = augmentation(x, chance)
    x = plan.scaling(x)
    set_rate(state.optimizer, rate)
    if state.graph is not None:
        loss, wrong = state.graph(x, labels)
    else:
        loss, wrong = step(
            state.called, state.optimizer, recipe.loss, x, labels, plan.execution, share
        )
    if recipe.constraint is not None:
        recipe.constraint(state.network)
    state.totals += torch.stack([torch.full_like(loss, len(x)), loss * len(x), wrong])
    state.step += 1
    average = recipe.average
    if state.average is not None and average is not None and state.step > average.since * steps:
        state.average.update_parameters(state.network)


def _before_pass(state: State, plan: Plan, epoch: int) -> None:
    """Shows the optimizer some pictures, where it wants to see them before a pass."""
    count = getattr(plan.recipe.optimizer, "samples", 0)
    if not count:
        return
    train = plan.splits.train
    drawn = torch.randperm(len(train), generator=source(plan.seed, "curvature", epoch))[:count]
    windows = centre(train.sizes[drawn], plan.recipe.side, plan.recipe.crop)
    x = torch.cat(
        [plan.scaling(x) for x, _ in stream(train, [(drawn, windows)], plan.recipe.crop, 0)]
    )
    state.optimizer.before_pass(state.network, x)  # pyright: ignore[reportAttributeAccessIssue]


def require_finite(state: State) -> None:
    """Raises a ValueError when this pass's losses are no longer numbers."""
    if not state.totals[1].isfinite():
        raise Diverged(_diverged(state))


class Diverged(ValueError):
    """The loss is no longer a number."""


def _validate(state: State, plan: Plan) -> Judgement:
    parallel.agree_on_buffers(state.network)
    validation = judge(state.judged, plan, plan.splits.validation)
    if not math.isfinite(validation.loss):
        raise Diverged(_diverged(state))
    state.best = min(state.best, validation.rank)
    state.validation = (*state.validation, validation.top1_error)
    return validation


def _diverged(state: State) -> str:
    rate = float(state.optimizer.param_groups[0]["lr"])
    return (
        f"the loss is no longer finite at step {state.step}, with a rate of {rate:g}; "
        "a lower rate may help"
    )
