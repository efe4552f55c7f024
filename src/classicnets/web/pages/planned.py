"""What a plan says: whether a training fits the memory, and how long it takes."""

import math
from typing import TYPE_CHECKING

from nicegui import ui

from classicnets.support.names import visible
from classicnets.support.tables import format_bytes
from classicnets.support.units import format_seconds
from classicnets.web.terms import facts
from classicnets.web.texts import Text

from .stages import table_row

if TYPE_CHECKING:
    from classicnets.training.execution.plan import Plan, Seconds

VERDICTS = {
    "fits": "It fits.",
    "tight": "It may fit: the prediction is as uncertain as the memory is short.",
    "does not fit": "It does not fit.",
}
PHASES = ("training step", "evaluation", "checkpoint")
PARTS = (
    *("weights", "gradients", "optimizer", "activations", "transients", "workspaces", "images"),
    *("allocator", "runtime"),
)


def show_plan(t: Text, plan: "Plan", network: str) -> None:
    """A plan, of a network as it is called in the page."""
    trained = t("{} images of {}", f"{plan.images:,}", visible(plan.data))
    size = "x".join(map(str, plan.input))
    batch = t("batches of {}", f"{plan.batch:,}")
    epochs = t("{} epochs", f"{plan.epochs:,.3g}")
    ui.label(" · ".join([network, trained, size, batch, epochs, plan.precision, plan.device]))
    ui.label(t(VERDICTS[plan.verdict])).classes("text-bold").props("role=status")
    needed = {"peak memory": _range(t, *map(format_bytes, (plan.peak.total, *plan.peak.range)))}
    if not math.isinf(plan.budget):
        needed["free memory"] = format_bytes(int(plan.budget))
        needed["largest batch that fits"] = f"{plan.largest_batch:,.0f}"
    facts(t, needed)
    times = {"a step": plan.step, "an epoch": plan.epoch, "all epochs": plan.total}
    facts(t, {name: _time(t, time) for name, time in times.items()})
    for note in plan.notes:
        ui.label(note).classes("text-caption")
    with ui.expansion(t("Memory, part by part")), ui.element("table").classes("text-caption"):
        table_row("th", t("memory"), *map(t, PHASES), words=1)
        peaks = {peak.phase: peak for peak in plan.peaks}
        for part in PARTS:
            bytes_of = [peaks[phase].parts[part] for phase in PHASES]
            if any(bytes_of):
                table_row("td", t(part), *map(format_bytes, bytes_of), words=1)
        table_row("td", t("total"), *(format_bytes(peaks[p].total) for p in PHASES), words=1)
    if plan.options:
        ui.label(t("What needs less")).classes("text-subtitle1")
        with ui.element("table").classes("text-caption"):
            table_row("th", t("change"), t("peak memory"), t("It fits."), words=1)
            for option in plan.options:
                fits = t("yes") if option.fits else t("no")
                table_row("td", option.command, format_bytes(option.peak.total), fits, words=1)


def _time(t: Text, time: "Seconds") -> str:
    return _range(t, *map(format_seconds, (time.likely, time.low, time.high)))


def _range(t: Text, likely: str, low: str, high: str) -> str:
    return t("{} ({} to {})", likely, low, high)
