"""Arrays to pictures: each function draws one figure.

Pictures come as they are looked at, (c, h, w) between 0 and 1. `about` is the second line of the
heading: network, picture, class.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from .cam import Heatmap
from .deconv import Deconv, told
from .features import FeatureMaps, Strongest, patch
from .figure import Picture, grid, overlay, class_colour, new_figure, show_image, set_title
from .filters import Filters
from .health import LayerHealth
from .invariance import Invariance
from .layers import target_maps
from .predictions import Predictions
from .occlusion import Occlusion
from .tiles import GAP, around_grey, scale_factor, enlarge, montage, rgb, format_value

Pictures = Float[Tensor, "n c h w"]
SHOWN = 24  # maps of a layer
UNITS = {"translation": "pixels down", "scale": "times", "rotation": "degrees"}


def filters_figure(found: Filters, about: str = "", jointly: bool = False) -> Figure:
    """All filters of a layer as a grid; dead ones outlined in blue, saturated ones in red."""
    tiles = found.pictures(jointly)
    maps, channels, k, _ = found.weights.shape
    each = len(tiles) // maps  # pictures a filter
    columns = math.ceil(math.sqrt(1.8 * maps)) if each == 1 else min(each, 32)
    shown = columns * math.ceil(8 if each > 1 else len(tiles) / columns)
    part = f", the first {shown} windows" * (shown < len(tiles))
    tiles = tiles[:shown]
    rows = math.ceil(len(tiles) / columns)
    width = min(9, 1.2 * columns)
    how = "all on one scale" if jointly else "each on its own scale"
    fault = f"{len(found.dead)} dead, {len(found.saturated)} saturated"
    figure = new_figure(
        max(5.5, width), width * rows / columns, f"Filters of {found.layer}", about,
        f"{maps} of {channels}x{k}x{k}{part}, {how}, grey is zero; {fault}",
    )  # fmt: skip
    ax = figure.subplots()
    ax.imshow(rgb(montage(tiles, columns)), interpolation="nearest")
    side = k * scale_factor(k)
    for numbers, colour in ((found.dead, "tab:blue"), (found.saturated, "tab:red")):
        for number in (n * each for n in numbers if n * each < len(tiles)):
            y, x = (cell * (side + GAP) - GAP / 2 for cell in divmod(number, columns))
            around = Rectangle((x, y), side + GAP - 1, side + GAP - 1, fill=False, color=colour)
            ax.add_patch(around)
    ax.axis("off")
    return figure


def maps_figure(
    found: FeatureMaps, picture: Picture, about: str = "", maps: Sequence[int] | None = None
) -> Figure:
    """These maps of a layer, or its strongest, on one scale: white, or red and blue with a sign."""
    chosen = (
        found.order[:SHOWN] if maps is None else target_maps(maps, len(found.maps), found.layer)
    )
    peak = found.maps.abs().max().item() or 1.0
    signed = bool((found.maps < 0).any())
    look = {"cmap": "RdBu_r" if signed else "gray", "vmin": -peak if signed else 0, "vmax": peak}
    count = len(found.maps)
    figure = new_figure(
        10, 1.6 * math.ceil((len(chosen) + 1) / 7), f"Feature maps of {found.layer}", about,
        f"{len(chosen)} of {count}" + ", the strongest by their largest value" * (maps is None)
        + "; red positive, blue negative" * signed,
    )  # fmt: skip
    axes = grid(figure, len(chosen) + 1, 7)
    show_image(axes[0], picture, "picture")
    for ax, number in zip(axes[1:], chosen, strict=False):
        ax.imshow(found.maps[number].numpy(), interpolation="nearest", **look)
        set_title(ax, f"map {number}: {format_value(found.maps[number].max().item())}")
    return figure


def deconv_figure(found: Deconv, picture: Picture, about: str = "") -> Figure:
    """The picture and what deconvnet makes of its strongest activations, the strongest first."""
    figure = new_figure(
        10, 2.2 * math.ceil((len(found.maps) + 1) / 5), f"Deconvnet from {found.layer}", about,
        f"one activation a map; {told(found.applied)}",
    )  # fmt: skip
    axes = grid(figure, len(found.maps) + 1, 5)
    show_image(axes[0], picture, "picture")
    for ax, number, value, made in zip(
        axes[1:], found.maps, found.values.tolist(), found.reconstructions, strict=False
    ):
        show_image(ax, around_grey(made), f"map {number}: {format_value(value)}")
    return figure


def strongest_figure(found: Strongest, pictures: Pictures, about: str = "") -> Figure:
    """ZFNet's Figure 2: for each map its strongest patches and, if made, their reconstructions."""
    made = found.reconstructions
    kinds = 1 if made is None else 2
    columns = min(len(found.maps), 4 if made is None else 3)
    rows = math.ceil(len(found.maps) / columns)
    field = "x".join(map(str, found.windows[0, 0, 2:].tolist()))
    figure = new_figure(
        10, rows * (10 / columns / kinds + 0.25), f"What excites {found.layer}", about,
        f"the {found.pictures.shape[1]} pictures that excite a map most, cut to its field of "
        f"{field} pixels" + f"; left: deconvnet, {told(found.applied or {})}" * (kinds == 2),
    )  # fmt: skip
    axes = grid(figure, rows * columns * kinds, columns * kinds)
    for i, number in enumerate(found.maps):
        windows = found.windows[i]
        cuts = [patch(pictures[n], w, 0.5) for n, w in zip(found.pictures[i], windows, strict=True)]
        show_image(axes[kinds * i + kinds - 1], montage(torch.stack(cuts), 3), f"map {number}")
        if made is not None:
            cuts = [patch(around_grey(r), w, 0.5) for r, w in zip(made[i], windows, strict=True)]
            words = f"map {number}, up to {format_value(found.values[i, 0].item())}"
            show_image(axes[kinds * i], montage(torch.stack(cuts), 3), words)
    return figure


