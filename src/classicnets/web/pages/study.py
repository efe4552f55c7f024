"""A study on its page: the claim, the criterion, the result, running it, and how it comes on."""

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nicegui import ui
from starlette.requests import Request

from classicnets.support.names import visible
from classicnets.support.units import format_seconds
from classicnets.web.shell import Answer, Missing, computed, failed, frame
from classicnets.web.terms import facts, term
from classicnets.web.texts import Text
from classicnets.web.workspace import Workspace, refusal, word

from .experiment import EVERY, ExperimentView, show_figure

if TYPE_CHECKING:
    from classicnets.studies.keeping import Kept
    from classicnets.studies.study import Study

KINDS = {"structure": "structure", "history": "history", "training": "paired runs"}
NOT_RUN = "not yet run"
VERDICTS = {  # verdict -> colour
    "confirmed": "positive",
    "corrected": "negative",
    "partly": "warning",
    "not distinguishable at this scale": "",
    NOT_RUN: "",
    "begun": "",
    "damaged": "",
}
GPU = "Two CPU cores would take days."


@dataclass(frozen=True)
class Found:
    """A study with its verdict, as in `index.state`."""

    study: "Study"
    verdict: str


def look_at_all(workspace: Workspace) -> list[Found]:
    """All studies, with what is known of each."""
    from classicnets.studies import index

    return [Found(one, index.state(one, workspace.studies)) for one in index.STUDIES.values()]


def _answer(t: Text, kept: "Kept") -> str:
    """What is right, in Chinese where it is what the package has too, and was translated."""
    from classicnets.studies import keeping

    known = keeping.published().get(kept.study)
    same = known is not None and known.answer == kept.answer
    return said(t, kept.study, "answer", kept.answer) if same else kept.answer


def said(t: Text, name: str, part: str, english: str) -> str:
    """A part of a study, such as its claim, in the language of the page."""
    from classicnets.studies import keeping

    return keeping.chinese()[name][part] if t.language == "zh" else english


def verdict(t: Text, name: str) -> None:
    """A verdict as a badge; colours stand beside their words."""
    colour = VERDICTS[name]
    badge = ui.badge(t(name), color=colour or "primary")
    badge.props("outline" if not colour else "text-color=black" * (colour == "warning"))


def show_claim(t: Text, one: Found) -> None:
    """A claim with its verdict, as a row of a list."""
    with ui.column().classes("w-full gap-0"):
        with ui.row().classes("items-center gap-2"):
            ui.link(one.study.name, f"/study/{one.study.name}")
            verdict(t, one.verdict)
        of = one.study
        claim, by = said(t, of.name, "claim", of.claim), said(t, of.name, "by", of.by)
        ui.label(f"{claim} ({by})").classes("text-body2")


def declare_study(workspace: Workspace) -> None:
    """The address of these pages."""

    @ui.page("/study/{name}")
    async def study(request: Request, name: str) -> None:
        with frame(request, name) as t:
            page = _Page(t, workspace, await computed(lambda: _study(name)))
            page.lay_out()
            await page.update()


def _study(name: str) -> "Study":
    from classicnets.studies import index

    if name not in index.STUDIES:
        raise Missing("study", name, index.STUDIES, "/study/", "/studies")
    return index.STUDIES[name]


