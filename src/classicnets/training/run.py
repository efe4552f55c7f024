"""The directory of a run: what was trained, how it went, and the weights.

run.json             the network, the recipe in full, classes in order, pixels, versions, seed
metrics.csv, .jsonl  a row per epoch
weights.safetensors  the weights that were best on validation
mean.safetensors     the mean training picture, where the recipe subtracts it
last.pt              the whole state, to go on from
curve.png            loss and error, epoch by epoch
"""

import csv
import io
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from classicnets.data.pixels import Scaling

from .checkpoint import fill
from .curve import Row, curve
from .description import Own, describe, from_description, made
from .disk import write
from .recipe import Fitted, Recipe
from .step import Execution

MEAN = "mean.safetensors"
WITH_WEIGHTS = ("network", "input", "classes", "scaling")


@dataclass(frozen=True)
class Facts:
    """What must be known to use a run, and to go on with it.

    `side` is what the shorter side of a picture is brought to before it is cut to `input`;
    `pictures` counts those for training, validation and test, `digest` is as in `Splits`;
    `differences` has field -> (what the recipe has, what the paper's has); `scaling` and `augment`
    are the recipe's, with their figures from the training pictures.
    """

    network: str
    input: tuple[int, int, int]
    side: int
    classes: tuple[str, ...]
    data: str
    pictures: tuple[int, int, int]
    digest: str
    recipe: Recipe | Own
    differences: Mapping[str, tuple[int | str, int | str]]
    scaling: Scaling
    augment: tuple[Fitted, ...] | Own
    execution: Execution
    seed: int


@dataclass
class Run:
    """A run directory: facts and notes, which run.json has, and a row per finished epoch."""

    directory: Path
    facts: Facts
    notes: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    @property
    def last(self) -> Path:
        return self.directory / "last.pt"

    def note(self, **notes: Any) -> None:
        """Adds to run.json."""
        self.notes |= notes
        content = json.dumps({**_told(self.facts), **self.notes}, indent=2, ensure_ascii=False)
        # a file left out may have a name that is no UTF-8; JSON has an escape for that
        write(self.directory / "run.json", content.encode(errors="backslashreplace"))

    def add_row(self, row: Row) -> None:
        """One epoch more in the metrics and in the curve."""
        self.rows.append(row)
        self._write_rows()

    def forget_rows_after(self, step: int) -> None:
        """What was noted after the last saved state happens again, so it must not stand twice."""
        self.rows = [row for row in self.rows if row.step <= step]
        self._write_rows()

    def save_weights(self, network: nn.Module) -> None:
        """Keeps these weights as the best. Shared ones are stored once for each of their names."""
        tensors = {
            name: t.clone(memory_format=torch.contiguous_format)
            for name, t in network.state_dict().items()
        }
        # one entry: several are written in an order that differs from run to run
        told = _told(self.facts)
        metadata = {"classicnets": json.dumps({name: told[name] for name in WITH_WEIGHTS})}
        write(self.directory / "weights.safetensors", safetensors.torch.save(tensors, metadata))

    def load_weights(self, network: nn.Module) -> None:
        """Puts the best weights into the network.

        Raises a ValueError when they are missing, damaged, or of another network.
        """
        path = self.directory / "weights.safetensors"
        try:
            tensors = safetensors.torch.load(path.read_bytes())
        except FileNotFoundError:
            raise ValueError(f"{self.directory} has no weights yet: no {path.name}") from None
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from error
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged: {error}") from error
        fill(network, tensors, path)

    def _write_rows(self) -> None:
        if not self.rows:
            for name in ("metrics.csv", "metrics.jsonl", "curve.png"):
                (self.directory / name).unlink(missing_ok=True)
            return
        table = io.StringIO()
        rows = [asdict(row) for row in self.rows]
        writer = csv.DictWriter(table, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        title = f"{self.facts.network} on {self.facts.data}"
        write(self.directory / "metrics.csv", table.getvalue().encode())
        write(self.directory / "metrics.jsonl", lines.encode())
        write(self.directory / "curve.png", curve(self.rows, title))


def create(directory: Path, facts: Facts, **notes: Any) -> Run:
    """A new run directory. Raises a ValueError when it holds something or cannot be written."""
    require_free(directory)
    run = Run(directory, facts)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if (picture := facts.scaling.picture) is not None:
            write(directory / MEAN, safetensors.torch.save({"mean": picture}))
        run.note(**notes)
    except OSError as error:
        raise ValueError(
            f"cannot write the run to {directory}: {error.strerror or error}"
        ) from error
    return run


def require_free(directory: Path) -> None:
    """Raises a ValueError when there is something at this place, or no right to write there."""
    if directory.is_dir() and any(directory.iterdir()):
        raise ValueError(f"{directory} is not empty; a run needs a directory of its own")
    existing = next(p for p in (directory, *directory.absolute().parents) if p.exists())
    if not existing.is_dir():
        raise ValueError(f"cannot write the run to {directory}: {existing} is a file")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ValueError(f"cannot write the run to {directory}: no permission to write {existing}")


def open_run(directory: Path) -> Run:
    """A run read back. Raises a ValueError when it is missing or damaged."""
    path = directory / "run.json"
    if not directory.is_dir():
        raise ValueError(f"there is no run at {directory}")
    if not path.exists():
        raise ValueError(f"{directory} is no run: it has no run.json")
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        told = told if isinstance(told, dict) else {}
        facts = made(Facts, {name: from_description(told[name]) for name in _NAMES})
        if (picture := directory / MEAN).exists():
            mean = safetensors.torch.load(picture.read_bytes())["mean"]
            facts = replace(facts, scaling=replace(facts.scaling, picture=mean))
    except KeyError as error:
        raise ValueError(f"{path} is damaged: it lacks {error.args[0]}") from None
    except (OSError, ValueError, SafetensorError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    notes = {name: told[name] for name in told if name not in _NAMES}
    return Run(directory, facts, notes, _read_rows(directory / "metrics.jsonl"))


_NAMES = tuple(f.name for f in fields(Facts))


def _told(facts: Facts) -> dict[str, Any]:
    return {name: describe(getattr(facts, name)) for name in _NAMES}


def _read_rows(path: Path) -> list[Row]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [made(Row, json.loads(line)) for line in lines]
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
