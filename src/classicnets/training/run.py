"""The directory of a run: what was trained, how it went, and the weights.

run.json             the network, the recipe in full, classes in order, pixels, versions, seed
metrics.csv, .jsonl  a row per epoch
weights.safetensors  the weights that were best on validation
last.pt              the whole state, to go on from
curve.png            loss and error, epoch by epoch
"""

import csv
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import nn

from .curve import curve
from .disk import write

Row = Mapping[str, int | float]
WITH_WEIGHTS = ("network", "input", "classes", "scaling")
REQUIRED = ("network", "input", "classes", "data", "recipe", "scaling", "seed")


@dataclass
class Run:
    """A run directory. `facts` is what run.json says; `rows` has a row per finished epoch."""

    directory: Path
    facts: dict[str, Any]
    rows: list[Row]

    @property
    def last(self) -> Path:
        return self.directory / "last.pt"

    def note(self, **facts: Any) -> None:
        """Adds to run.json."""
        self.facts |= facts
        content = json.dumps(self.facts, indent=2, ensure_ascii=False)
        write(self.directory / "run.json", content.encode())

    def add_row(self, row: Row) -> None:
        """One epoch more in the metrics and in the curve."""
        self.rows.append(row)
        self._write_rows()

    def forget_rows_after(self, step: int) -> None:
        """What was noted after the last saved state happens again, so it must not stand twice."""
        self.rows = [row for row in self.rows if row["step"] <= step]
        self._write_rows()

    def save_weights(self, network: nn.Module) -> None:
        tensors = {name: t.contiguous() for name, t in network.state_dict().items()}
        # one entry: several are written in an order that differs from run to run
        metadata = {"classicnets": json.dumps({key: self.facts[key] for key in WITH_WEIGHTS})}
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
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged: {error}") from error
        shapes = {name: tuple(t.shape) for name, t in tensors.items()}
        wanted = {name: tuple(t.shape) for name, t in network.state_dict().items()}
        for name in (*wanted, *shapes):
            if shapes.get(name) != wanted.get(name):
                held, needed = shapes.get(name, "nothing"), wanted.get(name, "nothing")
                raise ValueError(
                    f"{path} holds the weights of another network: "
                    f"{name} should be {needed} and is {held}"
                )
        network.load_state_dict(tensors)

    def _write_rows(self) -> None:
        if not self.rows:
            for name in ("metrics.csv", "metrics.jsonl", "curve.png"):
                (self.directory / name).unlink(missing_ok=True)
            return
        table = io.StringIO()
        writer = csv.DictWriter(table, self.rows[0].keys())
        writer.writeheader()
        writer.writerows(self.rows)
        lines = "".join(json.dumps(row) + "\n" for row in self.rows)
        title = f"{self.facts['network']} on {self.facts['data']}"
        write(self.directory / "metrics.csv", table.getvalue().encode())
        write(self.directory / "metrics.jsonl", lines.encode())
        write(self.directory / "curve.png", curve(self.rows, title))


def create(directory: Path, facts: dict[str, Any]) -> Run:
    """A new run directory. Raises a ValueError when it holds something or cannot be written."""
    require_free(directory)
    run = Run(directory, facts, [])
    try:
        directory.mkdir(parents=True, exist_ok=True)
        run.note()
    except OSError as error:
        raise ValueError(f"cannot write the run to {directory}: {error.strerror}") from error
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
        facts = json.loads(path.read_text(encoding="utf-8"))
        rows_path = directory / "metrics.jsonl"
        lines = rows_path.read_text(encoding="utf-8").splitlines() if rows_path.exists() else []
        rows = [json.loads(line) for line in lines]
    except ValueError as error:
        raise ValueError(f"{directory} is damaged: {error}") from error
    held = facts if isinstance(facts, dict) else {}
    if missing := [name for name in REQUIRED if name not in held]:
        raise ValueError(f"{path} is damaged: it lacks {', '.join(missing)}")
    return Run(directory, facts, rows)
