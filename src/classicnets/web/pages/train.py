"""Train: a network, data and a recipe are chosen, estimated, and started as `classicnets train`."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from nicegui import app, ui
from starlette.requests import Request

from classicnets.support.names import visible
from classicnets.web.shell import Answer, choose_by_name, computed, failed, frame
from classicnets.web.texts import Text
from classicnets.web.workspace import NAMED_SETS, Workspace, word

from .design import START
from .planned import show_plan
from .recipe import TUNED, Values, choose_recipe, recipes

if TYPE_CHECKING:
    from classicnets.api.recipe_form import RecipeForm, Value
    from classicnets.training.execution.plan import Plan

    Short = tuple[int, int] | None  # steps, and the epochs that would do

TWICE = "{} is given twice, here and in the list; give one"
EVERY = 2.0  # seconds after which the next training that waits may begin
# option of train -> heading, and the field of the form
NUMBERS = {
    "epochs": ("epochs", "epochs"),
    "lr": ("learning rate", "lr"),
    "batch-size": ("batch size", "batch"),
    "seed": ("seed", "seed"),
}


def declare(workspace: Workspace) -> None:
    """The address of this page, and the queue."""
    app.timer(EVERY, workspace.begin_next)

    @ui.page("/train")
    async def train(request: Request, network: str = START, data: str = "digits") -> None:
        with frame(request, "Train") as t:
            ui.label(t("Train")).classes("text-h5")
            form = _Form(t, workspace)
            form.show(network, data, request.query_params)
            with ui.row():
                ui.button(t("Estimate"), on_click=form.estimate).props("outline no-caps")
                ui.button(t("Start"), on_click=form.start).props("no-caps")
            # all that changes stands below the buttons, which must not move while one is pressed
            form.short = ui.label().classes("text-deep-orange").props("role=status")
            form.below = Answer(t)
            with ui.column() as reading:  # where its spinner stands
                form.list_values(request.query_params)
            _waiting(t, workspace)
            with reading:
                await form.changed()


class _Form:
    """The fields of the page, and the recipe that they lead to."""

    short: ui.label
    below: Answer

    def __init__(self, t: Text, workspace: Workspace):
        self.t, self.workspace = t, workspace
        self.numbers: dict[str, Any] = {}
        self.followed: dict[str, str] = {}
        self.starting = False

    def show(self, network: str, data: str, query: Mapping[str, str]) -> None:
        """Lays the fields out, with what the address says: see `_keep`."""
        t, workspace = self.t, self.workspace
        names = workspace.network_names()
        sets = workspace.data_names()
        for kind, asked, known in (("network", network, names), ("data", data, sets)):
            if asked not in known:
                failed(t, ValueError(f"no {kind} {asked!r}"))
        network = network if network in names else START
        data = data if data in sets else "digits"
        with ui.row().classes("gap-4 w-full"):
            self.network = choose_by_name(names, value=network, label=t("network"))
            self.data = ui.select(sets, value=data, label=t("data"))
            self.recipe = choose_recipe(t, network)
            if (recipe := query.get("recipe")) in self.recipe.options:
                self.recipe.value = recipe
            self.weights = ui.select({"": t("none")}, value="", label=t("weights to start from"))
            for each in (self.network, self.data, self.weights):
                each.classes("w-64")
            for option, (heading, _) in NUMBERS.items():
                # a browser's own field for numbers takes "1e-" and other beginnings for nothing
                wrong = partial(self._wrong, option)
                field = ui.input(t(heading), value=query.get(option, ""), validation=wrong)
                field.props("inputmode=decimal")
                field.on("blur", self.follow, [])
                # what was said of another number is gone; browsers tell of a click before of blur
                field.on_value_change(lambda: self.below.clear())
                self.numbers[option] = field.props("clearable stack-label").classes("w-48")

    def list_values(self, query: Mapping[str, str]) -> None:
        """The place for the recipe, which is read anew for another choice."""
        changes = {k[4:]: v for k, v in query.items() if k.startswith("set.")}
        self.values = Values(self.t, self.follow, changes)
        for each in (self.network, self.data, self.recipe):
            each.on_value_change(self.changed)
        self.weights.on_value_change(self.started_from)

    async def changed(self) -> None:
        """Offers the weights that fit, and reads the recipe."""
        known = recipes(self.t, str(self.network.value))
        if known != self.recipe.options:
            kept = self.recipe.value if self.recipe.value in known else ""
            self.recipe.set_options(known, value=kept)
        asked = self._asked()
        try:
            offered, form, values, short = await computed(self._read)
        except (ValueError, OSError) as error:
            if asked != self._asked():
                return  # something else was chosen meanwhile, which asks again
            with self.values.emptied():
                failed(self.t, error)
            return
        if asked != self._asked():
            return
        if offered != self.weights.options:
            kept = self.weights.value if self.weights.value in offered else ""
            self.weights.set_options(offered, value=kept)
        self.values.show(form, values)
        for field in self.numbers.values():
            field.validate()  # by this recipe
        self._say(values)
        self.followed = {}
        self._warn(short)
        await self.follow()
        self._keep()

    async def follow(self) -> None:
        """Shows what the numbers and the changed values make of the others."""
        form = self.values.form
        with suppress(ValueError):  # which is said below its field
            given = self._overrides()
            if form is None or given == self.followed:
                return
            values, short = await asyncio.to_thread(_followed, form, given)
            if form is self.values.form and given == self._overrides():  # else it is asked again
                self.followed = given
                self.values.follow(values)
                self._say(values)
                self._warn(short)
                self._keep()

    def _warn(self, short: "Short") -> None:
        """Says that a training is too short to learn."""
        said = (
            "{} steps will hardly train a network, which takes a few hundred; {} epochs would do."
        )
        self.short.set_text(self.t(said, *short) if short else "")

    def _keep(self) -> None:
        """Keeps all that is given in the address, for who comes back or reads it again."""
        fields = {"network": self.network, "data": self.data, "recipe": self.recipe}
        given = {name: str(field.value) for name, field in fields.items() if field.value}
        given |= self.given() | {f"set.{k}": v for k, v in self.values.changes.items()}
        ui.navigate.history.replace(f"/train?{urlencode(given)}")

    def _say(self, values: "Sequence[Value]") -> None:
        """Puts the recipe's own numbers into the fields of those that are not given."""
        own = {value.field: value for value in values}
        for option, (_, of) in NUMBERS.items():
            value = own.get(of)
            said = self.t("adapted" if value and value.adapted else "the recipe's own")
            number = value.number if value else "0"  # which is the seed
            self.numbers[option].props["placeholder"] = f"{number}, {said}" if number else said
            self.numbers[option].update()

    async def started_from(self) -> None:
        """Fine-tunes where there are weights, as `train --weights` does."""
        wanted = TUNED if self.weights.value else ""
        if self.recipe.value in ("", TUNED) and self.recipe.value != wanted:
            self.recipe.value = wanted  # which reads it
        else:
            await self.changed()

    def _asked(self) -> tuple[Any, ...]:
        fields = (self.network, self.data, self.recipe, self.weights)
        return tuple(field.value for field in fields)

    def _read(self) -> "tuple[dict[str, str], RecipeForm, tuple[Value, ...], Short]":
        from classicnets.api.overview import overview

        offered = {"": self.t("none"), **_weights(self.t, self.workspace, self.network.value)}
        form, spec = self._opened(), self.workspace.dataset(self.data.value)
        if spec not in NAMED_SETS or spec == "digits":  # the others have many, to be downloaded
            form = replace(form, splits=overview(spec).splits)
        return offered, form, *_followed(form, {})

    def _opened(self) -> "RecipeForm":
        from classicnets.api.recipe_form import RecipeForm

        workspace = self.workspace
        return RecipeForm.of(
            workspace.network(self.network.value),
            workspace.dataset(self.data.value),
            self._recipe(),
            self._start() or None,
        )

    def _start(self) -> str:
        """What to start from, as `train` takes it: a run's directory, or a source."""
        kind, _, name = str(self.weights.value or "").partition(":")
        return str(self.workspace.run(name)) if kind == "run" else name

    def _recipe(self) -> str | None:
        """The recipe's name; that of the paper is said where weights would mean fine-tuning."""
        return self.recipe.value or ("paper" if self.weights.value else None)

    def given(self) -> dict[str, str]:
        """Option -> value, of the numbers that are not the recipe's own."""
        typed = {name: str(each.value or "").strip() for name, each in self.numbers.items()}
        return {name: text for name, text in typed.items() if text}

    def _overrides(self) -> dict[str, str]:
        """Field of the recipe -> what is given for it. Raises a ValueError where that is twice."""
        numbers = {NUMBERS[name][1]: text for name, text in self.given().items() if name != "seed"}
        if twice := numbers.keys() & self.values.changes.keys():
            raise ValueError(TWICE.format(min(twice)))
        return numbers | self.values.changes

    def _wrong(self, option: str, value: str | None) -> str | None:
        """What is said below a field for a number."""
        if (form := self.values.form) is None or not (value or "").strip():
            return None
        field = NUMBERS[option][1]
        if field in self.values.changes:
            return TWICE.format(field)
        return visible(form.fault(field, str(value).strip())) or None

    def _checked(self) -> dict[str, str]:
        """What is given for the recipe, once all that is given is found to be legal."""
        form, overrides = self._opened(), self._overrides()
        if wrong := form.fault("seed", self.given().get("seed", "0")):
            raise ValueError(wrong)
        form.check(overrides, bool(self.weights.value))
        return overrides

    async def estimate(self) -> None:
        """Shows what `plan` says."""
        network = str(self.network.value)
        await self.below.show(self._plan, lambda plan: show_plan(self.t, plan, network))

    def _plan(self) -> "Plan":
        import classicnets as cn

        return cn.plan(
            self.workspace.network(self.network.value),
            self.workspace.dataset(self.data.value),
            recipe=self._recipe(),
            overrides=self._checked(),
        )

    async def start(self) -> None:
        """Queues the training, and goes to its run."""
        if self.starting:
            return  # a second click, before the page of the first one's run is there
        self.starting, begun = True, False
        try:
            begun = await self.below.show(
                self._queued, lambda name: ui.navigate.to(f"/run/{quote(name)}")
            )
        finally:
            self.starting = begun

    def _queued(self) -> str:
        """Queues the training, and returns the name of its run."""
        from classicnets.api.recipe_form import fetch_weights

        workspace, start = self.workspace, self._start()
        network, data = str(self.network.value), str(self.data.value)
        options = {"data": workspace.dataset(data), "recipe": self._recipe(), "weights": start}
        options |= self.given()
        changes = dict(self.values.changes)  # at the click: what follows takes a while
        self._checked()
        if start:
            fetch_weights(start, workspace.network(network))  # what hinders it is said here
        name = workspace.free_name(network, data)
        options["out"] = f"runs/{name}"
        words = [word(key, value) for key, value in options.items() if value]
        words += [word("set", f"{field}={text}") for field, text in changes.items()]
        workspace.queue(name, ["train", workspace.network(network), *words])
        return name


