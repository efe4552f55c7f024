"""A figure with its heading, and what is drawn on it: the paper that all plates are made of."""

import io
import math

import torch
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from .tiles import enlarge, rgb

Picture = Float[Tensor, "c h w"]


class NotebookFigure(Figure):
    """A figure that a notebook shows as it is."""

    def _repr_png_(self) -> bytes:
        return png(self)


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def new_figure(width: float | int, height: float | int, title: str, about: str, note: str) -> Figure:
    """A figure with a heading above `height` inches for what is drawn."""
    height += 0.65
    figure = NotebookFigure(figsize=(width, height), layout="constrained", dpi=110)
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - 0.6 / height))  # pyright: ignore
    top = 1 - 0.08 / height
    figure.text(0.01, top, title, va="top", fontsize=13, weight="bold")
    words = " · ".join(filter(None, (about, note)))
    figure.text(0.01, top - 0.27 / height, words, va="top", fontsize=8.5, color="0.35")
    return figure


def grid(figure: Figure, count: int, columns: int) -> list[Axes]:
    """Axes without frames, at least so many, in rows."""
    axes = figure.subplots(math.ceil(count / columns), columns, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    return list(axes.flat)


def set_title(ax: Axes, words: str) -> None:
    """Words above one picture."""
    ax.set_title(words, fontsize=8, pad=3)


def show_image(ax: Axes, picture: Picture, words: str) -> None:
    """A picture, every pixel a square, at its own coordinates."""
    box = (-0.5, picture.shape[2] - 0.5, picture.shape[1] - 0.5, -0.5)
    ax.imshow(rgb(picture), interpolation="nearest", extent=box)
    set_title(ax, words)


def overlay(heat: Tensor, picture: Tensor) -> Tensor:
    """The picture in grey with its heat over it, dark where there is none."""
    grey = enlarge(picture).mean(0).clamp(0, 1)
    smooth = F.interpolate(heat[None, None].clamp(min=0), grey.shape, mode="bilinear")[0, 0]
    glow = colormaps["inferno"]((smooth / smooth.max().clamp(min=1e-12)).numpy())
    return 0.4 * grey + 0.6 * torch.from_numpy(glow[:, :, :3]).float().permute(2, 0, 1)


def class_colour(label: int) -> str:
    """Ten strong colours, then ten pale ones, then the same again."""
    return to_hex(colormaps["tab20"]((2 * label + label // 10 % 2) % 20))
