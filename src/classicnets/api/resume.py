"""Resuming a run, bit for bit."""

import shlex
from dataclasses import replace
from pathlib import Path

from torch import nn

from classicnets.data.images import Splits
from classicnets.data.sets import open_data
from classicnets.support.devices import select_device
from classicnets.support.files import lock_directory
from classicnets.training.execution import distributed
from classicnets.training.recipe.recipe import Recipe, custom_parts
from classicnets.training.recipe.serialization import to_json
from classicnets.training.run import checkpoint, loop
from classicnets.training.run.directory import Run, open_run

from .recipes import load_recipe, with_overrides
from .runs import Source, build, place_of_data, require_unchanged
from .train import Training, begin, check_arguments


def resume(
    run: str | Path,
    network: Source = None,
    data: str | Splits | None = None,
    device: str = "auto",
    workers: int | None = None,
    recipe: str | Recipe | None = None,
) -> Training:
    """The training of this run, from its checkpoint, or from its beginning if it has none.

    A run of your own network needs it again, as in `load`; one of data made in Python the data; one
    whose data have moved their new place, which its run.json then has; and one whose recipe has a
    part of your own that `recipe`, or `FILE.py:NAME`. Raises ValueError when the run is missing,
    damaged, of another network, when its recipe or data have changed since, and for an unknown
    device.
    """
    check_arguments(0, workers)
    where = distributed.init(select_device(device))
    open_run(Path(run))  # or an error, before anything is written there
    if distributed.rank() == 0:
        lock_directory(Path(run))  # before what another process may be writing is read
    found = open_run(Path(run))
    stored = found.config
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
    _require_complete(found, network)
    module = build(found, network)
    augment = stored.augment
    if any(custom_parts(augment)):
        augment = tuple(part.fit(splits.train) for part in recipe.augment)
    execution = stored.execution.on(where)
    config = replace(stored, recipe=recipe, augment=augment, execution=execution)
    if not found.last.exists():
        loop.initialise(module, recipe, config.seed)
    training = begin(found, config, splits, module.to(where), where, workers)
    if found.last.exists():
        checkpoint.restore(training.state, found.last, stored.fixed())
        training.saved = training.state.step
        if training.state.validation and not found.weights.exists():
            raise ValueError(f"no {found.weights}, the best weights so far; train again")
    if distributed.rank() == 0:
        if data is not None:
            found.config = replace(stored, data=splits.name)
            found.note()
        found.forget_epochs_after(training.state.step)
    return training


def _require_complete(run: Run, network: Source) -> None:
    """Raises a ValueError where there is no state to continue from.

    A run that was killed in its first epoch has none and begins anew; copies of others may lack it.
    """
    further = len(run.epochs) > 1 or run.notes.get("test") is not None
    if not run.last.exists() and (further or isinstance(network, nn.Module)):
        raise ValueError(f"no checkpoint {run.last} to resume from; train again")


def _recipe_of(run: Run, given: str | Recipe | None) -> Recipe:
    """The recipe of a run; parts of your own, whose code a run does not keep, are the given one's.

    Like the file of a network that of a recipe runs only when the user names it.
    """
    origin, part = run.notes.get("origin") or {}, next(custom_parts(run.config.recipe), None)
    if part is None and given is None:
        return run.config.recipe
    if part is None:
        raise ValueError(
            f"--resume keeps the recipe of {run.directory}, which has no part of your own; "
            "remove --recipe"
        )
    if given is None:
        file = str(origin.get("recipe", ""))
        own = shlex.quote(file) if ".py" in file else "FILE.py:NAME"
        raise ValueError(
            f"the recipe of {run.directory} has a part of your own, {part.source}, whose code runs "
            f"only when you name it: add --recipe {own}, or recipe= in Python"
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
        own["augment"] = tuple(part for part, told in kept if told in then["augment"])
    return replace(run.config.recipe, **own)


def _is_custom(run: Run, field: str) -> bool:
    return any(custom_parts(getattr(run.config.recipe, field)))
