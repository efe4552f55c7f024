"""The recipe of a training on its page: every value with its source, to be changed."""

from functools import partial
from typing import TYPE_CHECKING, Any

from nicegui import ui

from classicnets.support.names import visible
from classicnets.web.texts import Text

if TYPE_CHECKING:
    from classicnets.api.recipe_form import RecipeForm, Value


class Values:
    """The fields of a recipe, each to be changed, and checked as `train --set` checks it."""

    def __init__(self, t: Text):
        self.t = t
        self.form: RecipeForm | None = None
        self.changes: dict[str, str] = {}
        self.place = ui.column().classes("w-full gap-0")

    def show(self, form: "RecipeForm") -> None:
        """Lays out a recipe; changes of the one before are gone."""
        self.form, self.changes = form, {}
        self.place.clear()
        with self.place:
            ui.label(form.recipe.cite).classes("text-caption opacity-70")
            for value in form.values:
                self._row(value)

    def _row(self, value: "Value") -> None:
        with ui.element("div").classes("grid w-full gap-x-4 grid-cols-1 md:grid-cols-[2fr_3fr]"):
            field = ui.input(
                value.field,
                value=value.text,
                placeholder=self.t("not set"),
                validation=partial(self._changed, value),
            )
            field.props("dense stack-label").classes("mono w-full")
            ui.label(value.source).classes("text-caption opacity-70 self-center")

    def _changed(self, value: "Value", text: Any) -> str | None:
        """Takes a change down; what is wrong with it is said below the field."""
        typed = str(text or "").strip()
        if typed in ("", value.text):
            self.changes.pop(value.field, None)
            return None
        self.changes[value.field] = typed
        return visible(self.form.fault(value.field, typed)) or None if self.form else None
