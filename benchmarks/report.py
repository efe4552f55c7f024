"""Reports of a benchmark: a Markdown table, JSON and a chart."""

import json
import math
import os
import platform
import re
from dataclasses import asdict
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from harness import Benchmark, Outcome, Target
from matplotlib.figure import Figure
from PIL import Image

from classicnets.support.devices import device_name

PACKAGES = (
    *("classicnets", "torch", "triton", "numpy", "pillow", "torchvision", "timm", "onnx"),
    *("onnxscript", "onnxruntime", "openvino", "torchinfo", "fvcore", "ptflops"),
)
HIGHLIGHT, OTHER = "#c0392b", "#8899aa"


def write(
    benchmark: Benchmark, outcomes: list[Outcome], directory: Path, conditions: dict[str, Any]
) -> str:
    """Writes <benchmark>.md, .json and .png; returns the text of the first."""
    conditions = machine() | conditions
    directory.mkdir(parents=True, exist_ok=True)
    text = markdown(benchmark, outcomes, conditions)
    (directory / f"{benchmark.name}.md").write_text(text, encoding="utf-8")
    content = json.dumps(as_data(benchmark, outcomes, conditions), indent=1, ensure_ascii=False)
    (directory / f"{benchmark.name}.json").write_text(content + "\n", encoding="utf-8")
    path = directory / f"{benchmark.name}.png"
    chart(benchmark, outcomes).savefig(path, dpi=120)
    with Image.open(path) as image:  # a palette takes a third of the bytes
        image.convert("RGB").quantize(64).save(path, optimize=True)
    return text