def occlusion_figure(
    found: Occlusion, picture: Picture, classes: Sequence[str], about: str = ""
) -> Figure:
    """ZFNet's Figure 7: the picture, activity of the strongest map, probability, and label."""
    figure = new_figure(
        11, 3.6, f"Occlusion: {classes[found.label]}", about,
        f"a grey square of {found.size}x{found.size} pixels; values stand where its middle was",
    )  # fmt: skip
    axes = grid(figure, 4, 4)
    show_image(axes[0], picture, "picture")
    if found.probability.max() - found.probability.min() > 1e-3:
        y, x = divmod(int(found.probability.argmin()), found.probability.shape[1])
        square = (found.lefts[x] - 0.5, found.tops[y] - 0.5)
        axes[0].add_patch(Rectangle(square, found.size, found.size, color="0.5"))
        set_title(axes[0], "the square where it\nhas most effect")
    probability, activity = found.before
    for ax, values, name, whole in (
        (axes[1], found.activity, f"{found.layer}, map {found.map}", activity),
        (axes[2], found.probability, f"probability of {classes[found.label]}", probability),
    ):
        image = _over(ax, found, picture, values, "viridis", 0 if values.min() >= 0 else None)
        figure.colorbar(image, ax=ax, shrink=0.7, location="bottom")
        set_title(ax, f"{name}\nunhidden {format_value(whole)}")
    present, ranks = found.labels.unique(return_inverse=True)
    shades = ListedColormap([class_colour(rank) for rank in range(len(present))])
    _over(axes[3], found, picture, ranks, shades, -0.5, len(present) - 0.5)
    set_title(axes[3], f"called\nunhidden {classes[found.called]}")
    handles = [Rectangle((0, 0), 1, 1, color=class_colour(rank)) for rank in range(min(6, len(present)))]
    names = [str(classes[i]) for i in present.tolist()[:6]]
    if (more := len(present) - 6) > 0:
        handles.append(Rectangle((0, 0), 1, 1, alpha=0))
        names.append(f"and {more} more")
    axes[3].legend(
        handles, names, loc="upper center", bbox_to_anchor=(0.5, -0.03), ncols=2, fontsize=8,
        frameon=False,
    )  # fmt: skip
    return figure


def _over(
    ax: Axes, found: Occlusion, picture: Picture, values: Tensor, colours: str | ListedColormap,
    low: float | int | None, high: float | None = None,
) -> QuadMesh:  # fmt: skip
    """Values where the middle of the square was, in the picture's pixels."""
    rows, columns = (_edges(corners, found.size) for corners in (found.tops, found.lefts))
    image = ax.pcolormesh(columns, rows, values.numpy(), cmap=colours, vmin=low, vmax=high)
    ax.set(xlim=(-0.5, picture.shape[2] - 0.5), ylim=(picture.shape[1] - 0.5, -0.5), aspect="equal")
    ax.set_anchor("N")
    return image


def _edges(corners: Sequence[int], size: int) -> np.ndarray:
    """Half-way between the middles of neighbouring squares."""
    middles = np.array(corners) + (size - 1) / 2
    steps = np.diff(middles) / 2 if len(middles) > 1 else np.array([size / 2])
    return np.concatenate([[middles[0] - steps[0]], middles[:-1] + steps[: len(middles) - 1],
                           [middles[-1] + steps[-1]]])  # fmt: skip