class _Page:
    """A study, its result and, where it trains, the process that runs it."""

    def __init__(self, t: Text, workspace: Workspace, study: "Study"):
        self.t, self.workspace, self.study = t, workspace, study
        self.trains = study.kind == "training"
        self.quick: Any = None
        self.data: Any = None
        self.view: ExperimentView | None = None
        self.shown: object = self  # what is kept, as it was shown

    @property
    def place(self) -> Path:
        """The directory of its result."""
        from classicnets.studies.index import place

        return place(self.workspace.studies, self.study.name, bool(self.quick and self.quick.value))

    @property
    def job(self) -> str:
        """The name under which it waits and is logged."""
        return f"study-{self.place.name}"

    def lay_out(self) -> None:
        """What is known of it before, the fields, and the places for what changes."""
        t, study = self.t, self.study
        ui.label(study.name).classes("text-h5")
        claim = said(t, study.name, "claim", study.claim)
        ui.label(claim).classes("text-body1 font-bold")
        ui.label(said(t, study.name, "by", study.by)).classes("opacity-70")
        self.result = ui.column().classes("w-full gap-2")
        with ui.row().classes("items-end gap-4"):
            if study.data:
                names = {"": study.data, **{one: one for one in self.workspace.data_names()}}
                self.data = ui.select(names, value="", label=t("data")).classes("w-48")
            if self.trains:
                self.quick = ui.checkbox(t("a quarter of the epochs"), on_change=self.other)
            self.run = ui.button(t("Run"), on_click=self.start).props("no-caps")
            self.stop = ui.button(t("Stop"), on_click=self.end).props("no-caps outline")
        self.said = ui.label().props("aria-live=polite")
        self.progress = Answer(t)
        self.log = ui.label().classes("mono w-full text-caption")
        _about(t, study)
        if self.trains:
            ui.timer(EVERY, self.update)

    async def other(self) -> None:
        """The full or the quick study is looked at instead."""
        self.view = None
        self.progress.clear()
        await self.update()

    async def start(self) -> None:
        """Runs it now, or lets it wait for the trainings before it."""
        name, workspace = self.study.name, self.workspace
        if self.trains:
            words = ["study", name, "--out=studies", *["--quick"] * bool(self.quick.value)]
            if chosen := str(self.data.value or "") if self.data else "":
                words.append(word("data", workspace.dataset(chosen)))
            workspace.queue(self.job, words)
            await self.update()
            return
        await self.progress.show(lambda: _run(name, workspace.studies), lambda _: None)
        await self.update()

    async def end(self) -> None:
        """Takes it out of the queue, or asks its process to end; what has ended is kept."""
        self.workspace.withdraw(self.job)
        if self.view and self._trained_by():
            self.view.ask_to_stop()
        elif self.workspace.begun(self.job):
            self.workspace.started[self.job].send_signal(signal.SIGINT)
        await self.update()

    def _trained_by(self) -> int:
        """The process that trains its experiment; 0 where none does."""
        return self.view.seen.process if self.view and self.view.seen else 0

    async def update(self) -> None:
        """Shows how far it is."""
        t, workspace, job = self.t, self.workspace, self.job
        waits = workspace.waits(job)
        if self.trains:
            await self._follow()
        busy = waits or workspace.begun(job) or bool(self._trained_by())
        self.run.set_visibility(not busy)
        self.stop.set_visibility(busy)
        lines = workspace.log(job) if self.trains else []
        said = t("Waiting") if waits else refusal(lines[-3:]) if not busy else ""
        for label, text in ((self.said, said), (self.log, "\n".join(lines) if busy else "")):
            label.set_text(visible(text))
            label.set_visibility(bool(text))
        self._show_result()

    async def _follow(self) -> None:
        """The experiment below it, once that is planned."""
        directory = self.place / "experiment"
        if not (directory / "plan.json").exists():
            return
        if self.view is None:
            with self.progress.place:
                self.view = ExperimentView(self.t, directory, stoppable=False)
                self.view.lay_out()
        await self.view.look_again()

    def _show_result(self) -> None:
        kept, own, error = _kept(self.place, self.study.name)
        if (kept, own, error) == self.shown:
            return
        self.shown = (kept, own, error)
        t = self.t
        self.result.clear()
        with self.result:
            if error:
                failed(t, ValueError(error))
            if kept is None:
                verdict(t, NOT_RUN)
                return
            with ui.row().classes("items-center gap-2"):
                verdict(t, kept.verdict)
                where = t("run in this folder") if own else t("as the package has it")
                ui.label(where).classes("text-caption opacity-70")
            ui.label(visible(_answer(t, kept)))
            _figures(kept)
            for note in kept.runs.get("notes", ()):
                ui.label(visible(str(note))).classes("text-caption")
            if own:
                _figure(self.place)
            ui.label(visible(kept.command)).classes("mono w-full text-caption")
            ui.label(", ".join(f"{k} {v}" for k, v in kept.versions.items())).classes(
                "text-caption opacity-70"
            )


def _about(t: Text, study: "Study") -> None:
    """The criterion, the source, and what it takes."""
    facts(t, {"time on two cores": format_seconds(60 * study.minutes)})
    if study.needs_gpu:
        ui.label(t(GPU))
    term(t, KINDS[study.kind])
    for heading, text in (
        ("Criterion, stated before the result", said(t, study.name, "criterion", study.criterion)),
        ("Source", study.source),
        (
            "What was shrunk, and is therefore not shown",
            said(t, study.name, "shrunk", study.shrunk),
        ),
    ):
        if text:
            with ui.column().classes("gap-0"):
                ui.label(t(heading)).classes("text-caption opacity-70")
                ui.label(text)


def _run(name: str, out: Path) -> Any:
    from classicnets.studies import index

    return index.study(name, out)


def _kept(place: Path, name: str) -> "tuple[Kept | None, bool, str]":
    """What is known of a study, whether that is of this folder, and what is wrong there."""
    from classicnets.studies import keeping

    published = keeping.published().get(name)
    try:
        own = keeping.read_kept(place)
    except ValueError as error:
        return published, False, str(error)
    return own or published, own is not None, ""


def _figures(kept: "Kept") -> None:
    """What the verdict rests on, as a table of two columns."""
    from classicnets.studies.keeping import written

    with ui.element("div").classes("w-full overflow-x-auto"), ui.element("table"):
        for name, value in kept.figures.items():
            with ui.element("tr"):
                with ui.element("td").classes("pr-4"):
                    ui.label(visible(name))
                with ui.element("td").classes("text-right whitespace-nowrap"):
                    ui.label(visible(written(value)))


def _figure(place: Path) -> None:
    path = place / "figure.png"
    if path.is_file():
        show_figure(path.read_bytes())
