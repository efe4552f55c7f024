"""What a run was predicted to need and what it needed: for run.json, and side by side."""

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import nn

from classicnets.data.crops import centre_boxes
from classicnets.data.images import Splits
from classicnets.data.loader import stream
from classicnets.measure import roofline
from classicnets.measure.live import Live
from classicnets.support.devices import network_device, peak_memory
from classicnets.support.tables import align, format_bytes
from classicnets.support.units import format_seconds
from classicnets.training.execution.memory import largest_peak, training_peaks
from classicnets.training.execution.plan import predict_step
from classicnets.training.recipe.optimizers import as_spec
from classicnets.training.recipe.recipe import Recipe
from classicnets.training.run.config import RunConfig
from classicnets.training.run.directory import Run

from .opened import open_any

READ = 64  # images that are read to time the reader
REVIEWED = {"peak_bytes": lambda n: format_bytes(int(n)), "seconds_per_epoch": format_seconds}


@cache
def sample_rates(device: torch.device, precision: str) -> dict[str, float]:
    """The rates of this machine, sampled once."""
    return roofline.sample(device, [precision], brief=True)


def read_seconds(splits: Splits, recipe: Recipe) -> float:
    """The seconds that the reader takes for a batch."""
    train = splits.train
    some = torch.arange(min(READ, recipe.batch, len(train)))
    boxes = centre_boxes(train.sizes[some], recipe.side, recipe.crop)
    began = perf_counter()
    for _ in stream(train, [(some, boxes)], recipe.crop, 0):
        pass
    return (perf_counter() - began) * recipe.batch / len(some)


def run_peaks(config: RunConfig, network: nn.Module, live: Live) -> dict[str, int]:
    """The predicted peak memory of a run by phase, and its largest; `live` gets the operators.

    Empty where it cannot be predicted.
    """
    execution, device = config.execution, network_device(network).type
    batch = math.ceil(config.recipe.batch / config.processes)
    shape, copies = config.input, as_spec(config.recipe.optimizer).copies
    arguments = (shape, batch, execution.accumulation_steps, copies, execution.precision, device)
    try:
        peaks = training_peaks(network, *arguments, live=live)
    except (ValueError, RuntimeError):
        return {}
    return {peak.phase: peak.total for peak in peaks} | {"peak_bytes": largest_peak(peaks).total}


def run_seconds(config: RunConfig, network: nn.Module, splits: Splits, live: Live) -> float:
    """The predicted seconds of an epoch of a run in one process, from the operators of a step."""
    execution, device, recipe = config.execution, network_device(network), config.recipe
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    rates, precision = sample_rates(device, execution.precision), execution.precision
    passes = as_spec(recipe.optimizer).passes
    step = predict_step(live, weights, passes, rates, precision, device.type)
    train = min(config.total_steps, config.steps_per_epoch)  # a run may be shorter than an epoch
    validation = len(splits.validation) / recipe.batch
    reading = read_seconds(splits, recipe) * (train + validation)
    return step.likely * execution.accumulation_steps * (train + validation / 3) + reading


def run_measured(run: Run, device: torch.device) -> dict[str, float]:
    """What the training needed, beside the plan; what is unknown is left out."""
    seconds = [epoch.seconds for epoch in run.epochs]
    found = {"peak_bytes": peak_memory(device)}
    found["seconds_per_epoch"] = sum(seconds) / len(seconds) if seconds else math.nan
    return {name: value for name, value in found.items() if math.isfinite(value)}


def review(runs: Sequence[str | Path]) -> list[dict[str, Any]]:
    """What was predicted for runs, and what was measured: bytes at the peak, seconds of an epoch.

    What is unknown is None. Raises a ValueError without runs, and for one that is damaged.
    """
    if not runs:
        raise ValueError("--review needs runs, such as --review runs/*")
    return [_reviewed(open_any(run)) for run in runs]


def _reviewed(run: Run) -> dict[str, Any]:
    row: dict[str, Any] = {"run": run.directory.name, "network": run.config.network}
    row["batch"] = run.config.recipe.batch
    for name in REVIEWED:
        for source, field in (("plan", "predicted"), ("measured", "measured")):
            row[f"{field}_{name}"] = (run.notes.get(source) or {}).get(name) or None
    return row


def review_text(rows: Sequence[dict[str, Any]]) -> str:
    """The rows of `review` as a table, with ratios of predicted to measured."""
    table = [
        ["run", "network", "batch", "memory", "measured", "ratio", "epoch", "measured", "ratio"]
    ]
    for row in rows:
        cells = [row["run"], row["network"], f"{row['batch']:,}"]
        for name, form in REVIEWED.items():
            predicted, measured = row[f"predicted_{name}"], row[f"measured_{name}"]
            cells += [form(n) if n else "-" for n in (predicted, measured)]
            cells.append(f"{predicted / measured:.2f}" if predicted and measured else "-")
        table.append(cells)
    return "\n".join(align(table, ("run", "network"))) + "\n"
