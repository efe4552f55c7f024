"""What a contest found, as a table, as JSON and as bars."""

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
from harness import Bar, Contest, Outcome
from matplotlib.figure import Figure
from PIL import Image

from classicnets.measure.roofline import named

PACKAGES = (
    *(
        "classicnets",
        "torch",
        "triton",
        "numpy",
        "pillow",
        "torchvision",
        "timm",
        "onnx",
        "onnxscript",
    ),
    *("onnxruntime", "openvino", "torchinfo", "fvcore", "ptflops"),
)
MARK, OTHER = "#c0392b", "#8899aa"


def write(
    contest: Contest, outcomes: list[Outcome], where: Path, conditions: dict[str, Any]
) -> str:
    """Writes <contest>.md, .json and .png and returns the table."""
    where.mkdir(parents=True, exist_ok=True)
    told = facts() | conditions
    text = markdown(contest, outcomes, told)
    (where / f"{contest.name}.md").write_text(text, encoding="utf-8")
    content = json.dumps(as_data(contest, outcomes, told), indent=1, ensure_ascii=False)
    (where / f"{contest.name}.json").write_text(content + "\n", encoding="utf-8")
    drawn = where / f"{contest.name}.png"
    chart(contest, outcomes).savefig(drawn, dpi=120)
    with Image.open(drawn) as picture:  # in as few colours as it has, a third of the bytes
        picture.convert("RGB").quantize(64).save(drawn, optimize=True)
    return text


