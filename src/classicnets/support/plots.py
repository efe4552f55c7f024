"""Figures as PNG files, and the confusion matrix."""

import io
import re
import warnings
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text

from .errors import visible

MAX_NAMES = 40  # classes whose names are readable along the axes
MAX_COUNTS = 20  # classes whose counts are readable in the cells


def png(figure: Figure, dpi: int | str = "figure") -> bytes:
    """The figure as a PNG file; a character that the font lacks becomes a box."""
    buffer = io.BytesIO()
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_text(visible(text.get_text()))
        if not re.search(r"\\(\$|mathdefault)", text.get_text()):  # no formula but of a tick
            text.set_parse_math(False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def draw_confusion(ax: Axes, confusion: np.ndarray, classes: Sequence[str]) -> AxesImage:
    """Draws a confusion matrix, true classes as rows; a cell is shaded by its % of the row."""
    percent = 100 * confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    shading = ax.imshow(percent, cmap="Blues", vmin=0, vmax=100, interpolation="nearest")
    ax.set(xlabel="predicted class", ylabel="true class", xticks=[], yticks=[])
    if len(classes) <= MAX_NAMES:
        # not the start of a formula
        names = [visible(name, "\n").replace("$", r"\$") for name in classes]
        slanted = {"rotation": 45, "ha": "right"} if max(map(len, names)) > 2 else {}
        ax.set_xticks(range(len(names)), names, fontsize=8, **slanted)
        ax.set_yticks(range(len(names)), names, fontsize=8)
    if len(classes) <= MAX_COUNTS:
        for (i, j), count in np.ndenumerate(confusion):
            if count:
                colour = "white" if percent[i, j] > 50 else "black"
                ax.text(j, i, str(count), ha="center", va="center", color=colour, fontsize=8)
    return shading
