"""A run directory: what was trained, how it went, and the weights.

run.json             network, recipe in full, classes in order, pixel scaling, versions, seed
metrics.csv, .jsonl  a row per epoch
weights.safetensors  the weights with the best validation
mean.safetensors     the mean training image, where the recipe subtracts it
train.sha256         the SHA-256 of each training image's file, a line each
last.pt              the whole state, to resume from
curve.png            loss and error, epoch by epoch
design.net           the design of the network, where it is one
"""

import csv
import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from operator import attrgetter
from pathlib import Path
from time import perf_counter
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from classicnets.data.scaling import Scaling, SubtractMeanImage
from classicnets.support.errors import option, plain_reason
from classicnets.support.files import LOCK, identity, lock_directory, read_named, write_atomic
from classicnets.support.names import encoded
from classicnets.support.tables import html_table
from classicnets.support.tensors import (
    checksum,
    find_difference,
    find_not_finite,
    map_tensors,
    read_metadata,
    read_tensors,
)
from classicnets.training.recipe.serialization import from_json, parse_json, to_json

from .checkpoint import load_weights
from .config import RunConfig, check_notes
from .curves import EpochMetrics, learning_curve

MEAN, DIGESTS, DESIGN = "mean.safetensors", "train.sha256", "design.net"
# what is written before run.json, which makes the directory a run
BESIDE = (MEAN, DIGESTS, DESIGN)
LEFT_BEHIND = (*BESIDE, *(f"{name}.part" for name in BESIDE), "run.json.part")
# what a run writes before its run.json is replaced by that of another
RUN_FILES = tuple(
    f"{name}{end}"
    for name in ("last.pt", "weights.safetensors", "metrics.csv", "metrics.jsonl", "curve.png")
    for end in ("", ".part")
)
WITH_WEIGHTS = ("network", "input", "side", "classes", "scaling")