def write_summary(where: Path) -> None:
    """Writes gpu.md: all that was asked for in the contests whose figures lie there."""
    lines = [
        "# What was asked for on this GPU, and what was reached",
        "",
        "| contest | work | at least | reached | | ms | images/s |",
        "|---|---|---|--:|---|--:|--:|",
    ]
    told: dict[str, Any] = {}
    for path in sorted(where.glob("*.json")):
        told = json.loads(path.read_text(encoding="utf-8"))
        unit = told["unit"]
        for work in told["works"]:
            for bar in work["bars"]:
                median = work["contestants"][bar["ours"]]["median"]
                lines.append(
                    f"| {told['contest']} | {work['name']} | {worded(Bar(**asked(bar)))} | "
                    f"{'' if bar['reached'] is None else format(bar['reached'], '.2f')} | "
                    f"{bar['verdict']} | {shown(median, unit) if median else ''} | "
                    f"{speed(work['name'], median, unit)} |"
                )
    if told:
        said = f"{told['device']}, torch {told['versions']['torch']}, {told['date']}."
        lines += ["", f"{said} Each file beside this one has its contestants, rounds and command."]
        (where / "gpu.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def asked(bar: dict[str, Any]) -> dict[str, Any]:
    return {name: bar[name] for name in ("ours", "at_least", "than")}


def speed(work: str, median: float | None, unit: str) -> str:
    """Images a second, where the work's name says how many they are."""
    said = re.search(r"batch (\d+)|over ([\d,]+) (?:pictures|digits)", work)
    if not said or not median or unit != "s":
        return ""
    return f"{int((said[2] or said[1]).replace(',', '')) / median:,.0f}"


def facts() -> dict[str, Any]:
    """Hardware, versions and date; a package that is not installed has no version."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return {
        "date": f"{date.today()}",
        "processor": named(torch.device("cpu")),
        "processors": os.cpu_count(),
        "versions": versions,
    }


def markdown(contest: Contest, outcomes: list[Outcome], told: dict[str, Any]) -> str:
    loads = [load for outcome in outcomes for load in outcome.loads]
    versions = ", ".join(f"{name} {v}" for name, v in told["versions"].items() if v)
    gpu = f", {told['device']}" if told["device"] != told["processor"] else ""
    lines = [
        f"# {contest.about}",
        "",
        *(["Tiny sizes, to see that it runs: the figures mean nothing.", ""] * told["quick"]),
        f"`{told['command']}`, {told['date']}: {told['threads']} threads on {told['processors']} "
        f"processors ({told['processor']}){gpu}; load {min(loads):.1f} to {max(loads):.1f}; "
        f"medians of {told['rounds']} rounds, contestants in turn. {versions}.",
        "",
        *table(contest, outcomes),
        *bars(outcomes),
        *peaks(outcomes),
    ]
    return "\n".join(lines) + "\n"


def table(contest: Contest, outcomes: list[Outcome]) -> list[str]:
    unit = "ms" if contest.unit == "s" else "MiB"
    lines = [
        f"| work | contestant | precision | median, {unit} | lowest to highest | times as good as "
        "the first | share of the floor | start, s |",
        "|---|---|---|--:|--:|--:|--:|--:|",
    ]
    for outcome in outcomes:
        base = outcome.first
        for name, result in outcome.results.items():
            start = f"| {outcome.work.name} | {name} | "
            if result.status:
                lines.append(f"{start}{result.status.replace('|', '/')} | | | | | |")
                continue
            numbers = min(result.rounds), result.median, max(result.rounds)
            low, middle, high = (shown(value, contest.unit) for value in numbers)
            cells = (
                *(result.precision, middle, f"{low} to {high}", f"{base / result.median:.2f}"),
                *(fraction(outcome.share(name)), f"{result.start:.1f}"),
            )
            lines.append(start + " | ".join(cells) + " |")
    notes = {o.work.name: o.work.differ for o in outcomes if o.work.differ}
    return [*lines, *(f"\n{work}: outputs are not compared; {why}." for work, why in notes.items())]


def bars(outcomes: list[Outcome]) -> list[str]:
    rows = [(outcome, bar) for outcome in outcomes for bar in outcome.work.bars]
    right = accuracies(outcomes)
    if not rows:
        return right
    head = ["", "| work | bar | reached | |", "|---|---|--:|---|"]
    return [
        *right,
        *head,
        *(
            f"| {outcome.work.name} | {worded(bar)} | {fraction(outcome.reached(bar))} | "
            f"{verdict(outcome, bar)} |"
            for outcome, bar in rows
        ),
    ]


def accuracies(outcomes: list[Outcome]) -> list[str]:
    """Of trainings: right answers in %, the mean and the range."""
    rows = [
        f"| {outcome.work.name} | {name} | {len(result.accuracies)} | {result.accuracy:.2f} | "
        f"{min(result.accuracies):.2f} to {max(result.accuracies):.2f} |"
        for outcome in outcomes
        for name, result in outcome.results.items()
        if result.accuracies
    ]
    head = ["", "| work | contestant | trainings | right, % | lowest to highest |"]
    return [*head, "|---|---|--:|--:|--:|", *rows] if rows else []


def worded(bar: Bar) -> str:
    than = bar.than if isinstance(bar.than, str) else f"{1e3 * bar.than:.0f} ms"
    return f"{bar.ours}: at least {bar.at_least:.2f} of {than}"


def verdict(outcome: Outcome, bar: Bar) -> str:
    reached = outcome.reached(bar)
    if math.isnan(reached):
        return "not measured"
    right = outcome.results[bar.ours].accuracy
    if outcome.work.accuracy and not right >= outcome.work.accuracy:
        return f"missed: {right:.2f} of {outcome.work.accuracy:.0f} %"
    return "met" if reached >= bar.at_least else "missed"


def peaks(outcomes: list[Outcome]) -> list[str]:
    """The ceiling in the works that have a floor: the highest of their medians."""
    found = [outcome.peaks for outcome in outcomes if outcome.samples]
    if not found:
        return []
    highest = {name: max(peak[name] for peak in found) for name in found[0]}
    told = [
        f"{name} {value / 1e9:.0f} {'GB/s' if name == 'copy' else 'GFLOP/s'}"
        for name, value in highest.items()
    ]
    return ["", f"Measured ceiling, in the same rounds: {', '.join(told)}."]


def shown(value: float, unit: str) -> str:
    value = value * 1e3 if unit == "s" else value / 2**20
    return f"{value:.{max(0, 2 - len(str(int(value))) + 1)}f}"


def fraction(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"


def as_data(contest: Contest, outcomes: list[Outcome], told: dict[str, Any]) -> dict[str, Any]:
    """All of it, each round for itself; seconds, bytes and FLOP."""
    works = [
        {
            "name": outcome.work.name,
            "flop": sum(flop for flop, _ in outcome.cost),
            "bytes": sum(moved for _, moved in outcome.cost),
            "differ": outcome.work.differ,
            "load": outcome.loads,
            "ceiling": outcome.samples,
            "contestants": {
                name: asdict(result) | {"median": result.median, "share": outcome.share(name)}
                for name, result in outcome.results.items()
            },
            "bars": [
                asdict(bar) | {"reached": outcome.reached(bar)} | {"verdict": verdict(outcome, bar)}
                for bar in outcome.work.bars
            ],
        }
        for outcome in outcomes
    ]
    data = {"contest": contest.name, "about": contest.about, "unit": contest.unit, **told}
    return without_nan(data | {"works": works})


def without_nan(value: Any) -> Any:
    """JSON has no name for what is not a number."""
    if isinstance(value, dict):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def chart(contest: Contest, outcomes: list[Outcome]) -> Figure:
    """How many times as good as the first each is; who is not here has no bar, but a line."""
    rows: list[tuple[str, float, str]] = []
    for outcome in outcomes:
        base = outcome.first
        rows.append((outcome.work.name, math.nan, ""))
        for name, result in outcome.results.items():
            unit = "ms" if contest.unit == "s" else "MiB"
            told = "" if result.status else f"{shown(result.median, contest.unit)} {unit}"
            rows.append((name, base / result.median, told or result.status[:40]))
    figure = Figure(figsize=(8, 1 + 0.25 * len(rows)), layout="constrained")
    axes = figure.subplots()
    lengths = [0 if math.isnan(length) else length for _, length, _ in rows]
    colours = [MARK if name.startswith("classicnets") else OTHER for name, _, _ in rows]
    axes.barh(range(len(rows)), lengths, color=colours)
    for y, (_, _, told) in enumerate(rows):
        axes.text(lengths[y], y, f" {told}", va="center", fontsize=7)
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows], fontsize=7)
    for label, (_, length, told) in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if math.isnan(length) and not told else "normal")
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.axvline(1, color="black", linewidth=0.6)
    axes.set_xlim(0, 1.25 * max([1.0, *lengths]))
    axes.set_xlabel("times as good as the first")
    axes.set_title(contest.about, fontsize=9)
    return figure
