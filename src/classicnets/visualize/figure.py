"""Figures with a heading and a caption, and images on their axes."""

import math
from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor
from torch.nn import functional as F

from classicnets.support.plots import LiteralFigure, narrow, text_width

from .forward import Image
from .tiles import enlarge, fraction_of, rgb

SMALL = 8.5  # points, of the text below a title
CAPTIONS = {  # kind of plate -> how to read it
    "filters": "Each tile shows the weights of a filter, with grey for zero; a blue outline marks "
    "a dead filter (hardly any weight), a red one a saturated filter (far more than the others).",
    "maps": "Each panel after the image is a feature map of the layer for it; bright (or red) "
    "positions respond most strongly.",
    "deconv": "Each panel after the image projects the strongest activation of a map back to the "
    "pixels: it shows the structure that caused it, and grey pixels did not contribute.",
    "strongest": "Each block shows the test image patches that activate a map most strongly, and "
    "to their right their reconstructions: the map detects what they have in common.",
    "occlusion": "Each value belongs to the centre of a grey square that hides part of the image: "
    "the square hides evidence where activity or probability drops or the prediction changes; "
    "the line in a colour bar marks the value of the whole image.",
    "gradients": "The brighter a pixel, the more it affects the score of the class.",
    "cam": "Bright positions hold evidence for the class, dark positions none.",
    "invariance": "A flat line means invariance: of the features where it shows a distance from "
    "those of the unchanged image, of the prediction where it shows a probability.",
    "probes": "Each bar is the test accuracy of a linear classifier on the features of a layer: "
    "the higher it is, the better the layer separates the classes.",
    "embedding": "Each point is a test image in the colour of its true class; images with similar "
    "features lie close together.",
    "mistakes": "Each panel is a misclassified test image with the predicted and the true class; "
    "a heatmap below it is Grad-CAM for the predicted class.",
    "confusion": "Rows are true classes and columns predicted classes; counts off the diagonal are "
    "mistakes, and the darker a cell, the larger its part of the row.",
    "health": "Each line follows a standard deviation through the layers; one that rises or falls "
    "by orders of magnitude makes the network hard to train.",
}


def new_figure(
    kind: str, width: float | int, height: float | int, title: str, *details: str
) -> Figure:
    """A figure with title, details and the caption of its kind above `height` inches for axes."""
    texts = (" · ".join(filter(None, details)), CAPTIONS[kind])
    lines = [line for text in texts for line in _lines(text, width - 0.2)]
    header = 0.4 + 0.16 * len(lines)
    height += header
    figure = LiteralFigure(figsize=(width, height), layout="constrained", dpi=110)
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - header / height))  # pyright: ignore
    top = 1 - 0.08 / height
    heading = narrow(title, width - 0.2, 13, "bold")
    figure.text(0.01, top, heading, va="top", fontsize=13, weight="bold")
    text = "\n".join(lines)
    figure.text(0.01, top - 0.27 / height, text, va="top", fontsize=SMALL, color="0.35")
    return figure


def _lines(text: str, inches: float | int) -> list[str]:
    """The text in lines that are so wide at most when drawn."""
    columns = int(17 * inches)
    lines = wrap(text, columns)
    while lines and (width := text_width("\n".join(lines), SMALL)) > inches:
        columns = min(columns - 1, int(columns * inches / width))
        lines = wrap(text, columns)
    return lines


def grid(figure: Figure, count: int, columns: int) -> list[Axes]:
    """At least `count` axes without frames, in rows."""
    axes = figure.subplots(math.ceil(count / columns), columns, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
        ax.set(xticks=[], yticks=[])  # ticks take time in the layout even where they are not drawn
    return list(axes.flat)


def set_title(ax: Axes, title: str, beside: float | int = 0) -> None:
    """A small title above one of several axes; `beside` them are so many inches of other things."""
    place, figure = ax.get_subplotspec(), ax.get_figure(root=True)
    assert place is not None
    assert figure is not None
    room = (figure.get_figwidth() - beside) / place.get_gridspec().ncols - 0.1
    lines = (narrow(line, room, 8) for line in title.split("\n"))
    # a place of its own spares the layout the search for ticks above the axes
    ax.set_title("\n".join(lines), fontsize=8, pad=3, y=1)


def add_legend(
    ax: Axes, handles: Sequence[Any], names: Sequence[str], most: int, inches: float, **style: Any
) -> None:
    """A legend of at most so many entries, whose names are at most so wide."""
    size = style.setdefault("fontsize", 8)
    shown, words = list(handles[:most]), [narrow(name, inches, size) for name in names[:most]]
    if (more := len(names) - most) > 0:
        shown.append(Rectangle((0, 0), 1, 1, alpha=0))
        words.append(f"and {more} more")
    ax.legend(shown, words, frameon=False, **style)


def show_image(ax: Axes, image: Image, title: str) -> None:
    """Draws an image without interpolation, in its own pixel coordinates."""
    extent = (-0.5, image.shape[2] - 0.5, image.shape[1] - 0.5, -0.5)
    ax.imshow(rgb(image), interpolation="nearest", extent=extent)
    set_title(ax, title)


def overlay(values: Tensor, image: Tensor) -> Tensor:
    """A heatmap over the image in grey; dark where the values are not positive."""
    grey = enlarge(image).mean(0).clamp(0, 1)
    smooth = F.interpolate(values[None, None].clamp(min=0), grey.shape, mode="bilinear")[0, 0]
    colours = colormaps["inferno"](fraction_of(smooth, smooth.max()).numpy())
    return 0.4 * grey + 0.6 * torch.from_numpy(colours[:, :, :3]).float().permute(2, 0, 1)


def class_colour(label: int) -> str:
    """Ten strong colours, then ten pale ones, then the same again."""
    return to_hex(colormaps["tab20"]((2 * label + label // 10 % 2) % 20))