def _followed(form: "RecipeForm", given: Mapping[str, str]) -> "tuple[tuple[Value, ...], Short]":
    """The values that what is given leads to, and what is said of too few steps."""
    recipe, adapted = form.trained(given)
    return form.described(recipe, adapted), form.too_short(recipe)


def _weights(t: Text, workspace: Workspace, network: str) -> dict[str, str]:
    """The weights that a network can start from: those of runs, and published ones."""
    from classicnets.api.following import list_runs
    from classicnets.api.recipe_form import published_weights

    wanted = workspace.network(network)
    offered = {
        f"run:{run.name}": run.name
        for run in list_runs(workspace.runs)
        if run.has_weights and run.network == wanted
    }
    for one in published_weights(network):
        where = t("in the cache") if one.kept else t("to be downloaded")
        offered[f"published:{one.source}"] = f"{one.source}: {one.about}, {where}"
    return offered


def _waiting(t: Text, workspace: Workspace) -> None:
    """The trainings that wait, drawn anew only where they change: a click needs its button."""
    place = ui.column().classes("gap-2")
    drawn: list[dict[str, Any]] = []

    def update() -> None:
        jobs = workspace.waiting()
        if jobs == drawn:
            return
        drawn[:] = jobs
        place.clear()
        with place:
            if jobs:
                ui.label(t("Waiting")).classes("text-h6")
            for job in jobs:
                with ui.row().classes("items-center"):
                    kind, name = job["words"][:2]
                    where = f"/study/{name}" if kind == "study" else f"/run/{quote(job['name'])}"
                    ui.link(job["name"], where)
                    button = ui.button(t("withdraw"), on_click=partial(withdraw, job["name"]))
                    button.props("flat dense no-caps")

    def withdraw(name: str) -> None:
        workspace.withdraw(name)
        update()

    update()
    ui.timer(EVERY, update)