@dataclass(repr=False)
class Run:
    """A run directory: configuration and notes, which run.json holds, and a row per epoch.

    `draws` says whether curve.png is drawn: in a tenth of the time at most, which for short epochs
    is not after each, and at the end.
    """

    directory: Path
    config: RunConfig
    notes: dict[str, Any] = field(default_factory=dict)
    epochs: list[EpochMetrics] = field(default_factory=list)
    draws: bool = True
    _drawn: int = field(default=0, init=False, compare=False)  # epochs on the curve
    _rests: float = field(default=0.0, init=False, compare=False)  # until when, in seconds

    def facts(self) -> dict[str, str]:
        """What a run is and how far it is, as text."""
        config, epochs = self.config, self.epochs
        facts = {
            "run": str(self.directory),
            "network": config.network,
            "data": f"{config.data}, {len(config.classes)} classes",
            "recipe": config.recipe.cite,
            "epochs": str(epochs[-1].epoch if epochs else 0),
        }
        if epochs:
            best = min(epochs, key=attrgetter("rank"))
            error = f"{best.validation_top1_error:.2f} % in epoch {best.epoch}"
            facts["best validation error"] = error
        if test := self.notes.get("test"):
            facts["test error"] = f"{test['top1_error']:.2f} %"
        return facts

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self.facts().items())

    def _repr_html_(self) -> str:
        return html_table([("", " "), *self.facts().items()], ("", " "))

    @property
    def ended(self) -> bool:
        """Whether the training has ended: with its test, or as one of an experiment without."""
        return self.notes.get("test") is not None or self.notes.get("ended") is True

    @property
    def last(self) -> Path:
        return self.directory / "last.pt"

    @property
    def weights(self) -> Path:
        return self.directory / "weights.safetensors"

    def digests(self) -> set[str]:
        """Those of the training images' files; none for images without files, and older runs.

        Raises a ValueError when they are damaged.
        """
        path = self.directory / DIGESTS
        lines = read_named(path).decode(errors="replace").splitlines() if path.exists() else []
        if not all(map(re.compile("[0-9a-f]{64}").fullmatch, lines)):
            raise ValueError(f"{path} is damaged: not every line is a SHA-256 digest")
        return set(lines)

    def note(self, **notes: Any) -> None:
        """Adds to run.json."""
        self.notes |= notes
        content = json.dumps({**to_json(self.config), **self.notes}, indent=2, ensure_ascii=False)
        write_atomic(self.directory / "run.json", encoded(content))

    def add_epoch(self, epoch: EpochMetrics) -> None:
        """Adds an epoch to the metrics and to the curve."""
        self.epochs.append(epoch)
        self._write_epochs()
        if perf_counter() >= self._rests:
            self.draw()

    def draw(self) -> None:
        """Draws the curve, unless it is that of these epochs."""
        if not self.draws or self._drawn == len(self.epochs):
            return
        began = perf_counter()
        data = Path(self.config.data).name
        title = f"{self.directory.resolve().name}\n{self.config.network} on {data}"
        write_atomic(self.directory / "curve.png", learning_curve(self.epochs, title))
        self._drawn = len(self.epochs)
        self._rests = perf_counter() + 9 * (perf_counter() - began)

    def forget_epochs_after(self, last: int) -> None:
        """Drops the epochs after this one, of the saved state; they will run again.

        Raises a ValueError where one before is missing.
        """
        if len(self.epochs) < last:
            metrics, count = self.directory / "metrics.jsonl", len(self.epochs)
            raise ValueError(f"{metrics} is incomplete: it has {count} epochs of {last}")
        self.keep_epochs([epoch for epoch in self.epochs if epoch.epoch <= last])

    def keep_epochs(self, epochs: Sequence[EpochMetrics]) -> None:
        """Writes these epochs in place of those that there were, and draws them."""
        self.epochs = list(epochs)
        self._write_epochs()
        self.draw()

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
        self.save_tensors(
            {
                name: t.clone(memory_format=torch.contiguous_format)
                for name, t in network.state_dict().items()
            }
        )

    def save_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Saves weights that share no memory."""
        # one entry: several are written in an order that differs from run to run
        metadata = {"classicnets": json.dumps(self._facts(tensors))}
        content = safetensors.torch.save(tensors, metadata)
        write_atomic(self.weights, content)

    def load_weights(self, network: nn.Module, assign: bool = False) -> None:
        """Loads the best weights into the network, or `assign`s those of the file, mapped.

        Raises a ValueError when they are missing, damaged, or of another network.
        """
        load_weights(network, self.read_weights(), self.weights, assign, self.unchanged)

    def note_unchanged(self) -> None:
        """Notes which file the weights are, so that they are not read only to be checked again."""
        self.note(file=identity(self.weights))

    @property
    def unchanged(self) -> bool:
        """Whether the weights are the file that was noted, which no copy of it is."""
        return self.notes.get("file") == identity(self.weights)

    def read_weights(self) -> dict[str, Tensor]:
        """The best weights by name, mapped into memory.

        Raises a ValueError when they are missing, damaged, or not those of run.json.
        """
        try:
            tensors = map_tensors(self.weights)
        except FileNotFoundError:
            name = self.weights.name
            raise ValueError(f"{self.directory} has no weights yet: no {name}") from None
        if not self.unchanged:
            self._require_own(tensors)
        return tensors

    def _facts(self, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """What the file of the weights says of them, so that others are not taken for them."""
        config, mean = to_json(self.config), self.config.scaling.image
        facts = {name: config[name] for name in WITH_WEIGHTS}
        sums = {"mean image": [] if mean is None else [mean]}
        sums["weights"] = [tensors[name] for name in sorted(tensors)]
        return facts | {f"sum of the {name}": checksum(of) for name, of in sums.items()}

    def _require_own(self, tensors: Mapping[str, Tensor]) -> None:
        """Raises a ValueError for weights that are damaged, or not those of this run.json.

        A file that says nothing of its weights is taken as it is.
        """
        then = dict(parse_json(read_metadata(self.weights).get("classicnets", "{}")))
        for name, now in json.loads(json.dumps(self._facts(tensors))).items():
            if name in then and then[name] != now:
                raise ValueError(
                    f"{self.weights} is damaged, or of another run than run.json: {name} differs"
                )

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
        write_atomic(self.directory / "metrics.csv", table.getvalue().encode())
        write_atomic(self.directory / "metrics.jsonl", lines.encode())


def create(
    directory: Path,
    config: RunConfig,
    digests: Sequence[str] = (),
    exist_ok: bool = False,
    design: str = "",
    **notes: Any,
) -> Run:
    """A new run directory, of a training on files with these digests; with `exist_ok` one in place
    of the run there, whose other files stay. `design` is the text of the network's design, if any.

    Raises a ValueError when it is not empty or cannot be written.
    """
    run = Run(directory, config)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock_directory(directory)
        require_free(directory, exist_ok)
        for name in (*RUN_FILES, *LEFT_BEHIND):
            (directory / name).unlink(missing_ok=True)
        if (mean := config.scaling.image) is not None:
            write_atomic(directory / MEAN, safetensors.torch.save({"mean": mean}))
        if design:
            write_atomic(directory / DESIGN, design.encode())
        if digests:
            lines = "".join(f"{digest}\n" for digest in digests)
            write_atomic(directory / DIGESTS, lines.encode())
        run.note(**notes)
    except OSError as error:
        raise ValueError(
            f"cannot write the run to {directory}: {error.strerror or error}"
        ) from error
    return run


def require_free(directory: Path, exist_ok: bool = False) -> None:
    """Raises a ValueError when this directory may not be written, or is not empty; with `exist_ok`
    when it is not empty and does not hold a whole run.
    """
    if directory.is_dir() and not _left_behind(directory):
        if not exist_ok:
            hint = f", or {option('exist_ok')} to replace the run there"
            hint *= (directory / "run.json").exists()
            raise ValueError(f"{directory} is not empty; a run needs a directory of its own{hint}")
        try:
            open_run(directory)
        except ValueError as error:
            raise ValueError(f"only a run is replaced, and {plain_reason(error)}") from error
    existing = next(p for p in (directory, *directory.absolute().parents) if p.exists())
    if not existing.is_dir():
        raise ValueError(f"cannot write the run to {directory}: {existing} is a file")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ValueError(f"cannot write the run to {directory}: no permission to write {existing}")


def _left_behind(directory: Path) -> bool:
    """Whether there is nothing but what a training leaves that is killed as it begins."""
    names = {path.name for path in directory.iterdir()}
    # without a lock they are not ours
    ours = (name for name in LEFT_BEHIND if name not in BESIDE or LOCK in names)
    return names <= {LOCK, *ours}


def _meant(directory: Path) -> str:
    """The runs that a name without a run may mean: that of `runs`, and those named nearly so."""
    beside = directory.parent if directory.parent.name else Path("runs")
    runs = {file.parent.name: str(file.parent) for file in beside.glob("*/run.json")}
    near = get_close_matches(directory.name, runs, n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(runs[name] for name in near)}?" if near else ""


def open_run(directory: Path) -> Run:
    """Reads a run directory. Raises a ValueError when it is missing or damaged."""
    path = directory / "run.json"
    if directory.is_file():
        raise ValueError(f"{directory} is a file; a run is a directory, which `train` writes")
    if not directory.is_dir():
        raise ValueError(f"no run at {directory}{_meant(directory)}")
    if not path.exists():
        unfinished = any(directory.iterdir()) and _left_behind(directory)
        reason = "; its training was ended before it began, so train again" * unfinished
        raise ValueError(f"{directory} is not a run: it has no run.json{reason}")
    names = [f.name for f in fields(RunConfig)]
    text = _read(path)
    try:
        content = parse_json(text)
        content = content if isinstance(content, dict) else {}
        known = {name: content[name] for name in names if name in content}
        config = from_json(known, RunConfig)
        config.check()
        notes = {name: content[name] for name in content if name not in names}
        check_notes(notes)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {plain_reason(error)}") from error
    config = replace(config, scaling=_with_mean(config, directory / MEAN))
    metrics = directory / "metrics.jsonl"
    epochs, best = _read_epochs(metrics), notes.get("best_epoch") or 0
    # a training that is killed may have noted an epoch that the metrics lack
    if len(epochs) < best - (notes.get("test") is None):
        raise ValueError(
            f"{metrics} is incomplete: it has {len(epochs)} epochs, but epoch {best} was the best"
        )
    return Run(directory, config, notes, epochs)


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
    lines = _read(path).splitlines() if path.exists() else []
    try:
        epochs = [from_json(parse_json(line), EpochMetrics) for line in lines]
        for before, after in zip([None, *epochs], epochs, strict=False):
            after.check(before)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {plain_reason(error)}") from error
    return epochs


def _read(path: Path) -> str:
    try:
        return read_named(path).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is damaged: it is not UTF-8 from byte {error.start} on") from None
