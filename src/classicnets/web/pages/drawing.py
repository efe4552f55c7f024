"""A square to draw a digit in with the mouse or a finger, light on dark as those of the sets."""

from collections.abc import Awaitable, Callable

from nicegui import events, ui
from PIL import Image, ImageDraw

from classicnets.web.texts import Text

from .opened import as_url

SIDE = 280  # pixels of what is drawn on, ten for one of a digit
STROKE = 22

Stroke = list[tuple[float, float]]


class Drawing:
    """What is drawn; `look` is called with it while it changes, but never before its last call has
    ended, and `forget` when it is wiped off."""

    def __init__(
        self,
        t: Text,
        look: Callable[[Image.Image], Awaitable[None]],
        forget: Callable[[], None],
    ):
        self.t, self.look, self.forget = t, look, forget
        self.strokes: list[Stroke] = []
        self.looking = False
        self.changed = False  # since the last look

    def show(self) -> None:
        """The square and its button."""
        t = self.t
        with ui.column().classes("gap-1"):
            ui.label(t("Draw a digit"))
            ui.label(t("Draw with the mouse or a finger; the answer changes as you draw.")).classes(
                "text-caption"
            )
            self.square = ui.interactive_image(
                as_url(Image.new("L", (SIDE, SIDE))),
                on_mouse=self.drawn,
                events=["pointerdown", "pointermove", "pointerup"],
            )
            self.square.classes("cursor-crosshair").props("draggable=false")
            # on a phone so narrow that the answer below it is seen too
            self.square.style(f"width:min({SIDE}px,50vw);touch-action:none")
            ui.button(t("clear"), on_click=self.clear).props("flat dense no-caps")

    def clear(self) -> None:
        """Wipes the square."""
        self.strokes.clear()
        self.square.content, self.changed = "", False
        self.forget()

    async def drawn(self, mouse: events.MouseEventArguments) -> None:
        """Adds to a stroke while the button is down, and has the network look at what there is."""
        point = (round(mouse.image_x, 1), round(mouse.image_y, 1))
        if mouse.type == "pointerdown":
            self.strokes.append([point])
        elif mouse.type == "pointermove" and mouse.buttons & 1 and self.strokes:
            self.strokes[-1].append(point)
        elif mouse.type != "pointerup":
            return
        self.square.content = "".join(map(_line, self.strokes))
        self.changed = bool(self.strokes)
        await self._look()

    async def _look(self) -> None:
        if self.looking:
            return
        self.looking = True
        try:
            while self.changed:
                self.changed = False
                await self.look(painted(self.strokes))
        finally:
            self.looking = False


def _line(stroke: Stroke) -> str:
    points = " ".join(f"{x},{y}" for x, y in stroke)
    return (
        f'<polyline points="{points}" fill="none" stroke="white" stroke-width="{STROKE}" '
        'stroke-linecap="round" stroke-linejoin="round"/>'
    )


def painted(strokes: list[Stroke]) -> Image.Image:
    """What was drawn, as a grey image."""
    image = Image.new("L", (SIDE, SIDE))
    draw = ImageDraw.Draw(image)
    for stroke in strokes:
        draw.line(stroke, 255, STROKE, joint="curve")
        for x, y in (stroke[0], stroke[-1]):
            r = STROKE / 2
            draw.ellipse((x - r, y - r, x + r, y + r), 255)
    return image
