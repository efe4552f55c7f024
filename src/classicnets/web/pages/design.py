"""Design: an editor with errors and figures at the lines, the papers' moves, save and train."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nicegui import app, background_tasks, ui
from starlette.requests import Request

from classicnets.support.errors import plain_reason
from classicnets.support.names import visible
from classicnets.support.units import format_change
from classicnets.web.shell import Answer, choose_by_name, computed, frame
from classicnets.web.texts import Text
from classicnets.web.workspace import Workspace, inside

from .network import show_totals
from .planned import show_plan
from .recipe import choose_recipe
from .stages import show_stages

if TYPE_CHECKING:
    from classicnets.api.drafting import Draft
    from classicnets.api.suggest import Suggestion
    from classicnets.training.execution.plan import Plan

START = "lenet5"
CHINESE = Path(__file__).parents[1] / "moves.json"
FADED = "opacity-40"
REST = 0.4  # seconds without a keystroke after which costs are measured
# the panel's lines stand beside those of the editor
STYLE = """
.nicegui-codemirror { height: auto !important }
.nicegui-codemirror .cm-content, .beside { line-height: 20px !important; padding: 4px 0 }
.body--dark .nicegui-codemirror { filter: invert(.93) hue-rotate(180deg) }
.beside { font-size: .8rem }
.beside > * { white-space: pre }
"""


def declare(workspace: Workspace) -> None:
    """The address of this page."""

    @ui.page("/design")
    async def design(request: Request, network: str = START) -> None:
        with frame(request, "Design") as t:
            ui.add_css(STYLE)
            ui.label(t("Design")).classes("text-h5")
            text = await computed(lambda: _text(workspace, network))
            name = network if network.endswith(".net") else f"{network}-mine.net"
            _Designing(t, workspace, name).show(text, f"/design?network={quote(network)}")


def _text(workspace: Workspace, network: str) -> str:
    """What the editor begins with: a design as it is saved, or that of a network."""
    import classicnets as cn

    if network.endswith(".net"):
        return workspace.design(network).read_text(encoding="utf-8")
    if network not in workspace.network_names():
        raise ValueError(f"no network {network!r}")
    return cn.design(network)


def _planned(text: str, data: str, recipe: str | None) -> "Plan":
    """What `plan` says of a design that is not saved."""
    import classicnets as cn
    from classicnets.api.drafting import as_file

    with as_file(text) as path:
        return cn.plan(path, data, recipe)


def _shapes_above(text: str, fault: int) -> dict[int, str]:
    """The shapes of the lines above one with an error, as far as they are a design."""
    from classicnets.api.drafting import shapes_of

    with suppress(ValueError):
        return shapes_of("\n".join(text.splitlines()[: fault - 1]))
    return {}


@cache
def _in_chinese() -> dict[str, str]:
    """The name of a move -> what its paper says of it, and where."""
    return json.loads(CHINESE.read_text(encoding="utf-8"))


class _Designing:
    """A text in the editor, what is wrong with it or what it costs, and the texts before a move."""

    def __init__(self, t: Text, workspace: Workspace, name: str):
        self.t, self.workspace, self.name = t, workspace, name
        self.before: list[str] = []
        self.address = ""
        self.unsaved: Any = {}  # address -> the text, kept by this tab until it is saved
        self.measuring: asyncio.Task[None] | None = None

    def show(self, text: str, address: str) -> None:
        """The editor and what stands beside it; with what was written at this address before."""
        t, self.address, self.unsaved = self.t, address, app.storage.tab
        kept = self.unsaved.get(address, text)
        if kept != text:
            with ui.row().classes("items-center"):
                ui.label(t("What was written here before and not saved."))
                ui.button(t("Begin anew"), on_click=lambda: self._write(text)).props("no-caps flat")
        with ui.row().classes("items-end w-full"):
            names, begin = self.workspace.network_names(), self.begin_with
            choose_by_name(names, label=t("Begin with"), on_change=begin).classes("w-56")
            self.file = ui.input(t("file"), value=self.name).classes("w-56")
            ui.button(t("Save"), on_click=self.save).props("no-caps")
            ui.button(t("Save and train"), on_click=self.train).props("no-caps outline")
        self.said = ui.label().classes("text-negative").props("role=status aria-live=polite")
        self.totals = ui.column().classes("w-full gap-1")
        ui.label(
            t("Beside each line: the shape it gives, its parameters and multiply-adds.")
        ).classes("text-caption opacity-70")
        with ui.element("div").classes("w-full grid grid-cols-1 md:grid-cols-[4fr_3fr] gap-2"):
            self.editor = ui.codemirror(kept, on_change=self.changed).classes("w-full min-w-0")
            with ui.column().classes("beside gap-0 min-w-0 overflow-x-auto font-mono"):
                self.above, self.fault, self.below = ui.label(), ui.label(), ui.label()
                self.fault.classes("text-negative")
        self.diagram = ui.column().classes("w-full")
        self.warned = ui.column().classes("gap-0 text-caption")
        self.figures = self.totals, self.diagram, self.warned
        self._planner()
        ui.label(t("The papers' moves")).classes("text-h6")
        ui.label(t("What each would change here; nothing changes before it is applied.")).classes(
            "text-caption"
        )
        with ui.row().classes("items-center"):
            ui.button(t("Look for moves"), on_click=self.look_for_moves).props("no-caps outline")
            self.undo = ui.button(t("Undo the move"), on_click=self.take_back)
            self.undo.props("no-caps flat").set_visibility(False)
        self.moves = Answer(t, "gap-1")
        self.changed()

    def _planner(self) -> None:
        """Whether a training fits this machine, and how long it takes."""
        t, sets = self.t, self.workspace.data_names()
        ui.label(t("Plan a training")).classes("text-h6")
        with ui.row().classes("items-end"):
            self.data = ui.select(sets, value="digits", label=t("data")).classes("w-64")
            self.recipe = choose_recipe(t, self.name)
            ui.button(t("Estimate"), on_click=self.plan).props("no-caps outline")
        self.planned = Answer(t)

    def begin_with(self, change: Any) -> None:
        """Opens another network or design."""
        ui.navigate.to(f"/design?network={quote(change.value)}")

    def changed(self) -> None:
        """After a keystroke: the error at its line, or the shape that each line gives."""
        from classicnets.api.drafting import error_line, shapes_of

        text = self.editor.value
        self.unsaved[self.address] = text
        self.planned.clear()  # which was of another text
        if self.measuring:
            self.measuring.cancel()
        try:
            given = shapes_of(text)
        except ValueError as error:
            self.said.set_text(visible(str(error)))
            fault = error_line(error)
            self._beside(_shapes_above(text, fault), fault)
            for each in self.figures:  # of the last text without an error
                each.classes(FADED)
            return
        self.said.set_text("")
        self._beside(given)
        for each in self.figures:
            each.classes(remove=FADED)
        self.measuring = background_tasks.create(self.measure(text, given), context=self.totals)

    async def measure(self, text: str, given: dict[int, str]) -> None:
        """After a rest: what each line costs, and all of them."""
        from classicnets.api.drafting import draft

        await asyncio.sleep(REST)
        try:
            found = await asyncio.to_thread(draft, text, self.file.value or "")
        except ValueError as error:
            self.said.set_text(visible(str(error)))
            return
        if text == self.editor.value:
            costs = {
                number: f"{given.get(number, ''):14} {line.params:>13,} {line.macs:>15,}"
                for number, line in found.lines.items()
                if line.params
            }
            self._beside(given | costs)
            self._show(found)

    def _beside(self, figures: dict[int, str], fault: int = 0) -> None:
        """Shows figures beside the lines they belong to, and where the error is.

        The editor itself is left alone: to change it would disturb who types.
        """
        last = max([fault, *figures])
        lines = [f"{k:3}  {figures.get(k, '')}".rstrip() for k in range(1, last + 1)]
        cut = fault - 1 if fault else last
        self.above.set_text("\n".join(lines[:cut]))
        self.fault.set_text(f"{fault:3}  \N{LEFTWARDS ARROW} {self.said.text}" * bool(fault))
        self.below.set_text("\n".join(lines[fault:] if fault else []))

    def _show(self, found: "Draft") -> None:
        self.totals.clear()
        with self.totals:
            show_totals(self.t, found.report)
        self.diagram.clear()
        with self.diagram:
            show_stages(self.t, found.report)
        self.warned.clear()
        with self.warned:
            for warning in found.warnings:
                ui.label(warning)

    async def plan(self) -> None:
        """Shows what `plan` says of the text in the editor."""
        text, data = self.editor.value, self.workspace.dataset(str(self.data.value))
        recipe = self.recipe.value or None
        await self.planned.show(
            lambda: _planned(text, data, recipe),
            lambda plan: show_plan(self.t, plan, self.t("the design")),
        )

    async def look_for_moves(self) -> None:
        """Lists the moves that apply, each with the lines it would change."""
        from classicnets.api.drafting import moves_of

        text = self.editor.value
        await self.moves.show(lambda: moves_of(text), self._list)

    def _list(self, found: "Sequence[Suggestion]") -> None:
        for move in found:
            self._move(move)

    def _move(self, found: "Suggestion") -> None:
        t, before, after = self.t, found.before, found.after
        params = format_change(before.params, after.params).replace("same", t("same"))
        macs = format_change(before.macs, after.macs).replace("same", t("same"))
        costs = f"{t('parameters')} {params}, {t('multiply-adds')} {macs}"
        with ui.expansion(f"{found.move.name}: {costs}").classes("w-full"):
            said = f"{found.move.claim} ({found.move.source})"
            ui.label(_in_chinese()[found.move.name] if self.t.language == "zh" else said)
            ui.label(found.difference.text()).classes("mono w-full text-caption")
            ui.button(self.t("Apply"), on_click=partial(self.apply, found)).props("no-caps")

    def apply(self, move: "Suggestion") -> None:
        """Puts the design after a move into the editor."""
        self.before.append(self.editor.value)
        self._write(move.design)
        with self.moves.place:
            ui.label(self.t("{} is applied", move.move.name)).props("role=status")

    def take_back(self) -> None:
        """Puts back what was there before the last move."""
        self._write(self.before.pop())

    def _write(self, text: str) -> None:
        self.moves.clear()
        self.editor.value = text
        self.undo.set_visibility(bool(self.before))

    async def save(self) -> bool:
        """Writes the design; what is wrong with it or its name is said, and then nothing is."""
        from classicnets.api.drafting import save_draft

        name = self.file.value or ""
        name += ".net" * ("." not in name and name != "")
        try:
            if not name.endswith(".net") or name == ".net":
                raise ValueError(f"a design is a file that ends in .net, not {name!r}")
            path = inside(self.workspace.designs, name)
            if path.exists() and name != self.name:
                raise ValueError(f"{name} exists; name a new file")
            save_draft(self.editor.value, path)
        except (ValueError, OSError) as error:
            reason = error if isinstance(error, ValueError) else plain_reason(error)
            said = self.t("Not saved: {}", visible(str(reason)))
            self.said.set_text(said)
            ui.notify(said, type="negative")
            return False
        self.name = self.file.value = name
        self.unsaved.pop(self.address, None)
        self.said.set_text("")
        ui.notify(self.t("{} is saved", name))
        return True

    async def train(self) -> None:
        """Saves the design, and goes where it is trained."""
        if await self.save():
            ui.navigate.to(f"/train?network={quote(self.name)}")
