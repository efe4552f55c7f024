"""The training loop. It yields a record per step; whoever iterates decides when to stop."""

import math
from collections.abc import Iterator
from functools import partial
from itertools import islice

import torch
from torch import Tensor, nn

from classicnets.data.crops import centre_boxes
from classicnets.data.images import ImageFiles, Images, Splits
from classicnets.data.loader import stream
from classicnets.data.members import Members, shard_order
from classicnets.support.devices import network_device
from classicnets.support.errors import one_line
from classicnets.support.rng import generator_for, seeded_torch
from classicnets.training.execution import distributed
from classicnets.training.execution.batches import leaves_out_parameters
from classicnets.training.execution.graph import GraphedCallable
from classicnets.training.execution.step import backends_for, make_graphable, set_lr, step
from classicnets.training.recipe.balance import balanced_order
from classicnets.training.recipe.constraint import FilterRms
from classicnets.training.recipe.recipe import Recipe
from classicnets.training.recipe.schedules import History

from .config import RunConfig
from .stages import divide
from .state import Metrics, Record, TrainingState

CHECK_EVERY = 50  # steps; looking at the loss synchronizes with the device


class Diverged(ValueError):
    """The loss is no longer finite."""


def initialise(network: nn.Module, recipe: Recipe, seed: int) -> None:
    """Draws the initial values on the CPU: the same values on every device."""
    device = network_device(network)
    recipe.init(network.cpu(), generator_for(seed, "init", 0))
    network.to(device)


def start(network: nn.Module, config: RunConfig) -> TrainingState:
    """The state before the first step, for a network that has its initial values.

    A network in evaluation mode is trained as a whole; of one in training mode the parts in
    evaluation mode stay so.
    """
    device = network_device(network)
    recipe, execution = config.recipe, config.execution
    optimizer = recipe.optimizer.build(network)
    stages = divide(network, recipe, optimizer)
    unused = distributed.world_size() > 1 and (
        bool(stages) or leaves_out_parameters(network, config.input, recipe.loss)
    )
    model = execution.wrap(network, device, unused)
    evaluating = [m for m in network.modules() if not m.training] if network.training else []
    graph = None
    if execution.graph:
        make_graphable(optimizer, device)
        once = partial(step, minimum=config.minimum, execution=execution)
        graph = GraphedCallable(partial(once, model, optimizer, config.loss(device)))
    return TrainingState(
        network=network,
        model=model,
        optimizer=optimizer,
        average=recipe.average.build(network) if recipe.average else None,
        totals=torch.zeros(3, device=device, dtype=torch.float64),
        graph=graph,
        evaluating=tuple(evaluating),
        stages=stages,
    )


def train(
    state: TrainingState, config: RunConfig, data: Splits, workers: int | None = None
) -> Iterator[Record]:
    """From where the state stands to the end of the recipe, or of its patience; a record per step.

    Stopping between two records and continuing from the same state changes nothing, and neither
    does anything done in between. `workers` is as in `stream`. Raises a ValueError when the loss is
    no longer finite.
    """
    while not has_ended(state, config):
        yield from _epoch(state, config, data, workers)


def has_ended(state: TrainingState, config: RunConfig) -> bool:
    """Whether there is nothing left to train."""
    return state.step >= config.total_steps or has_stalled(state, config)


def has_stalled(state: TrainingState, config: RunConfig) -> bool:
    """Whether the recipe's patience is over: so many epochs were not better than those before."""
    patience = config.recipe.patience
    return patience is not None and state.waited >= patience


def next_lr(state: TrainingState, config: RunConfig) -> float:
    """The learning rate of the next step; the schedule spans the whole length of the training."""
    steps = config.total_steps
    history = History(steps / config.steps_per_epoch, state.validation, state.lowest)
    return config.recipe.lr(state.step / steps, history)


def fit_to_length(state: TrainingState, config: RunConfig) -> int:
    """Adapts a restored state to a length that may have changed; returns the epochs it has ended.

    An epoch that the former length cut short is continued, and an average that would not have begun
    yet begins anew.
    """
    ended, cut = divmod(state.step, config.steps_per_epoch)
    ended += cut > 0 and state.step >= config.total_steps
    state.validation = state.validation[:ended]
    average = config.recipe.average
    if average and state.average and state.step <= average.since * config.total_steps:
        state.average.n_averaged.zero_()
    return ended


