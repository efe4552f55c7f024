"""The recipe of a training on its page: every value with its source, to be changed."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from nicegui import ui

from classicnets.support.names import visible
from classicnets.web.texts import Text

if TYPE_CHECKING:
    from classicnets.api.recipe_form import RecipeForm, Value

TUNED = "fine-tune"
RECIPES = {"": "the paper's", "fast": "fast (modern)", TUNED: "fine-tune"}
LABELS = {"lr": "learning rate"}  # of fields whose name alone says too little


def recipes(t: Text, network: str) -> dict[str, str]:
    """The recipes of a network by name, the usual one first: the paper's, or fast for a design."""
    names = {name: t(said) for name, said in RECIPES.items()}
    if network.endswith(".net"):
        names[""] = names.pop("fast")
    return names


def choose_recipe(t: Text, network: str) -> ui.select:
    """The recipes of a network, the usual one chosen."""
    return ui.select(recipes(t, network), value="", label=t("recipe")).classes("w-48")


class Values:
    """The fields of a recipe, each to be changed, and checked as `train --set` checks it.

    `left` is called when a field is left, so that those which depend on it can follow. `changes`
    are made, as if they were typed, once there is a recipe.
    """

    def __init__(self, t: Text, left: Callable[[], Awaitable[None]], changes: dict[str, str]):
        self.t, self.left, self.changes = t, left, changes
        self.form: RecipeForm | None = None
        self.own: dict[str, str] = {}  # field -> its text where it is not changed
        self.rows: dict[str, tuple[ui.input, ui.label]] = {}
        self.cite: ui.label
        self.said = ui.column().classes("w-full")
        with ui.expansion(t("Every value of the recipe, with its source")).classes("w-full"):
            ui.label(
                t("Change a value as the list writes it; what is emptied is the recipe's own.")
            ).classes("text-caption")
            self.place = ui.column().classes("w-full gap-0")

    def show(self, form: "RecipeForm", values: "Sequence[Value]") -> None:
        """Shows a recipe. What was changed stays so, also what is typed while this one is read."""
        if list(self.rows) != [value.field for value in values]:
            self.emptied()
            with self.place:
                self.cite = ui.label().classes("text-caption opacity-70")
                for value in values:
                    self._row(value)
        self.form, self.own = form, {value.field: value.text for value in values}
        self.cite.set_text(form.recipe.cite)
        self.changes = {name: text for name, text in self.changes.items() if name in self.rows}
        for name, text in self.changes.items():
            self.rows[name][0].set_value(text)
        self.follow(values)
        for field, _ in self.rows.values():
            field.validate()  # by this recipe

    def emptied(self) -> ui.column:
        """Where it is said why there is no recipe."""
        self.form, self.own, self.rows = None, {}, {}
        self.said.clear()
        self.place.clear()
        return self.said

    def follow(self, values: "Sequence[Value]") -> None:
        """Shows the values that the changed ones lead to, and which are adapted to the data."""
        for value in values:
            field, source = self.rows[value.field]
            source.set_text(value.source)
            if value.field not in self.changes:
                self.own[value.field] = value.text
                field.set_value(value.text)
        names = [value.field for value in values if value.adapted]
        self.said.clear()
        with self.said:
            if names:
                ui.label(self.t("Adapted to these images, as the list says: {}", ", ".join(names)))
            if self.changes:
                ui.label(self.t("Changed in the list: {}", ", ".join(self.changes)))

    def _row(self, value: "Value") -> None:
        with ui.element("div").classes("grid w-full gap-x-4 grid-cols-1 md:grid-cols-[2fr_3fr]"):
            name, said = value.field, LABELS.get(value.field)
            field = ui.input(
                f"{self.t(said)} ({name})" if said else name,
                value=value.text,
                placeholder=self.t("not set"),
                validation=partial(self._changed, name),
            )
            field.on("blur", partial(self._left, name), [])
            field.props("dense stack-label").classes("mono w-full")
            source = ui.label().classes("text-caption opacity-70 self-center")
            self.rows[name] = field, source

    async def _left(self, name: str) -> None:
        """Puts the recipe's own value back where nothing is given."""
        field, _ = self.rows[name]
        if not str(field.value or "").strip():
            field.set_value(self.own.get(name, ""))
        await self.left()

    def _changed(self, name: str, text: Any) -> str | None:
        """Takes a change down; what is wrong with it is said below the field."""
        typed = str(text or "").strip()
        if typed in ("", self.own.get(name)):
            self.changes.pop(name, None)
            return None
        self.changes[name] = typed
        return visible(self.form.fault(name, typed)) or None if self.form else None
