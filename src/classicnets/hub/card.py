"""The model card of a run, README.md on the hub: what it is, how good, how made, how to use it."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from classicnets import catalog
from classicnets.support.errors import shell
from classicnets.support.names import short
from classicnets.training.recipe.init import FromRun
from classicnets.training.recipe.recipe import shown
from classicnets.training.run.directory import Run

CLASSES = 20  # that are named
CELL = 200  # characters


def model_card(run: Run, place: str, licence: str = "") -> str:
    """The card of a run whose place on the hub is `user/name`, in Markdown.

    `licence` is an identifier of the hub's such as mit. Names in the run are shown as text.
    """
    parts = (_front(run, licence), _about(run, place), _results(run), _training(run))
    ends = (_use(run, place), _licence(run, licence))
    return "\n".join(line for part in (*parts, *ends) for line in (*part, ""))


def _front(run: Run, licence: str) -> Iterator[str]:
    """What the hub reads of a card: YAML, of which JSON is a part."""
    yield "---"
    if licence:
        yield f"license: {json.dumps(licence)}"
    yield "library_name: classicnets"
    yield "pipeline_tag: image-classification"
    tags = ["classicnets"]
    if run.config.network in catalog.CATALOG:
        tags.append(run.config.network)
    yield f"tags: {json.dumps(tags)}"
    yield "---"


def _about(run: Run, place: str) -> Iterator[str]:
    config = run.config
    (c, h, w), (train, validation, test) = config.input, config.images
    named = [_text(name, 40) for name in config.classes[:CLASSES]]
    more = len(config.classes) - len(named)
    yield f"# {_text(place.rpartition('/')[2])}"
    yield ""
    yield from _table(
        {
            "network": _text(config.network),
            "paper": _paper(config.network),
            "parameters": f"{run.notes['parameters']:,}" if "parameters" in run.notes else "",
            "trained on": f"{_text(config.data)}: {train:,} images, {validation:,} for validation, "
            f"{test:,} for testing",
            "classes": f"{len(config.classes):,}: {', '.join(named)}"
            + f" and {more:,} more" * (more > 0),
            "input": f"{c}x{h}x{w}, the centre of an image whose shorter side is {config.side}",
        }
    )


def _paper(network: str) -> str:
    entry = catalog.CATALOG.get(network)
    if entry is None or entry.paper is None:
        return "a design, in design.net" if network.endswith(".net") else ""
    paper = entry.paper
    later = f"; later than the paper: {entry.later}" * bool(entry.later)
    return f"{paper.authors} ({paper.year}): {paper.title}, {paper.where}{later}"


def _results(run: Run) -> Iterator[str]:
    """The errors, each with the protocol that gave it."""
    test, published = run.notes.get("test") or {}, run.notes.get("published")
    rows = []
    if published and test:
        rows.append((f"ImageNet validation, as {_text(published['source'])} publishes", test))
    elif test:
        count = f", {test['images']:,} images" if isinstance(test.get("images"), int) else ""
        rows.append((f"test{count}", test))
    if run.epochs:
        best = min(run.epochs, key=lambda epoch: epoch.rank)
        errors = (best.validation_top1_error, best.validation_top5_error)
        found = dict(zip(("top1_error", "top5_error"), errors, strict=True))
        rows.append((f"validation, epoch {best.epoch}", found | {"protocol": "single"}))
    yield "## Results"
    yield ""
    if not rows:
        yield "It has not been evaluated."
        return
    yield "| images | error, top-1 | top-5 | protocol |"
    yield "|---|--:|--:|---|"
    for name, found in rows:
        errors = (found.get(error) for error in ("top1_error", "top5_error"))
        one, five = ("-" if e is None else f"{e:.2f} %" for e in errors)
        yield f"| {name} | {one} | {five} | {_text(found.get('protocol', 'single'))} |"
    if not run.ended:
        yield ""
        yield "Its training has not ended."


def _training(run: Run) -> Iterator[str]:
    config, recipe = run.config, run.config.recipe
    yield "## Training"
    yield ""
    yield f"Recipe: {_text(recipe.cite, 200)}."
    if isinstance(recipe.init, FromRun):
        yield f"It started from the weights of {_text(recipe.init.run)}."
    if run.epochs:
        yield f"{run.epochs[-1].epoch:,} of {config.epochs:,} epochs, seed {config.seed}."
    if config.differences:
        yield ""
        yield "| where it differs | here | in the paper's recipe |"
        yield "|---|---|---|"
        for name, pair in config.differences.items():
            here, there = (_text(shown(value), CELL) for value in pair)
            yield f"| {_text(name)} | {here} | {there} |"
    if adapted := run.notes.get("adapted"):
        yield ""
        for name, reason in adapted.items():
            yield f"- {_text(name)}: {_text(reason, CELL)}"
    yield ""
    yield "All values are in run.json" + ", the epochs in metrics.csv." * bool(run.epochs)


def _use(run: Run, place: str) -> Iterator[str]:
    name, own = run.config.network, _own(run)
    more = ("--network", own) if own else ()
    start = own or (f"path/to/{name}" if name.endswith(".net") else name)
    yield "## How to use it"
    yield ""
    yield "```sh"
    yield "pip install 'classicnets[hub]'"
    yield _command("predict", f"hf:{place}", "photo.jpg", *more)
    yield _command("evaluate", f"hf:{place}", "--data", "path/to/folder", *more)
    yield _command("train", start, "--weights", f"hf:{place}", "--data", "path/to/folder")
    yield "```"
    if own:
        yield ""
        yield "The network's own code is not here, and runs only when it is named: `--network`."


def _own(run: Run) -> str:
    """How your own network is named; empty for those that need no code."""
    name = run.config.network
    if name in catalog.CATALOG or name.endswith(".net"):
        return ""
    return name if ".py:" in name else str(run.notes.get("like") or "FILE.py:BUILDER")


def _licence(run: Run, licence: str) -> Iterator[str]:
    published: Mapping[str, Any] = run.notes.get("published") or {}
    yield "## Licence"
    yield ""
    if origin := published.get("licence"):
        yield f"The weights are those of {_text(published['source'])}, under {_text(origin)}."
    elif licence:
        yield f"{_text(licence)}."
    else:
        yield "None was named; ask whoever published it."


def _table(rows: Mapping[str, str]) -> Iterator[str]:
    yield "| | |"
    yield "|---|---|"
    for name, value in rows.items():
        if value:
            yield f"| {name} | {value} |"


def _command(*words: str) -> str:
    # a fence ends at three backquotes, which no name may give
    return shell("classicnets", *(short(w, 200).replace("`", "'") for w in words))


def _text(value: object, length: int = 100) -> str:
    """A name or value in one line, of which nothing is markup."""
    plain = short(PurePath(value).name if isinstance(value, PurePath) else str(value), length)
    return re.sub(r"([\\`*_{}\[\]<>|#~&!])", r"\\\1", plain)