def dry_run(state: TrainingState, config: RunConfig, data: Splits) -> None:
    """Runs every part of the recipe once on two images, without an update.

    Raises a ValueError for a part that fails.
    """
    recipe, some = config.recipe, torch.arange(min(2, len(data.train)))
    generator = generator_for(config.seed, "rehearsal", 0)
    sizes = data.train.sizes[some]
    boxes = recipe.crop_sampler.sample(sizes, recipe.side, recipe.crop, generator)
    x, _ = next(stream(data.train, [(some, boxes)], recipe.crop, 0))
    for augmentation in config.augment:
        try:
            x = augmentation(x, generator)
        except RuntimeError as error:
            raise ValueError(f"{augmentation!r} does not fit these images: {error}") from error
    x = config.scaling(x)
    if isinstance(recipe.constraint, FilterRms):
        recipe.constraint.filters(state.network)
    recipe.optimizer.before_epoch(state.optimizer, state.network, lambda count: x)
    try:
        float(recipe.lr(0.0, History()))
    except Exception as error:  # a user's own schedule may do anything
        raise ValueError(f"lr={recipe.lr!r} does not give a number ({one_line(error)})") from error


@torch.no_grad()
def evaluate(
    network: nn.Module, config: RunConfig, images: Images | ImageFiles, workers: int | None = None
) -> Metrics:
    """Loss and errors over all the images, one centre crop each, sharded over the processes."""
    network.eval()
    recipe, execution, device = config.recipe, config.execution, images.labels.device
    boxes = centre_boxes(images.sizes, recipe.side, recipe.crop)
    # the recipe's batch fits into memory, but one image at a time would be slow
    size = max(-(-recipe.batch // execution.accumulation_steps), 64)
    shard = distributed.shard(torch.arange(len(images)))
    requests = ((indices, boxes[indices]) for indices in shard.split(size))
    totals = torch.zeros(3, device=device, dtype=torch.float64)
    for x, labels in stream(images, requests, recipe.crop, workers):
        with execution.autocast(device):
            scores = network(execution.to_layout(config.scaling(x)))
            loss = config.loss(device)(scores, labels) * len(x)
        right = scores.topk(min(5, scores.shape[1])).indices == labels[:, None]
        totals += torch.stack([loss, (~right[:, 0]).sum(), (~right.any(1)).sum()])
    loss, top1, top5 = (distributed.all_reduce(totals) / len(images)).tolist()
    return Metrics(loss, 100 * top1, 100 * top5 if len(config.classes) > 5 else None)


def require_finite(state: TrainingState, weights: bool = False) -> None:
    """Raises a ValueError when this epoch's losses, or the `weights`, are no longer finite."""
    if not state.totals[1].isfinite():
        raise Diverged(_divergence(state))
    if weights and not all(p.isfinite().all() for p in state.network.parameters()):
        raise Diverged(_divergence(state, "a weight"))


def _epoch(
    state: TrainingState, config: RunConfig, data: Splits, workers: int | None
) -> Iterator[Record]:
    """What is left of this epoch, and the validation at its end."""
    recipe, train, device = config.recipe, data.train, state.totals.device
    per_epoch, steps = config.steps_per_epoch, config.total_steps
    epoch, done = divmod(state.step, per_epoch)
    epochs = config.epochs
    if recipe.layer_rates is not None:
        state.set_rates(recipe.layer_rates(epoch, epochs, len(state.stages) - 1))
    if done == 0:
        state.totals.zero_()
        draw = partial(_draw_images, config, data, epoch)
        recipe.optimizer.before_epoch(state.optimizer, state.network, draw)
    resize = recipe.progressive_resizing
    size = resize(recipe.crop, (epoch + 1) / epochs) if resize else recipe.crop
    elements = recipe.batch * data.channels * size**2
    requests = islice(_requests(config, data, epoch), done, steps - epoch * per_epoch)
    for x, labels in stream(train, requests, size, workers):
        lr = next_lr(state, config)
        if state.step % per_epoch == 0:
            state.first_lr = float(lr)
        purpose = f"torch {distributed.rank()}"
        with (
            backends_for(elements, benchmark=True),
            seeded_torch(config.seed, purpose, state.step, device),
        ):
            _step(state, config, lr, x, labels)
            last = state.step % per_epoch == 0 or state.step == steps
            totals = state.totals.clone()
            if last or state.step % CHECK_EVERY == 0:
                distributed.all_reduce(totals)
                require_finite(state)
                state.lowest = min(state.lowest, (100 * totals[2] / totals[0]).item())
            validation = _validate(state, config, data, workers) if last else None
        yield Record(
            step=state.step,
            steps=steps,
            epoch=epoch + 1,
            epochs=epochs,
            first_lr=state.first_lr,
            lr=lr,
            totals=totals,
            validation=validation,
            best=validation is not None and state.waited == 0,
        )


def _requests(config: RunConfig, data: Splits, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """This process's shard of each batch of an epoch: indices of images and their crop boxes."""
    recipe, train = config.recipe, data.train
    order = _order(config, data, generator_for(config.seed, "order", epoch))
    generator = generator_for(config.seed, "window", epoch)
    # all of an epoch at once: with one image a step this is what takes the time
    boxes = recipe.crop_sampler.sample(train.sizes[order], recipe.side, recipe.crop, generator)
    sizes = config.batches()
    for request in zip(order.split(sizes), boxes.split(sizes), strict=True):
        yield distributed.shard(request[0]), distributed.shard(request[1])


def _order(
    config: RunConfig, data: Splits, generator: torch.Generator, balanced: bool = False
) -> Tensor:
    """The indices of the training images in the order of an epoch."""
    if balanced or config.recipe.sampler == "balanced":
        return balanced_order(data.train.labels.cpu(), data.classes, generator)
    if isinstance(data.train, ImageFiles) and isinstance(data.train.paths, Members):
        shards, processes = data.train.paths.rows[:, 0], distributed.world_size()
        return shard_order(shards, config.batches(), processes, generator)
    return torch.randperm(len(data.train), generator=generator)


def _draw_images(config: RunConfig, data: Splits, epoch: int, count: int) -> Tensor:
    """Centre crops of `count` training images, scaled, for the optimizer.

    Each class is drawn as often as it counts in training.
    """
    recipe, train = config.recipe, data.train
    generator = generator_for(config.seed, "curvature", epoch)
    drawn = _order(config, data, generator, balanced=bool(config.class_weights))[:count]
    boxes = centre_boxes(train.sizes[drawn], recipe.side, recipe.crop)
    batches = stream(train, [(drawn, boxes)], recipe.crop, 0)
    return torch.cat([config.scaling(x) for x, _ in batches])


def _step(state: TrainingState, config: RunConfig, lr: float, x: Tensor, labels: Tensor) -> None:
    recipe, weight = config.recipe, 1.0
    if (processes := distributed.world_size()) > 1:
        done = state.step % config.steps_per_epoch
        last = done == config.steps_per_epoch - 1
        whole = config.images[0] - done * recipe.batch if last else recipe.batch
        weight = processes * len(x) / whole
    state.set_training()
    if config.augment:
        generator = generator_for(config.seed, f"augment {distributed.rank()}", state.step)
        for augmentation in config.augment:
            x = augmentation(x, generator)
    x = config.scaling(x)
    set_lr(state.optimizer, lr)
    if state.graph is not None:
        loss, wrong = state.graph(x, labels)
    else:
        parts = state.model, state.optimizer, config.loss(x.device)
        loss, wrong = step(*parts, x, labels, config.execution, weight, config.minimum)
    if recipe.constraint is not None:
        recipe.constraint(state.network)
    state.totals += torch.stack([torch.full_like(loss, len(x)), loss * len(x), wrong])
    state.step += 1
    average = recipe.average
    if average is not None and state.average and state.step > average.since * config.total_steps:
        state.average.update_parameters(state.network)


def _validate(
    state: TrainingState, config: RunConfig, data: Splits, workers: int | None
) -> Metrics:
    distributed.broadcast_buffers(state.network)
    validation = evaluate(state.evaluated, config, data.validation, workers)
    if not math.isfinite(validation.loss):
        raise Diverged(_divergence(state))
    state.waited = 0 if validation.rank < state.best else state.waited + 1
    state.best = min(state.best, validation.rank)
    state.validation = (*state.validation, validation.top1_error)
    return validation


def _divergence(state: TrainingState, what: str = "the loss") -> str:
    lr = max(float(group["lr"]) for group in state.optimizer.param_groups)
    return (
        f"{what} is no longer finite at step {state.step} with a learning rate of {lr:g}; "
        "try a lower one"
    )
