"""Plates (figures with a caption), and an HTML page that embeds them all."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure
from PIL import Image as PillowImage

from classicnets.support.plots import html_image, png
from classicnets.support.tables import html_page, html_text

from .forward import Image
from .tiles import rgb

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #f4f4f2; margin: 0;
  overflow-wrap: anywhere; }
main, header { max-width: 1120px; margin: 0 auto; padding: 0 16px; }
header { padding-top: 28px; }
h1 { font-size: 1.7rem; margin: 0; }
header p, figcaption { color: #555; }
nav { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 12px 0 20px; font-size: .9rem; }
a { color: #1f5fa8; }
figure { background: #fff; margin: 0 0 24px; padding: 14px 18px; border: 1px solid #ddd; }
img { display: block; max-width: 100%; height: auto; }
.shown { display: flex; flex-wrap: wrap; gap: 14px 24px; align-items: center; }
.shown img { width: 192px; image-rendering: pixelated; }
.shown p, table { margin: 6px 0 0; }
td { padding: 1px 14px 1px 0; }
td:last-child { text-align: right; font-variant-numeric: tabular-nums; }
.true { font-weight: bold; }
figcaption { margin-top: 8px; max-width: 75ch; font-size: .93rem; }
.none { color: #844; margin: 0; }
"""


@dataclass(frozen=True)
class Plate:
    """A figure, a sentence on how to read it, and the arrays that it was drawn from.

    `figure` is None where it cannot be drawn; then `text` is the reason.
    """

    name: str
    text: str
    figure: Figure | None = None
    arrays: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def _repr_html_(self) -> str:
        return _section(self)


@dataclass(frozen=True)
class Shown:
    """An image as the network reads it, and its likeliest classes with their probabilities.

    `true` is the true class, or empty where it is unknown.
    """

    name: str
    image: Image
    top: Sequence[tuple[str, float]]
    true: str = ""

    def _repr_html_(self) -> str:
        return _prediction(self)


def page(title: str, subtitle: str, plates: Sequence[Plate], shown: Sequence[Shown] = ()) -> str:
    """An HTML document with the images and their predictions, then all plates as embedded PNGs."""
    names = [html_text(plate.name) for plate in plates if plate.figure]
    content = "".join([*map(_prediction, shown), *map(_section, plates)])
    links = "".join(f'<a href="#{name}">{name}</a>' for name in names)
    return html_page(
        title,
        STYLE,
        f"<header>{html_text(title, 'h1')}{html_text(subtitle, 'p')}<nav>{links}</nav></header>\n"
        f"<main>\n{content}</main>",
    )


def _prediction(of: Shown) -> str:
    file = io.BytesIO()
    PillowImage.fromarray((255 * rgb(of.image)).round().astype(np.uint8)).save(file, "png")
    rows = ""
    for name, p in of.top:
        mark = ' class="true"' * (name == of.true)
        rows += f"<tr{mark}><td>{html_text(name)}</td><td>{100 * p:.1f} %</td></tr>"
    true = f"<p>true class: {html_text(of.true)}</p>" if of.true else ""
    name = html_text(of.name)
    return (
        f'<figure class="shown">{html_image(file.getvalue(), of.name)}'
        f"<figcaption><b>{name}</b><p>The likeliest classes and their probabilities:</p>"
        f"<table>{rows}</table>{true}</figcaption></figure>\n"
    )


def _section(plate: Plate) -> str:
    name, text = html_text(plate.name), html_text(plate.text)
    if plate.figure is None:
        return f'<figure><p class="none"><b>{name}</b>: {text}</p></figure>\n'
    image = html_image(png(plate.figure), f"{plate.name}: {plate.text}")
    return f'<figure id="{name}">{image}<figcaption>{text}</figcaption></figure>\n'
