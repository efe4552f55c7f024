"""Figures whose texts are drawn as they are, as PNG files; and the confusion matrix."""

import io
import warnings
from base64 import b64encode
from collections.abc import Sequence
from functools import cache

import numpy as np
from matplotlib import font_manager, rc_context, rcParams
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text

from .names import short, visible
from .tables import html_text

# with Chinese, Japanese and Korean characters, which the default font lacks; the installed are used
FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC"),
    *("WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback", "Microsoft YaHei"),
    *("SimHei", "PingFang SC", "Hiragino Sans GB", "Heiti SC", "Arial Unicode MS"),
)
MAX_NAMES = 40  # classes whose names are readable along the axes
MAX_COUNTS = 20  # classes whose counts are readable in the cells


class LiteralFigure(Figure):
    """A figure that draws every text as it is, and that a notebook displays.

    Dollar signs start no formula, so that a logarithmic axis needs a formatter without formulas.
    Control characters are drawn as escapes, and a character that no font has as a box.
    """

    def draw(self, renderer: RendererBase) -> None:
        for text in self.findobj(Text):
            assert isinstance(text, Text)
            _make_literal(text)
        # the settings are for the texts of ticks, some of which are only made now
        with rc_context({"text.parse_math": False}), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph", UserWarning)
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        return png(self)


def png(figure: Figure, dpi: int | str = "figure") -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def html_image(content: bytes, text: str = "") -> str:
    """An element that holds a PNG file; `text` is for those who do not see it."""
    source = f"data:image/png;base64,{b64encode(content).decode()}"
    return f'<img style="max-width:100%" alt="{html_text(text)}" src="{source}">'


def _make_literal(text: Text) -> None:
    text.set_parse_math(False)
    content = text.get_text()
    if not content.isascii() and (fonts := _fallback_fonts()):
        text.set_fontfamily([*rcParams["font.family"], *fonts])
    text.set_text("\n".join(map(visible, content.split("\n"))))


@cache
def _fallback_fonts() -> tuple[str, ...]:
    installed = set(font_manager.get_font_names())
    return tuple(font for font in FONTS if font in installed)


def draw_confusion(ax: Axes, confusion: np.ndarray, classes: Sequence[str]) -> AxesImage:
    """Draws a confusion matrix, true classes as rows; a cell is shaded by its % of the row."""
    percent = 100 * confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    shading = ax.imshow(percent, cmap="Blues", vmin=0, vmax=100, interpolation="nearest")
    ax.set(xlabel="predicted class", ylabel="true class", xticks=[], yticks=[])
    if len(classes) <= MAX_NAMES:
        names = list(map(short, classes))
        slanted = {"rotation": 45, "ha": "right"} if max(map(len, names)) > 2 else {}
        ax.set_xticks(range(len(names)), names, fontsize=8, **slanted)
        ax.set_yticks(range(len(names)), names, fontsize=8)
    if len(classes) <= MAX_COUNTS:
        for (i, j), count in np.ndenumerate(confusion):
            if count:
                colour = "white" if percent[i, j] > 50 else "black"
                ax.text(j, i, str(count), ha="center", va="center", color=colour, fontsize=8)
    return shading
