"""Figures as PNG files."""

import io
import warnings

from matplotlib.figure import Figure


def png(figure: Figure, dpi: int | str = "figure") -> bytes:
    """The figure as a PNG file; a character that the font lacks becomes a box."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()