def gradients_figure(found: Mapping[str, Picture], picture: Picture, about: str = "") -> Figure:
    """Attributions side by side: the largest absolute value over the channels, white strong."""
    figure = new_figure(
        2.2 * (len(found) + 1), 2.4, "Which pixels matter", about,
        "absolute value, the largest over the channels; cut at the highest hundredth",
    )  # fmt: skip
    axes = grid(figure, len(found) + 1, len(found) + 1)
    show_image(axes[0], picture, "picture")
    for ax, (name, values) in zip(axes[1:], found.items(), strict=False):
        strength = values.abs().amax(0)
        ax.imshow(
            strength.numpy(),
            cmap="gray",
            vmin=0,
            vmax=strength.flatten().quantile(0.99).item() or 1,
        )
        set_title(ax, name)
    return figure


def heat_figure(
    found: Sequence[Heatmap], picture: Picture, classes: Sequence[str], about: str = ""
) -> Figure:
    """Class activation maps over the picture."""
    figure = new_figure(
        2.6 * (len(found) + 1), 2.8, f"What speaks for {classes[found[0].label]}", about,
        f"at {found[0].layer}; bright positions speak for the class",
    )  # fmt: skip
    axes = grid(figure, len(found) + 1, len(found) + 1)
    show_image(axes[0], picture, "picture")
    for ax, heat in zip(axes[1:], found, strict=False):
        silent = "" if heat.heat.amax() > 0 else ": nothing speaks for it"
        show_image(ax, overlay(heat.heat, picture), heat.kind + silent)
    return figure


def invariance_figure(found: Sequence[Invariance], names: Sequence[str], about: str = "") -> Figure:
    """ZFNet's Figure 5: a row for each change; distances of two layers, and the probability."""
    layers = list(found[0].distances)
    figure = new_figure(
        10, 2.2 * len(found), "Moved, scale_factor, turned", about,
        "distance of a layer's features from those of the unchanged picture, and the probability "
        "of the true class",
    )  # fmt: skip
    axes = figure.subplots(len(found), len(layers) + 1, squeeze=False)
    for row, change in zip(axes, found, strict=True):
        panels = [*change.distances.items(), ("probability of the true class", change.probability)]
        for ax, (name, values) in zip(row, panels, strict=True):
            for of, line in zip(names, values, strict=True):
                ax.plot(change.amounts, line.numpy(), label=of, lw=1.2)
            ax.set_title(name, fontsize=9)
            ax.set_xlabel(f"{change.change}, {UNITS[change.change]}", fontsize=8)
            ax.set_ylim(bottom=0)
            ax.tick_params(labelsize=7)
            ax.grid(alpha=0.3)
    axes[0, -1].legend(fontsize=7)
    return figure


def probes_figure(accuracy: Mapping[str, float], chance: float, about: str = "") -> Figure:
    """ZFNet's Table 7: the accuracy of a linear classifier on the features of each layer."""
    note = "accuracy of a linear classifier on its features"
    figure = new_figure(8, 3.2, "What each layer knows of the classes", about, note)
    ax = figure.subplots()
    bars = ax.bar(list(accuracy), list(accuracy.values()), color="tab:blue", width=0.6)
    ax.bar_label(bars, fmt="%.1f", fontsize=9)
    ax.axhline(chance, color="0.4", ls="--", lw=1)
    beside = ax.get_yaxis_transform()
    ax.text(1.01, chance, "chance", transform=beside, va="center", fontsize=8, color="0.4")
    ax.set_ylabel("accuracy (%)")
    ax.set_ylim(0, 105)
    ax.tick_params(axis="x", rotation=30 if len(accuracy) > 6 else 0, labelsize=9)
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def embedding_figure(
    places: Float[Tensor, "n 2"],
    labels: Int64[Tensor, " n"],
    pictures: Pictures,
    classes: Sequence[str],
    about: str = "",
    thumbnails: int = 60,
) -> Figure:
    """A map of the last features, a point a picture, with some of the pictures on it."""
    note = "pictures that the network sees alike lie together"
    figure = new_figure(9, 7.4, "A map of the last features", about, note)
    ax = figure.subplots()
    for label in labels.unique().tolist():
        x, y = places[labels == label].numpy().T
        ax.scatter(x, y, s=12, color=class_colour(label), label=classes[label], alpha=0.7, lw=0)
    apart = (places.amax(0) - places.amin(0)).clamp(min=1e-9) / 13
    taken: list[Tensor] = []
    for i in torch.randperm(len(places), generator=torch.Generator().manual_seed(0)).tolist():
        place = places[i]
        near = any(((place - other).abs() < apart).all() for other in taken)
        if near or len(taken) == thumbnails:
            continue
        taken.append(place)
        zoom = 30 / max(enlarge(pictures[i]).shape[1:])
        thumbnail = OffsetImage(rgb(pictures[i]), zoom=zoom, interpolation="nearest")
        frame = {"edgecolor": class_colour(int(labels[i])), "lw": 1.5}
        ax.add_artist(AnnotationBbox(thumbnail, tuple(place.tolist()), pad=0.08, bboxprops=frame))
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, markerscale=2)
    ax.set(xticks=[], yticks=[])
    return figure


