"""Resuming a run, bit for bit, and extending it."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from classicnets import catalog
from classicnets.data.images import Splits
from classicnets.data.sets import open_data
from classicnets.support.arguments import answering
from classicnets.support.devices import select_device
from classicnets.support.errors import option
from classicnets.support.files import lock_directory
from classicnets.support.names import HUB
from classicnets.training.execution import distributed
from classicnets.training.recipe.recipe import Recipe, custom_parts
from classicnets.training.recipe.serialization import to_json
from classicnets.training.run import checkpoint, loop
from classicnets.training.run.config import LENGTH, RunConfig
from classicnets.training.run.directory import Run, open_run
from classicnets.training.run.stages import freeze

from .recipes import load_recipe, with_overrides
from .run_data import place_of_data, require_unchanged
from .runs import Source, build
from .train import Training, begin, check_arguments, plain, warn_of


@answering()
def resume(
    run: str | Path,
    network: Source = None,
    data: str | Path | Splits | None = None,
    device: str = "auto",
    workers: int | None = None,
    recipe: str | Recipe | None = None,
    epochs: int | None = None,
) -> Training:
    """The training of this run, from its checkpoint, or from its beginning if it has none.

    With `epochs` it lasts so many in all, also if it has ended, and the schedule spans them: from
    here on each step has the learning rate that a run of so many epochs has there.

    A run of your own network needs it again, as in `load`; one of data made in Python the data; one
    whose data have moved their new place, which its run.json then has; and one whose recipe has a
    part of your own that `recipe`, or `FILE.py:NAME`. Raises ValueError when the run is missing,
    damaged, of another network, when its recipe or data have changed since, for an unknown device,
    and for fewer epochs than are done.
    """
    check_arguments(0, workers)
    if str(run).startswith(HUB):
        raise ValueError(
            f"{run} is on the hub, which has no checkpoint to resume from; a new run starts from "
            f"its weights with {option('init_from', str(run))}"
        )
    where = distributed.init(select_device(device), "a run to resume")
    open_run(Path(run))  # or an error, before anything is written there
    if distributed.rank() == 0:
        lock_directory(Path(run))  # before what another process may be writing is read
    found = open_run(Path(run))
    stored = found.config
    _require_complete(found, network)
    recipe = _recipe_of(found, recipe)
    splits = (
        data
        if isinstance(data, Splits)
        else open_data(
            data or place_of_data(stored),
            stored.side,
            stored.input[0],
            whole=recipe.crop_sampler.whole,
            allow_missing_classes=True,
        )
    )
    require_unchanged(stored, splits)
    module = build(found, network)
    freeze(module, recipe)
    augment = stored.augment
    if any(custom_parts(augment)):
        augment = tuple(part.fit(splits.train) for part in recipe.augment)
    execution = stored.execution.on(where)
    recipe = with_overrides(recipe, epochs)
    differences = _differences(stored, recipe)
    config = replace(
        stored, recipe=recipe, differences=differences, augment=augment, execution=execution
    )
    if not found.last.exists():
        loop.initialise(module, recipe, config.seed)
    training = begin(found, config, splits, module.to(where), where, workers)
    if found.last.exists():
        checkpoint.restore(training.state, found.last, stored.fixed())
        training.saved = training.state.step
        if training.state.validation and not found.weights.exists():
            raise ValueError(f"no {found.weights}, the best weights so far; train again")
    distributed.require_same("the step of their checkpoint", training.state.step)
    training.adapted = dict(found.notes.get("adapted") or {})
    training.chosen = f"as the run began: {execution}"
    training.given = {name.partition(".")[0] for name in _origin(found).get("overrides") or ()}
    ended = loop.fit_to_length(training.state, config)
    if epochs is not None:
        _extend(training, epochs)
    if distributed.rank() == 0:
        if data is not None:
            found.config = replace(found.config, data=splits.name)
            found.note()
        found.forget_epochs_after(ended)
    warn_of(training)
    return training


def _extend(training: Training, epochs: int) -> None:
    """Gives the run this length, and new patience if its own is over.

    Raises a ValueError, before anything is written, for fewer epochs than are done.
    """
    run, state, config = training.run, training.state, training.config
    before, stalled = run.config, loop.has_stalled(state, config)
    if config.total_steps < state.step:
        begun = math.ceil(state.step / config.steps_per_epoch)
        raise ValueError(
            f"epochs must be at least {begun}, as many as {run.directory} has begun, not {epochs}"
        )
    if before.total_steps == config.total_steps and not stalled:
        return
    where = "after it stopped early" if stalled else f"{before.epochs} before"
    training.adapted = {
        **(training.adapted or {}),
        "epochs": f"{epochs} in all, {where}{_rates(training)}",
    }
    recipe = with_overrides(before.recipe, epochs)
    run.config = replace(before, recipe=recipe, differences=config.differences)
    if stalled:
        state.waited = 0
    if distributed.rank() == 0:
        if stalled:
            checkpoint.save(state, run.last, run.config.fixed())
        steps = {"from_steps": before.total_steps, "to_steps": config.total_steps}
        extended = [*(run.notes.get("extended") or ()), {"step": state.step, **steps}]
        origin = {**_origin(run), "epochs": epochs}
        given = origin.get("overrides") or {}
        origin["overrides"] = {name: given[name] for name in given if name not in LENGTH}
        for past in ("stopped_early", "ended", "diverged"):
            run.notes.pop(past, None)
        run.note(origin=origin, extended=extended, test=None)


def _rates(training: Training) -> str:
    """How the learning rate goes on."""
    state, config, rows = training.state, training.config, training.run.epochs
    if state.step >= config.total_steps:
        return ""
    before = f" after {rows[-1].last_lr:.4g}" if rows else ""
    return (
        f"; the schedule spans all of them, and the learning rate goes on with "
        f"{loop.next_lr(state, config):.4g}{before}"
    )


def _differences(config: RunConfig, recipe: Recipe) -> dict[str, tuple[int | str, int | str]]:
    """How the run's recipe, with another length, differs from the paper's, if it has one."""
    if config.network not in catalog.CATALOG:
        return {}
    differences = dict(config.differences)
    for name in LENGTH:
        ours, before = (plain(getattr(one, name)) for one in (recipe, config.recipe))
        _, paper = differences.pop(name, (before, before))
        if ours != paper:
            differences[name] = ours, paper
    return differences


def _require_complete(run: Run, network: Source) -> None:
    """Raises a ValueError where there is no state to continue from.

    A run that was killed in its first epoch has none and begins anew; copies of others may lack it.
    """
    further = len(run.epochs) > 1 or run.ended
    if not run.last.exists() and (further or isinstance(network, nn.Module)):
        raise ValueError(f"no checkpoint {run.last} to resume from; train again")


def _recipe_of(run: Run, given: str | Recipe | None) -> Recipe:
    """The recipe of a run; parts of your own, whose code a run does not keep, are the given one's.

    Like the file of a network that of a recipe runs only when the user names it.
    """
    origin, part = _origin(run), next(custom_parts(run.config.recipe), None)
    if part is None and given is None:
        return run.config.recipe
    if part is None:
        raise ValueError(
            f"the recipe of {run.directory} is kept and has no part of your own; "
            f"leave out {option('recipe', given)}"
        )
    if given is None:
        file = str(origin.get("recipe", ""))
        own = option("recipe", file if ".py" in file else "FILE.py:NAME")
        raise ValueError(
            f"the recipe of {run.directory} has a part of your own, {part.source}, whose code runs "
            f"only when you name it: add {own}"
        )
    recipe = load_recipe(given) if isinstance(given, str) else given
    recipe = with_overrides(recipe, origin.get("epochs"), origin.get("overrides"))
    then, now = to_json(run.config.recipe), to_json(recipe)
    for name in then:
        if name not in (run.notes.get("adapted") or {}) and then[name] != now.get(name):
            file = given if isinstance(given, str) else "the recipe"
            raise ValueError(
                f"{file} has changed since the run: {name} was {then[name]} and is {now.get(name)}"
            )
    # all but the parts of your own is as it was, adapted to the data
    own = {name: getattr(recipe, name) for name in then if _is_custom(run, name)}
    if "augment" in own:
        kept = zip(recipe.augment, now["augment"], strict=True)
        own["augment"] = tuple(part for part, stored in kept if stored in then["augment"])
    return replace(run.config.recipe, **own)


def _origin(run: Run) -> dict[str, Any]:
    """What the run was asked for."""
    return run.notes.get("origin") or {}


def _is_custom(run: Run, field: str) -> bool:
    return any(custom_parts(getattr(run.config.recipe, field)))
