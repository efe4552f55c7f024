"""Resuming a run, bit for bit."""

from dataclasses import replace
from pathlib import Path

from torch import nn

from classicnets.data.images import Splits
from classicnets.data.sets import open_data
from classicnets.support.devices import select_device
from classicnets.training.execution import distributed
from classicnets.training.recipe.recipe import Recipe, custom_parts
from classicnets.training.recipe.serialization import to_json
from classicnets.training.run import checkpoint, loop
from classicnets.training.run.directory import Run, open_run

from .recipes import load_recipe, with_overrides
from .runs import build, require_unchanged, with_sizes
from .train import Training, begin, check_arguments


def resume(
    run: str | Path,
    network: nn.Module | None = None,
    data: Splits | None = None,
    device: str = "auto",
    workers: int | None = None,
) -> Training:
    """The training of this run, from its checkpoint, or from its beginning if it has none.

    A run of your own module needs that module again, and one of data made in Python the data.
    Raises ValueError when the run is missing, damaged, of another network, when its recipe, data
    or the file of its recipe have changed since, and for an unknown device.
    """
    check_arguments(0, workers)
    where = distributed.init(select_device(device))
    found = open_run(Path(run))
    stored = found.config
    recipe = _own_recipe(found) if any(custom_parts(stored.recipe)) else stored.recipe
    splits = data or open_data(
        stored.data,
        stored.side,
        stored.input[0],
        whole=recipe.crop_sampler.whole,
        allow_missing_classes=True,
    )
    require_unchanged(stored, splits)
    if network is not None and not found.last.exists():
        raise ValueError(f"no checkpoint {found.last} to resume from; train again")
    module = build(found) if network is None else with_sizes(network, stored.input, stored.seed)
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
    if distributed.rank() == 0:
        found.forget_epochs_after(training.state.step)
    return training


def _own_recipe(run: Run) -> Recipe:
    """The recipe of a run that has parts from your own file, read from that file again."""
    origin = run.notes.get("origin", {})
    file = str(origin.get("recipe", ""))
    if ".py" not in file:
        part = next(custom_parts(run.config.recipe))
        raise ValueError(
            f"the recipe of {run.directory} has a part of your own, {part.source}, which a run "
            "does not keep: it can be evaluated but not resumed"
        )
    recipe = with_overrides(load_recipe(file), origin.get("epochs"), origin.get("overrides"))
    then, now = to_json(run.config.recipe), to_json(recipe)
    for name in then:
        if name not in run.notes.get("adapted", {}) and then[name] != now.get(name):
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
