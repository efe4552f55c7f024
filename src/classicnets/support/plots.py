"""Figures whose texts are drawn as they are, as PNG files; and the confusion matrix."""

import io
import logging
import warnings
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from matplotlib import rc_context, rcParams
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from .fonts import families_for
from .names import short, visible
from .tables import html_text

DPI = 120  # at which texts are measured
HINTING = 1.03  # by which they may be wider at another resolution
NAMED = 200  # classes whose names are readable along the axes
COUNTED = 40  # classes whose counts are readable in the cells
NO_IMAGES = "0.88"  # the colour of a row without images
# Okabe and Ito's colour-blind-safe palette, without yellow, which is too pale for a line
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")


class LiteralFigure(Figure):
    """A figure that draws every text as it is, and that a notebook displays.

    Dollar signs start no formula, so that a logarithmic axis needs a formatter without formulas.
    Control characters are drawn as escapes, and a character that no font has as a box; the log
    says which font to install.
    """

    def draw(self, renderer: RendererBase) -> None:
        for text in self.findobj(Text):
            assert isinstance(text, Text)
            _make_literal(text)
        # the setting is for the texts of ticks, some of which are only made now
        with rc_context({"text.parse_math": False}), _quiet_fonts():
            if layout := self.get_layout_engine():
                # once leaves the numbers of a colour bar beside a long legend partly outside
                layout.execute(self)
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
    return f'<img alt="{html_text(text)}" style="max-width:100%" src="{source}">'


def _make_literal(text: Text) -> None:
    text.set_parse_math(False)
    content = "\n".join(map(visible, text.get_text().split("\n")))
    text.set_text(content)
    if fonts := families_for(content):
        text.set_fontfamily([*rcParams["font.family"], *fonts])


def text_width(text: str, size: float | int, weight: str = "normal") -> float:
    """The width in inches of the longest line of a text in this size, as it is drawn at most."""
    lines = [visible(line) for line in text.split("\n")]
    families = [*rcParams["font.family"], *families_for("\n".join(lines))]
    font = FontProperties(family=families, size=size, weight=weight)
    with _quiet_fonts():
        widths = [
            _renderer().get_text_width_height_descent(line, font, ismath=False)[0] for line in lines
        ]
    return HINTING * max(widths) / DPI


@contextmanager
def _quiet_fonts() -> Iterator[None]:
    """No words of matplotlib on glyphs and weights that fonts lack; ours are in `families_for`."""
    log = logging.getLogger("matplotlib.font_manager")
    level = log.level
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(level)


@cache
def _renderer() -> RendererAgg:
    return RendererAgg(1, 1, DPI)


def narrow(name: str, inches: float | int, size: float | int, weight: str = "normal") -> str:
    """A visible name, its middle left out if it is wider than this when drawn in this size.

    >>> len(narrow("a" * 40, 0.5, 8)) < 20, narrow("cat", 0.5, 8)
    (True, 'cat')
    """
    length = min(len(visible(name, "\n\t")), 200)
    found = short(name, length)
    while (width := text_width(found, size, weight)) > inches and length > 3:
        length = max(3, min(length - 1, int(length * inches / width)))
        found = short(name, length)
    return found


def matrix_side(classes: int) -> float:
    """The side in inches of a confusion matrix that is readable with so many classes."""
    return max(2.0, min(0.5 * classes, 5.5), 0.12 * classes * (classes <= NAMED))


def draw_confusion(ax: Axes, confusion: np.ndarray, classes: Sequence[str]) -> ScalarMappable:
    """Draws a confusion matrix, true classes as rows; a cell is shaded by its % of the row.

    A row without images is grey, and its name says so.
    """
    images = confusion.sum(1, keepdims=True)
    percent = 100 * confusion / np.maximum(images, 1)
    shading = ax.imshow(percent, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for row in np.flatnonzero(images == 0):
        ax.axhspan(row - 0.5, row + 0.5, color=NO_IMAGES, lw=0)
    ax.set(xlabel="predicted class", ylabel="true class")
    for axis in (ax.xaxis, ax.yaxis):  # the numbers of classes, where their names have no room
        axis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    cell = matrix_side(len(classes)) / len(classes)
    if len(classes) <= NAMED:
        _name_classes(ax, classes, images[:, 0], min(8, 65 * cell))
    if len(classes) <= COUNTED:
        _write_counts(ax, confusion, percent, cell)
    return shading


def _name_classes(ax: Axes, classes: Sequence[str], images: np.ndarray, size: float | int) -> None:
    names = [narrow(name, 1.6, size) for name in classes]
    rows = [name + " (no images)" * (not n) for name, n in zip(names, images, strict=True)]
    slanted = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    style: dict[str, Any] = {"rotation": 90} if len(names) > COUNTED else slanted
    ax.set_xticks(range(len(names)), names, fontsize=size, **style)
    ax.set_yticks(range(len(names)), rows, fontsize=size)


def _write_counts(ax: Axes, confusion: np.ndarray, percent: np.ndarray, cell: float) -> None:
    """Counts, and percentages below them where both fit; `cell` is in inches."""
    size = min(8, 105 * cell / len(str(confusion.max())))
    both = cell > 0.4 and size > 7
    for (i, j), count in np.ndenumerate(confusion):
        if count:
            words = f"{count}\n{percent[i, j]:.0f} %" if both else str(count)
            colour = "white" if percent[i, j] > 50 else "black"
            ax.text(j, i, words, ha="center", va="center", color=colour, fontsize=size)
