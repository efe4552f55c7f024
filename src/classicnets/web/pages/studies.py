"""Studies and experiments: claims with their verdicts, and comparisons found in the folder."""

from typing import TYPE_CHECKING
from urllib.parse import quote

from nicegui import ui
from starlette.requests import Request

from classicnets.support.names import visible
from classicnets.web.shell import Missing, computed, frame
from classicnets.web.terms import term
from classicnets.web.texts import Text
from classicnets.web.workspace import Workspace, inside

from .experiment import ExperimentView, follow
from .study import KINDS, Found, declare_study, look_at_all, show_claim

if TYPE_CHECKING:
    from classicnets.api.following_experiments import FollowedExperiment


def declare(workspace: Workspace) -> None:
    """The addresses of these pages."""
    declare_study(workspace)

    @ui.page("/studies")
    async def studies(request: Request, family: str = "") -> None:
        with frame(request, "Studies") as t:
            ui.label(t("Studies")).classes("text-h5")
            ui.label(
                t("What is said of these networks, each with a criterion stated before its result.")
            )
            _Claims(t, await computed(lambda: look_at_all(workspace))).show(family)
            ui.label(t("Experiments")).classes("text-h6")
            experiments = await computed(lambda: _experiments(workspace))
            if not experiments:
                ui.label(t("There is none in this folder; classicnets experiment makes them."))
            for one in experiments:
                _row(t, one)

    @ui.page("/experiment/{name}")
    async def experiment(request: Request, name: str) -> None:
        with frame(request, name) as t:
            directory = inside(workspace.experiments, name)
            found = await computed(lambda: _experiment(workspace, name))
            ui.label(name).classes("text-h5")
            view = ExperimentView(t, directory)
            view.lay_out()
            await view.update(found)
            view.watch()


class _Claims:
    """The claims of a family and of a kind."""

    def __init__(self, t: Text, found: list[Found]):
        self.t, self.found = t, found

    def show(self, family: str) -> None:
        """The fields, and a row for each claim of a family, or of all."""
        t = self.t
        families = {"": t("all"), **{one.study.family: one.study.family for one in self.found}}
        kinds = {"": t("all"), **{kind: t(said) for kind, said in KINDS.items()}}
        with ui.row().classes("gap-4 items-end"):
            family = family if family in families else ""
            self.family = ui.select(families, value=family, label=t("family")).classes("w-40")
            self.kind = ui.select(kinds, value="", label=t("kind")).classes("w-40")
            for said in KINDS.values():
                term(t, said).classes("text-caption")
        self.count = ui.label().classes("text-caption").props("aria-live=polite")
        self.rows = ui.column().classes("w-full gap-2")
        for field in (self.family, self.kind):
            field.on_value_change(self.draw)
        self.draw()

    def draw(self) -> None:
        """Lists the claims that are asked for."""
        family, kind = self.family.value, self.kind.value
        some = [
            one
            for one in self.found
            if family in ("", one.study.family) and kind in ("", one.study.kind)
        ]
        self.count.set_text(self.t("{} studies", len(some)))
        self.rows.clear()
        with self.rows:
            for one in some:
                show_claim(self.t, one)


def _experiments(workspace: Workspace) -> "list[FollowedExperiment]":
    from classicnets.api.following_experiments import list_experiments

    return list_experiments(workspace.experiments)


def _experiment(workspace: Workspace, name: str) -> "FollowedExperiment":
    names = [one.name for one in _experiments(workspace)]
    if name not in names:
        raise Missing("experiment", name, names, "/experiment/", "/studies")
    return follow(workspace.experiments / name)


def _row(t: Text, one: "FollowedExperiment") -> None:
    with ui.row().classes("items-center gap-2"):
        ui.link(one.name, f"/experiment/{quote(one.name, safe='')}")
        ui.badge(t(one.state), color="primary").props("outline")
        far = t("{} trials have ended", one.done) if one.searching else f"{one.done} / {one.total}"
        ui.label(far).classes("text-caption")
    ui.label(visible(", ".join(one.variants))).classes("text-caption break-all")
