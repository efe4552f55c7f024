"""Experiments: variants of a network or recipe, compared over paired runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from classicnets.data.images import Splits
from classicnets.experiments.space import is_range
from classicnets.experiments.variants import as_settings, ask
from classicnets.support.names import as_text
from classicnets.training.recipe.recipe import Recipe

from .paired import Experiment
from .prepare import NETWORKS, Terms, as_name, prepare
from .sweep import Sweep, sweep


def experiment(
    networks: str | Path | Sequence[Any],
    data: str | Path | Splits = "digits",
    recipe: str | Recipe | None = None,
    overrides: Mapping[str, Any] | None = None,
    seeds: int | None = None,
    epochs: int | None = None,
    budget: str | float | int | None = None,
    processes: int | None = None,
    out: str | Path | None = None,
    search_lr: bool = True,
    device: str = "auto",
    allow_missing_classes: bool = False,
    trials: int | None = None,
    init_from: str | Path | None = None,
) -> Experiment | Sweep:
    """Prepares a comparison of variants by paired runs, to be iterated or finished.

    `networks` are names, designs or `path/to/file.py:builder`. A list in `overrides`, or a text
    with commas, makes a variant of each value: `{"lr": [0.01, 0.03]}`. The first variant is the
    baseline. All have the same data, splits, seeds and order of images; each chooses from half, the
    whole and twice the recipe's learning rate on the validation images, with a seed of its own, and
    from rates beyond while the best is at an edge (1/16 to 16 times at most), unless `search_lr` is
    off or the learning rate is what varies.

    With `trials` the values are chosen by Optuna, from ranges, `{"lr": "0.003..0.3"}`, and lists,
    by the validation error of so many runs of one network; the best is then compared with the
    recipe's own values. A range whose ends differ by a factor of 10 is searched on a logarithmic
    scale.

    All variants start from the weights of `init_from`, as in `train`.

    `seeds` is by default the least number that allows a verdict: 6 for one comparison. Within
    `budget` (seconds, or "30min") fewer may end. `out` is the directory, by default one below
    `experiments` that depends on the variants; with one of the same experiment that was stopped
    this goes on, and nothing is trained twice.

    Raises a ValueError where `train` does for one of the variants; for one variant only, and for
    two that are the same; for fewer than 2 seeds; for a budget that allows no comparison; and for a
    directory of something else, of other data, variants or versions, or with a damaged plan.

    >>> experiment("lenet5", overrides={"lr": [0.1]})
    Traceback (most recent call last):
    ValueError: lenet5 is one variant only; compare it with another network (in Python they are a \
list), or sweep a field of the recipe, as in --set lr=0.01,0.03
    """
    given = [networks] if isinstance(networks, str | Path) else networks
    names = [as_text(as_name("network", network, NETWORKS)) for network in given]
    settings = as_settings(overrides or {})
    varies = any(n.partition(".")[0] == "lr" and len(v) > 1 for n, v in settings.items())
    terms = Terms(
        data=data,
        recipe=recipe,
        seeds=seeds,
        epochs=epochs,
        budget=budget,
        processes=processes,
        out=out,
        search_lr=search_lr and not varies,
        device=device,
        allow_missing_classes=allow_missing_classes,
        init_from=init_from,
    )
    if trials is not None:
        return sweep(names, settings, trials, terms)
    for name, values in settings.items():
        if any(map(is_range, values)):
            raise ValueError(f"{name}={values[0]} is a range; --trials N chooses values in it")
    return prepare(ask(names, settings), terms)
