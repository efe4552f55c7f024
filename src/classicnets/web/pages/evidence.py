"""The likeliest classes of an image, and where the evidence for one of them is."""

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from nicegui import ui

from classicnets.support.names import visible
from classicnets.web.texts import Text

from .opened import as_url

if TYPE_CHECKING:
    from classicnets.api.explaining import Explainer
    from classicnets.api.inspection import Sample

METHODS = ("Grad-CAM", "occlusion", "gradients")
WIDE = "width:320px;max-width:100%"
SHOWN = f"{WIDE};image-rendering:pixelated"
AT_FIRST = 0.6  # opacity


class Evidence:
    """The image with the evidence over it. What one clicks stays while the answer is computed."""

    def __init__(self, t: Text, explainer: "Explainer"):
        self.t, self.explainer = t, explainer
        self.sample: Sample | None = None
        self.label, self.method = 0, METHODS[0]
        self.names: dict[int, ui.label] = {}
        with ui.row().classes("w-full gap-6") as self.place:
            with ui.column().classes("gap-1"):
                self.true, self.title = ui.label(), ui.label()
                with ui.element("div").style("position:relative"):
                    self.image = ui.image().style(SHOWN).props("no-transition no-spinner")
                    self.over = ui.image().style(f"{SHOWN};position:absolute;top:0;left:0")
                    self.over.props("no-transition no-spinner")
                self._legend()
                self.problem = ui.label().classes("text-negative").props("role=alert")
                ui.label(t("opacity")).classes("text-caption")
                slider = ui.slider(min=0, max=1, step=0.05, value=AT_FIRST).classes("w-80")
                slider.props(f'aria-label="{t("opacity")}"')
                slider.on_value_change(lambda change: self._fade(change.value))
                self._fade(AT_FIRST)
                names = {METHODS[0]: METHODS[0], **{name: t(name) for name in METHODS[1:]}}
                ui.toggle(names, value=self.method, on_change=self.explain_by).props("no-caps")
            # on a phone above the image, for it stands below a square to draw in
            self.classes = ui.column().classes("gap-1 grow min-w-64 order-first sm:order-none")

    def _legend(self) -> None:
        """What the colours over the image say, which are scaled to the most there is in it."""
        from classicnets.api.explaining import RED

        clear, full = (f"rgba{(*RED, alpha)}" for alpha in (0, 1))
        with ui.row().classes("items-center gap-2 no-wrap text-caption").style(WIDE) as self.legend:
            ui.label(self.t("no evidence"))
            self.scale = ui.element("div").classes("grow h-3")
            self.scale.style(f"background:linear-gradient(to right, {clear}, {full})")
            ui.label(self.t("most evidence"))

    def _fade(self, opacity: float | None) -> None:
        for each in (self.over, self.scale):
            each.style(f"opacity:{opacity}")

    async def show(self, sample: "Sample") -> None:
        """All of an image, with the evidence for its likeliest class."""
        self.sample = sample
        true = "" if sample.label is None else self.t("is {}", self.explainer.classes[sample.label])
        self.true.set_text(f"{sample.name} · {true}" if true else "")
        self.image.set_source(as_url(self.explainer.seen(sample)))
        self._list(sample)
        await self.choose(sample.predicted)

    def _list(self, sample: "Sample") -> None:
        self.classes.clear()
        self.names.clear()
        with self.classes:
            ui.label(self.t("Likeliest classes"))
            ui.label(self.t("Choose a class to see the evidence for it.")).classes("text-caption")
            for number, name, p in self.explainer.top(sample):
                button = ui.element("button").classes("w-full text-left")
                with button.on("click", partial(self.choose, number)):
                    self.names[number] = ui.label(f"{name} · {100 * p:.1f} %")
                    ui.linear_progress(p, show_value=False).props("instant-feedback")

    async def choose(self, label: int) -> None:
        """Shows the evidence for a class."""
        self.label = label
        for number, name in self.names.items():
            name.style(f"font-weight:{'bold' if number == label else 'normal'}")
        await self._draw()

    async def explain_by(self, change: Any) -> None:
        """Shows the evidence by another method."""
        self.method = change.value
        await self._draw()

    async def _draw(self) -> None:
        asked = self.sample, self.method, self.label
        sample, method, label = asked
        assert sample is not None
        try:
            over = as_url(await asyncio.to_thread(self.explainer.evidence, sample, method, label))
            problem = ""
        except ValueError as error:
            over, problem = "", visible(str(error))
        if asked[1:] == (self.method, self.label) and sample is self.sample:
            self.title.set_text(self.t("Evidence for {}", self.explainer.classes[label]))
            self.over.set_source(over)
            for each in (self.over, self.legend):
                each.set_visibility(not problem)
            self.problem.set_text(problem)
            self.problem.set_visibility(bool(problem))