def mistakes_figure(
    seen: Predictions,
    numbers: Sequence[int],
    heats: Sequence[Heatmap] | None,
    pictures: Pictures,
    classes: Sequence[str],
    about: str = "",
) -> Figure:
    """These mistakes, each with the heat map, if there are any, of the class it was taken for."""
    columns = max(1, min(6, len(numbers)))
    kinds = 1 if heats is None else 2
    figure = new_figure(
        max(6, 1.75 * columns), (0.6 + 1.7 * kinds) * math.ceil(len(numbers) / columns),
        "The most confident mistakes", about,
        f"{len(seen.mistakes)} of {len(seen.labels)} are called wrongly"
        + "; below each, what spoke for it" * (kinds == 2),
    )  # fmt: skip
    for i, (ax, number) in enumerate(
        zip(grid(figure, len(numbers), columns), numbers, strict=False)
    ):
        share, called = (t.item() for t in seen.probability[number].max(0))
        is_ = classes[int(seen.labels[number])]
        shown = [enlarge(pictures[number])]
        if heats is not None:
            shown.append(overlay(heats[i].heat, pictures[number]))
        words = f"{classes[int(called)]}, {100 * share:.0f} %\nis {is_}"
        show_image(ax, montage(torch.stack(shown), 1), words)
    return figure


def confusion_figure(
    confusion: Int64[Tensor, "n n"], classes: Sequence[str], about: str = ""
) -> Figure:
    """Rows: what a picture is; columns: what it was called; shading by share of the row."""
    n = len(classes)
    figure = new_figure(min(12, 2.4 + 0.52 * n), min(11, 1.5 + 0.45 * n), "What is taken for what",
                     about, "rows: what it is; columns: what it was called")  # fmt: skip
    ax = figure.subplots()
    share = confusion / confusion.sum(1, keepdim=True).clamp(min=1)
    ax.imshow(share.numpy(), cmap="Blues", vmin=0, vmax=1)
    if n <= 20:
        for i, j in confusion.nonzero().tolist():
            ax.text(j, i, str(int(confusion[i, j])), ha="center", va="center", fontsize=8,
                    color="white" if share[i, j] > 0.5 else "black")  # fmt: skip
    ticks = range(n) if n <= 40 else []
    ax.set_xticks(ticks, [classes[i] for i in ticks], rotation=45, ha="right", fontsize=8)
    ax.set_yticks(ticks, [classes[i] for i in ticks], fontsize=8)
    return figure


def health_figure(found: Mapping[str, Sequence[LayerHealth]], about: str = "") -> Figure:
    """Spread of responses, gradients and weights through depth; a line for each network."""
    dead = {name: sum(layer.dead > 0 for layer in of) for name, of in found.items()}
    figure = new_figure(
        11, 3.3, "Signal health", about,
        "standard deviation, layer by layer; layers with dead maps: "
        + ", ".join(f"{count} {name}" for name, count in dead.items()),
    )  # fmt: skip
    for ax, what, title in zip(
        figure.subplots(1, 3),
        ("response", "gradient", "weight"),
        ("responses, before the rectifier", "gradients of the loss there", "weights"),
        strict=True,
    ):
        for name, layers in found.items():
            values = [getattr(layer, what) for layer in layers]
            ax.plot(range(1, len(values) + 1), values, marker=".", lw=1.2, label=name)
        low, high = ax.dataLim.intervaly
        ax.set(yscale="log") if high > 10 * low > 0 else ax.set_ylim(bottom=0)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_title(title, fontsize=10)
        ax.set_xlabel("layer, counted from the picture", fontsize=9)
        ax.grid(alpha=0.3, which="both", lw=0.6)
        ax.tick_params(labelsize=8)
    figure.axes[0].legend(fontsize=9)
    return figure
