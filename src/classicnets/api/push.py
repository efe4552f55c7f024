"""The public function `push`: a run to the Hugging Face hub, with a model card."""

import re
from dataclasses import replace
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory

from classicnets.data.sets import IMAGENET, SETS
from classicnets.hub.card import model_card
from classicnets.hub.client import Pushed, parse_place, publish
from classicnets.support.arguments import answering
from classicnets.support.files import exists, read_named
from classicnets.support.names import HUB
from classicnets.training.recipe.init import FromRun
from classicnets.training.run.config import RunConfig
from classicnets.training.run.directory import DESIGN, Run, create

from .opened import open_trained

# the notes that are published; others are about this machine and its files
KEPT = (
    *("test", "best_epoch", "parameters", "published", "like", "adapted", "stopped_early"),
    *("ended", "diverged", "versions"),
)
LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]{0,60}")


@answering()
def push(
    run: str | Path,
    place: str,
    licence: str = "",
    private: bool = False,
    exist_ok: bool = False,
    message: str = "",
) -> Pushed:
    """Publishes a run on the Hugging Face hub, at `user/name`, where `hf:user/name` names it.

    Weights, run.json, the epochs, the curve, the design of the network if it is one, and a model
    card. Paths of this machine stay here: data, networks and weights have their last name only. The
    checkpoint and the images' sums stay as well. `licence` is an identifier of the hub's, such as
    mit. The token is that of `hf auth login`, or HF_TOKEN.

    Raises a ValueError for a run that is missing, damaged or without weights, a place that exists
    (unless `exist_ok`), or that one may not write to, and without a connection.
    """
    target = parse_place(place)
    if licence and not LICENCE.fullmatch(licence):
        raise ValueError(f"licence cannot be {licence!r}; it is a word such as mit or cc-by-4.0")
    opened = open_trained(run)
    with TemporaryDirectory() as scratch:
        staged = stage(opened, Path(scratch) / target.repo.rpartition("/")[2])
        card = model_card(staged, target.repo, licence)
        (staged.directory / "README.md").write_text(card, encoding="utf-8")
        return publish(staged.directory, place, private, exist_ok, message)


def stage(run: Run, directory: Path) -> Run:
    """A copy of a run without what is of this machine only."""
    tensors, design = run.read_weights(), run.directory / DESIGN
    notes = {name: run.notes[name] for name in KEPT if name in run.notes}
    text = read_named(design).decode() if exists(design) else ""
    staged = create(directory, _without_paths(run.config), design=text, **notes)
    staged.save_tensors(tensors)
    staged.keep_epochs(run.epochs)
    return staged


def _without_paths(config: RunConfig) -> RunConfig:
    recipe, data = config.recipe, config.data
    if isinstance(recipe.init, FromRun):
        recipe = replace(recipe, init=replace(recipe.init, run=_last(recipe.init.run)))
    if data not in SETS and not data.startswith(HUB):
        prefix = IMAGENET * data.startswith(IMAGENET)
        data = prefix + _last(data.removeprefix(IMAGENET))
    return replace(config, network=_last(config.network), recipe=recipe, data=data)


def _last(path: str) -> str:
    """The last name of a path."""
    return PurePath(path).name or path