def write_summary(directory: Path) -> None:
    """Writes gpu.md: all the targets of the benchmarks whose JSON is in this directory."""
    lines = [
        "# Targets on this GPU",
        "",
        "| benchmark | case | contender | reference | target | reached | | ms | images/s |",
        "|---|---|---|---|--:|--:|---|--:|--:|",
    ]
    data: dict[str, Any] = {}
    for path in sorted(directory.glob("*.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        unit = data["unit"]
        for case in data["cases"]:
            for target in case["targets"]:
                median = case["contenders"][target["contender"]]["median"]
                reached = "" if target["reached"] is None else f"{target['reached']:.2f}"
                cells = (
                    *(data["benchmark"], case["name"], *target_cells(_target(target)), reached),
                    *(target["verdict"], in_unit(median, unit) if median else ""),
                    images_per_second(case["name"], median, unit),
                )
                lines.append(f"| {' | '.join(cells)} |")
    if data:
        source = f"{data['device']}, torch {data['versions']['torch']}, {data['date']}."
        lines += ["", f"{source} The other files here have the contenders, rounds and commands."]
        (directory / "gpu.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _target(data: dict[str, Any]) -> Target:
    return Target(data["contender"], data["at_least"], data["reference"])


def images_per_second(case: str, median: float | None, unit: str) -> str:
    """Empty where the name of the case does not have a number of images."""
    found = re.search(r"batch (\d+)|over ([\d,]+) (?:images|digits)", case)
    if not found or not median or unit != "s":
        return ""
    return f"{int((found[2] or found[1]).replace(',', '')) / median:,.0f}"


def machine() -> dict[str, Any]:
    """Hardware, versions and date; the version of a package that is not installed is None."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return {
        "date": f"{date.today()}",
        "cpu": device_name(torch.device("cpu")),
        "cpus": os.cpu_count(),
        "versions": versions,
    }


def markdown(benchmark: Benchmark, outcomes: list[Outcome], conditions: dict[str, Any]) -> str:
    loads = [load for outcome in outcomes for load in outcome.loads]
    versions = ", ".join(f"{name} {v}" for name, v in conditions["versions"].items() if v)
    gpu = f", {conditions['device']}" if conditions["device"] != conditions["cpu"] else ""
    quick = ["Tiny sizes, only to see that it runs: the figures mean nothing.", ""]
    lines = [
        f"# {benchmark.title}",
        "",
        *(quick * conditions["quick"]),
        f"`{conditions['command']}`, {conditions['date']}: {conditions['threads']} threads on "
        f"{conditions['cpus']} CPUs ({conditions['cpu']}){gpu}; load {min(loads):.1f} to "
        f"{max(loads):.1f}; medians of {conditions['rounds']} interleaved rounds. {versions}.",
        "",
        *table(benchmark, outcomes),
        *accuracies(outcomes),
        *targets(outcomes),
        *peaks(outcomes),
    ]
    return "\n".join(lines) + "\n"


def table(benchmark: Benchmark, outcomes: list[Outcome]) -> list[str]:
    unit = "ms" if benchmark.unit == "s" else "MiB"
    lines = [
        f"| case | contender | precision | median, {unit} | range | ratio to first | "
        "lower bound / median | startup, s |",
        "|---|---|---|--:|--:|--:|--:|--:|",
    ]
    for outcome in outcomes:
        for name, result in outcome.results.items():
            row = f"| {outcome.case.name} | {name} | "
            if result.status:
                lines.append(f"{row}{result.status.replace('|', '/')} | | | | | |")
                continue
            numbers = min(result.rounds), result.median, max(result.rounds)
            low, median, high = (in_unit(value, benchmark.unit) for value in numbers)
            cells = (
                *(result.precision, median, f"{low} to {high}"),
                f"{outcome.baseline / result.median:.2f}",
                *(fraction(outcome.lower_bound_fraction(name)), f"{result.startup:.1f}"),
            )
            lines.append(row + " | ".join(cells) + " |")
    reasons: dict[str, list[str]] = {}
    for outcome in outcomes:
        if why := outcome.case.not_compared:
            reasons.setdefault(why, []).append(outcome.case.name)
    notes = []
    for why, cases in reasons.items():
        which = "All cases" if len(cases) == len(outcomes) > 1 else "; ".join(cases)
        notes.append(f"\n{which}: outputs are not compared: {why}.")
    return [*lines, *notes]


def targets(outcomes: list[Outcome]) -> list[str]:
    rows = []
    for outcome in outcomes:
        for target in outcome.case.targets:
            reached = fraction(outcome.ratio(target))
            cells = (outcome.case.name, *target_cells(target), reached, verdict(outcome, target))
            rows.append(f"| {' | '.join(cells)} |")
    head = ["", "| case | contender | reference | target ratio | reached | |"]
    return [*head, "|---|---|---|--:|--:|---|", *rows] if rows else []


def target_cells(target: Target) -> tuple[str, str, str]:
    """Contender, reference, and the ratio between them that is to be reached."""
    reference = target.reference
    if not isinstance(reference, str):
        reference = f"{1e3 * reference:.0f} ms"
    return target.contender, reference, f"{target.at_least:.2f}"


def accuracies(outcomes: list[Outcome]) -> list[str]:
    """The test accuracies of trainings in %: mean and range."""
    rows = [
        f"| {outcome.case.name} | {name} | {len(result.accuracies)} | {result.accuracy:.2f} | "
        f"{min(result.accuracies):.2f} to {max(result.accuracies):.2f} |"
        for outcome in outcomes
        for name, result in outcome.results.items()
        if result.accuracies
    ]
    head = ["", "| case | contender | trainings | mean accuracy, % | range |"]
    return [*head, "|---|---|--:|--:|--:|", *rows] if rows else []


def verdict(outcome: Outcome, target: Target) -> str:
    ratio = outcome.ratio(target)
    if math.isnan(ratio):
        return "not measured"
    accuracy, wanted = outcome.results[target.contender].accuracy, outcome.case.accuracy
    if wanted and not accuracy >= wanted:
        return f"missed: accuracy {accuracy:.2f} %, below {wanted:.0f} %"
    return "met" if ratio >= target.at_least else "missed"


def peaks(outcomes: list[Outcome]) -> list[str]:
    """The highest of the cases' median peaks."""
    found = [outcome.peaks for outcome in outcomes if outcome.peaks_by_round]
    if not found:
        return []
    highest = {name: max(peaks[name] for peaks in found) for name in found[0]}
    rates = [
        f"{name} {value / 1e9:.0f} {'GB/s' if name == 'copy' else 'GFLOP/s'}"
        for name, value in highest.items()
    ]
    return ["", f"Peaks measured in the same rounds: {', '.join(rates)}."]


def in_unit(value: float, unit: str) -> str:
    """Seconds as ms, bytes as MiB, to three digits."""
    value = value * 1e3 if unit == "s" else value / 2**20
    return f"{value:.{max(0, 2 - len(str(int(value))) + 1)}f}"


def fraction(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"


def as_data(
    benchmark: Benchmark, outcomes: list[Outcome], conditions: dict[str, Any]
) -> dict[str, Any]:
    """The JSON content, with every round: seconds, bytes and FLOP."""
    cases = [
        {
            "name": outcome.case.name,
            "flop": sum(flop for flop, _ in outcome.cost),
            "bytes": sum(moved for _, moved in outcome.cost),
            "not_compared": outcome.case.not_compared,
            "load": outcome.loads,
            "peaks": outcome.peaks_by_round,
            "contenders": {
                name: asdict(result)
                | {
                    "median": result.median,
                    "lower_bound_fraction": outcome.lower_bound_fraction(name),
                }
                for name, result in outcome.results.items()
            },
            "targets": [
                asdict(target)
                | {"reached": outcome.ratio(target), "verdict": verdict(outcome, target)}
                for target in outcome.case.targets
            ],
        }
        for outcome in outcomes
    ]
    data = {"benchmark": benchmark.name, "title": benchmark.title, "unit": benchmark.unit}
    return without_nan({**data, **conditions, "cases": cases})


def without_nan(value: Any) -> Any:
    """With null for NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def chart(benchmark: Benchmark, outcomes: list[Outcome]) -> Figure:
    """Bars of the ratio to the first contender; without one for those that were not measured."""
    rows: list[tuple[str, float, str]] = []
    for outcome in outcomes:
        rows.append((outcome.case.name, math.nan, ""))
        for name, result in outcome.results.items():
            unit = "ms" if benchmark.unit == "s" else "MiB"
            text = "" if result.status else f"{in_unit(result.median, benchmark.unit)} {unit}"
            rows.append((name, outcome.baseline / result.median, text or result.status[:40]))
    figure = Figure(figsize=(8, 1 + 0.25 * len(rows)), layout="constrained")
    axes = figure.subplots()
    lengths = [0 if math.isnan(length) else length for _, length, _ in rows]
    colours = [HIGHLIGHT if name.startswith("classicnets") else OTHER for name, _, _ in rows]
    axes.barh(range(len(rows)), lengths, color=colours)
    for y, (_, _, text) in enumerate(rows):
        axes.text(lengths[y], y, f" {text}", va="center", fontsize=7)
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows], fontsize=7)
    for label, (_, length, text) in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if math.isnan(length) and not text else "normal")
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.axvline(1, color="black", linewidth=0.6)
    axes.set_xlim(0, 1.25 * max([1.0, *lengths]))
    axes.set_xlabel("ratio to the first contender (higher is better)")
    figure.suptitle(benchmark.title, fontsize=9)
    return figure
