"""A run directory: what was trained, how it went, and the weights.

run.json             network, recipe in full, classes in order, pixel scaling, versions, seed
metrics.csv, .jsonl  a row per epoch
weights.safetensors  the weights with the best validation
mean.safetensors     the mean training image, where the recipe subtracts it
last.pt              the whole state, to resume from
curve.png            loss and error, epoch by epoch
design.net           the design of the network, where it is one
"""

import csv
import io
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from classicnets.data.scaling import Scaling, SubtractMeanImage
from classicnets.support.errors import plain_reason
from classicnets.support.files import LOCK, lock_directory, write_atomic
from classicnets.support.tensors import find_difference, find_not_finite, read_tensors
from classicnets.training.recipe.serialization import from_json, parse_json, to_json

from .checkpoint import load_weights
from .config import RunConfig, check_notes
from .curves import EpochMetrics, learning_curve

MEAN = "mean.safetensors"
DESIGN = "design.net"
# what is written before run.json, which makes the directory a run
LEFT_BEHIND = (MEAN, f"{MEAN}.part", DESIGN, f"{DESIGN}.part", "run.json.part")
WITH_WEIGHTS = ("network", "input", "classes", "scaling")


@dataclass
class Run:
    """A run directory: configuration and notes, which run.json holds, and a row per epoch."""

    directory: Path
    config: RunConfig
    notes: dict[str, Any] = field(default_factory=dict)
    epochs: list[EpochMetrics] = field(default_factory=list)

    @property
    def last(self) -> Path:
        return self.directory / "last.pt"

    @property
    def weights(self) -> Path:
        return self.directory / "weights.safetensors"

    def note(self, **notes: Any) -> None:
        """Adds to run.json."""
        self.notes |= notes
        content = json.dumps({**to_json(self.config), **self.notes}, indent=2, ensure_ascii=False)
        # the name of a skipped file may not be UTF-8; JSON has an escape for that
        write_atomic(self.directory / "run.json", content.encode(errors="backslashreplace"))

    def add_epoch(self, epoch: EpochMetrics) -> None:
        """Adds an epoch to the metrics and to the curve."""
        self.epochs.append(epoch)
        self._write_epochs()

    def forget_epochs_after(self, step: int) -> None:
        """Drops the epochs after the saved state, which will run again."""
        self.epochs = [epoch for epoch in self.epochs if epoch.step <= step]
        self._write_epochs()

    def require_storable(self, network: nn.Module) -> None:
        """Raises a ValueError for a buffer or other state that weights.safetensors cannot hold."""
        for name, t in network.state_dict().items():
            kind = f"a {type(t).__name__}"
            if isinstance(t, Tensor):
                kind = str(t.dtype) if t.layout is torch.strided else f"{t.layout}"
                with suppress(KeyError, SafetensorError, ValueError):
                    if t.layout is torch.strided:
                        safetensors.torch.save({name: t.detach().flatten()[:0].cpu()})
                        continue
            raise ValueError(
                f"{name} is {kind}, which weights.safetensors cannot hold; register it with "
                "persistent=False, or keep it as dense numbers"
            )

    def save_weights(self, network: nn.Module) -> None:
        """Saves these weights as the best. Shared ones are stored once for each of their names."""
        tensors = {
            name: t.clone(memory_format=torch.contiguous_format)
            for name, t in network.state_dict().items()
        }
        # one entry: several are written in an order that differs from run to run
        config = to_json(self.config)
        metadata = {"classicnets": json.dumps({name: config[name] for name in WITH_WEIGHTS})}
        content = safetensors.torch.save(tensors, metadata)
        write_atomic(self.weights, content)

    def load_weights(self, network: nn.Module) -> None:
        """Loads the best weights into the network.

        Raises a ValueError when they are missing, damaged, or of another network.
        """
        try:
            tensors = read_tensors(self.weights)
        except FileNotFoundError:
            name = self.weights.name
            raise ValueError(f"{self.directory} has no weights yet: no {name}") from None
        load_weights(network, tensors, self.weights)

    def _write_epochs(self) -> None:
        if not self.epochs:
            for name in ("metrics.csv", "metrics.jsonl", "curve.png"):
                (self.directory / name).unlink(missing_ok=True)
            return
        table = io.StringIO()
        rows = [asdict(epoch) for epoch in self.epochs]
        writer = csv.DictWriter(table, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        title = f"{self.config.network} on {self.config.data}"
        write_atomic(self.directory / "metrics.csv", table.getvalue().encode())
        write_atomic(self.directory / "metrics.jsonl", lines.encode())
        write_atomic(self.directory / "curve.png", learning_curve(self.epochs, title))


def create(directory: Path, config: RunConfig, design: str = "", **notes: Any) -> Run:
    """A new run directory, with the text of the network's design if it has one.

    Raises a ValueError when the directory is not empty or cannot be written.
    """
    run = Run(directory, config)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock_directory(directory)
        require_free(directory)
        for name in LEFT_BEHIND:
            (directory / name).unlink(missing_ok=True)
        if (mean := config.scaling.image) is not None:
            write_atomic(directory / MEAN, safetensors.torch.save({"mean": mean}))
        if design:
            write_atomic(directory / DESIGN, design.encode())
        run.note(**notes)
    except OSError as error:
        raise ValueError(
            f"cannot write the run to {directory}: {error.strerror or error}"
        ) from error
    return run


def require_free(directory: Path) -> None:
    """Raises a ValueError when this directory is not empty, or may not be written."""
    if directory.is_dir() and not _left_behind(directory):
        raise ValueError(f"{directory} is not empty; a run needs a directory of its own")
    existing = next(p for p in (directory, *directory.absolute().parents) if p.exists())
    if not existing.is_dir():
        raise ValueError(f"cannot write the run to {directory}: {existing} is a file")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ValueError(f"cannot write the run to {directory}: no permission to write {existing}")


def _left_behind(directory: Path) -> bool:
    """Whether there is nothing but what a training leaves that is killed as it begins."""
    names = {path.name for path in directory.iterdir()}
    # a mean image or a design without a lock is not ours
    locked = LOCK in names
    return names <= {LOCK, *(name for name in LEFT_BEHIND if name not in (MEAN, DESIGN) or locked)}


def open_run(directory: Path) -> Run:
    """Reads a run directory. Raises a ValueError when it is missing or damaged."""
    path = directory / "run.json"
    if not directory.is_dir():
        raise ValueError(f"no run at {directory}")
    if not path.exists():
        unfinished = any(directory.iterdir()) and _left_behind(directory)
        reason = "; its training was ended before it began, so train again" * unfinished
        raise ValueError(f"{directory} is not a run: it has no run.json{reason}")
    names = [f.name for f in fields(RunConfig)]
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
        content = content if isinstance(content, dict) else {}
        known = {name: content[name] for name in names if name in content}
        config = from_json(known, RunConfig)
        config.check()
        notes = {name: content[name] for name in content if name not in names}
        check_notes(notes)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {plain_reason(error)}") from error
    config = replace(config, scaling=_with_mean(config, directory / MEAN))
    return Run(directory, config, notes, _read_epochs(directory / "metrics.jsonl"))


def _with_mean(config: RunConfig, path: Path) -> Scaling:
    """The scaling with its mean image, where the recipe subtracts one."""
    if not path.exists():
        if isinstance(config.recipe.pixels, SubtractMeanImage):
            raise ValueError(f"no {path}, the mean image that the recipe subtracts")
        return config.scaling
    tensors, needed = read_tensors(path), {"mean": torch.zeros(config.input)}
    name, difference = find_difference(tensors, needed)
    if name:
        raise ValueError(f"{path} is not the mean image of the run: {name} {difference}")
    if find_not_finite(tensors, needed):
        raise ValueError(f"{path} is damaged: it holds NaN or infinite values")
    return replace(config.scaling, image=tensors["mean"])


def _read_epochs(path: Path) -> list[EpochMetrics]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        epochs = [from_json(parse_json(line), EpochMetrics) for line in lines]
        for before, after in zip([None, *epochs], epochs, strict=False):
            after.check(before)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {plain_reason(error)}") from error
    return epochs
