"""Arrays as figures: each function draws one plate.

Images are (c, h, w) with values between 0 and 1. `subtitle` names the network, the data and the
image.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogFormatter, MaxNLocator
from torch import Tensor

from classicnets.support.names import short
from classicnets.support.plots import draw_confusion, matrix_side, narrow

from .cam import Heatmap
from .deconv import Deconv, summary
from .features import FeatureMaps, Strongest, cut_patch
from .figure import add_legend, class_colour, grid, new_figure, overlay, set_title, show_image
from .filters import Filters
from .forward import Batch, Image
from .health import LayerHealth
from .invariance import Invariance
from .layers import target_maps
from .occlusion import Occlusion
from .predictions import Predictions
from .tiles import GAP, around_grey, enlarge, format_value, montage, rgb, scale_factor

MAX_MAPS = 24
UNITS = {"translation": "pixels down", "scale": "factor", "rotation": "degrees"}
METHOD_NAMES = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}


def filters_figure(found: Filters, subtitle: str = "", shared_scale: bool = False) -> Figure:
    """All filters of a layer as a grid; dead ones outlined in blue, saturated ones in red."""
    tiles = found.tiles(shared_scale)
    maps, channels, k, _ = found.weights.shape
    each = len(tiles) // maps  # tiles a filter
    columns = math.ceil(math.sqrt(1.8 * maps)) if each == 1 else min(each, 32)
    limit = columns * math.ceil(8 if each > 1 else len(tiles) / columns)
    part = f", the first {limit} tiles" * (limit < len(tiles))
    tiles = tiles[:limit]
    rows = math.ceil(len(tiles) / columns)
    width = min(9, 1.2 * columns)
    scale = "all on one scale" if shared_scale else "each on its own scale"
    faults = f"{len(found.dead)} dead, {len(found.saturated)} saturated"
    details = f"{maps} filters of {channels}x{k}x{k}{part}, {scale}; {faults}"
    figure = new_figure(
        "filters",
        max(5.5, width),
        width * rows / columns,
        f"Filters of {found.layer}",
        subtitle,
        details,
    )
    ax = figure.subplots()
    ax.imshow(rgb(montage(tiles, columns)), interpolation="nearest")
    side = k * scale_factor(k)
    for numbers, colour in ((found.dead, "tab:blue"), (found.saturated, "tab:red")):
        for number in (n * each for n in numbers if n * each < len(tiles)):
            y, x = (cell * (side + GAP) - GAP / 2 for cell in divmod(number, columns))
            outline = Rectangle((x, y), side + GAP - 1, side + GAP - 1, fill=False, color=colour)
            ax.add_patch(outline)
    ax.axis("off")
    return figure


def maps_figure(
    found: FeatureMaps, image: Image, subtitle: str = "", maps: Sequence[int] | None = None
) -> Figure:
    """These maps of a layer, or its strongest, on one scale: grey, or red and blue if signed."""
    count = len(found.maps)
    chosen = found.order[:MAX_MAPS] if maps is None else target_maps(maps, count, found.layer)
    peak = found.maps.abs().max().item() or 1.0
    signed = bool((found.maps < 0).any())
    style = {"cmap": "RdBu_r" if signed else "gray", "vmin": -peak if signed else 0, "vmax": peak}
    details = f"{len(chosen)} of {count} maps" + ", by their largest value" * (maps is None)
    details += "; red positive, blue negative" * signed
    height = 1.6 * math.ceil((len(chosen) + 1) / 7)
    figure = new_figure("maps", 10, height, f"Feature maps of {found.layer}", subtitle, details)
    axes = grid(figure, len(chosen) + 1, 7)
    show_image(axes[0], image, "image")
    for ax, number in zip(axes[1:], chosen, strict=False):
        ax.imshow(found.maps[number].numpy(), interpolation="nearest", **style)
        set_title(ax, f"map {number}: {format_value(found.maps[number].max().item())}")
    return figure


def deconv_figure(found: Deconv, image: Image, subtitle: str = "") -> Figure:
    """The image and the reconstructions of its strongest activations, the strongest first."""
    height = 2.2 * math.ceil((len(found.maps) + 1) / 5)
    details = f"one activation a map; {summary(found.applied)}"
    figure = new_figure("deconv", 10, height, f"Deconvnet from {found.layer}", subtitle, details)
    axes = grid(figure, len(found.maps) + 1, 5)
    show_image(axes[0], image, "image")
    for ax, number, value, reconstruction in zip(
        axes[1:], found.maps, found.values.tolist(), found.reconstructions, strict=False
    ):
        show_image(ax, around_grey(reconstruction), f"map {number}: {format_value(value)}")
    return figure


def strongest_figure(found: Strongest, images: Batch, subtitle: str = "") -> Figure:
    """ZFNet's Figure 2: the strongest patches of each map, to their right the reconstructions."""
    reconstructions = found.reconstructions
    panels = 1 if reconstructions is None else 2  # a map
    columns = min(len(found.maps), 4 if reconstructions is None else 3)
    rows = math.ceil(len(found.maps) / columns)
    field = "x".join(map(str, found.boxes[0, 0, 2:].tolist()))
    details = f"{found.images.shape[1]} images a map, cut to its receptive field of {field} pixels"
    details += f"; right of each: deconvnet, {summary(found.applied or {})}" * (panels == 2)
    title = f"Strongest activations of {found.layer}"
    height = rows * (10 / columns / panels + 0.25)
    figure = new_figure("strongest", 10, height, title, subtitle, details)
    axes = grid(figure, rows * columns * panels, columns * panels)
    for i, number in enumerate(found.maps):
        boxes, peak = found.boxes[i], format_value(found.values[i, 0].item())
        patches = [
            cut_patch(images[n], box, 0.5) for n, box in zip(found.images[i], boxes, strict=True)
        ]
        title = f"map {number}: at most {peak}"
        show_image(axes[panels * i], montage(torch.stack(patches), 3), title)
        if reconstructions is not None:
            patches = [
                cut_patch(around_grey(r), box, 0.5)
                for r, box in zip(reconstructions[i], boxes, strict=True)
            ]
            title = f"map {number}: deconvnet"
            show_image(axes[panels * i + 1], montage(torch.stack(patches), 3), title)
    return figure


def occlusion_figure(
    found: Occlusion, image: Image, classes: Sequence[str], subtitle: str = ""
) -> Figure:
    """ZFNet's Figure 7: the image, activity of the strongest map, probability and prediction."""
    details = f"a grey square of {found.size}x{found.size} pixels"
    figure = new_figure("occlusion", 11, 3.6, "Occlusion sensitivity", subtitle, details)
    axes = grid(figure, 4, 4)
    show_image(axes[0], image, "image")
    if found.probability.min() < 0.999 * found.probability.max():
        y, x = divmod(int(found.probability.argmin()), found.probability.shape[1])
        square = (found.lefts[x] - 0.5, found.tops[y] - 0.5)
        axes[0].add_patch(Rectangle(square, found.size, found.size, color="0.5"))
        set_title(axes[0], "image, with the square where\nthe probability is lowest")
    activity = f"activity of {found.layer}, map {found.map}"
    probability = f"probability of {classes[found.label]}"
    for ax, values, title, whole in (
        (axes[1], found.activity, activity, found.whole_activity),
        (axes[2], found.probability, probability, found.whole_probability),
    ):
        _draw_change(ax, found, image, values, whole)
        set_title(ax, f"{title}\nwhole image {format_value(whole)}")
    present, ranks = found.predicted.unique(return_inverse=True)
    colours = [class_colour(rank) for rank in range(len(present))]
    _draw_mesh(axes[3], found, image, ranks, ListedColormap(colours), -0.5, len(present) - 0.5)
    set_title(axes[3], f"predicted class\nwhole image {classes[found.whole_predicted]}")
    handles = [Rectangle((0, 0), 1, 1, color=colour) for colour in colours]
    names = [str(classes[i]) for i in present.tolist()]
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.03)}
    add_legend(axes[3], handles, names, 6, 0.8, ncols=2, **below)
    return figure


def _draw_change(ax: Axes, found: Occlusion, image: Image, values: Tensor, whole: float) -> None:
    """Draws values on a scale from the lowest to the highest, where a line marks the whole image.

    Equal ones are all drawn in the middle of the scale.
    """
    low, high = min(values.min().item(), whole), max(values.max().item(), whole)
    room = 0.0 if low < high else max(abs(low), 1.0) / 2
    mesh = _draw_mesh(ax, found, image, values, "viridis", low - room, high + room)
    figure = ax.get_figure(root=True)
    assert figure is not None
    bar = figure.colorbar(mesh, ax=ax, shrink=0.7, location="bottom")
    ends = sorted({low, high})
    bar.set_ticks(ends, labels=list(map(format_value, ends)))
    bar.ax.axvline(whole, color="tab:red", lw=2)
    bar.ax.tick_params(labelsize=8)


def _draw_mesh(
    ax: Axes,
    found: Occlusion,
    image: Image,
    values: Tensor,
    colours: str | ListedColormap,
    low: float | int | None,
    high: float | None = None,
) -> QuadMesh:
    """Draws values at the centres of the square, in the pixel coordinates of the image."""
    rows, columns = (_edges(corners, found.size) for corners in (found.tops, found.lefts))
    mesh = ax.pcolormesh(columns, rows, values.numpy(), cmap=colours, vmin=low, vmax=high)
    ax.set(xlim=(-0.5, image.shape[2] - 0.5), ylim=(image.shape[1] - 0.5, -0.5), aspect="equal")
    ax.set_anchor("N")
    return mesh


def _edges(corners: Sequence[int], size: int) -> np.ndarray:
    """Half-way between the centres of neighbouring squares."""
    centres = np.array(corners) + (size - 1) / 2
    steps = np.diff(centres) / 2 if len(centres) > 1 else np.array([size / 2])
    inner = centres[:-1] + steps[: len(centres) - 1]
    return np.concatenate([[centres[0] - steps[0]], inner, [centres[-1] + steps[-1]]])


def gradients_figure(found: Mapping[str, Image], image: Image, subtitle: str = "") -> Figure:
    """Attributions side by side: the largest absolute value over the channels, white strong."""
    details = "absolute value, the largest over the channels; clipped at the 99th percentile"
    width = 2.2 * (len(found) + 1)
    figure = new_figure("gradients", width, 2.4, "Saliency and attribution", subtitle, details)
    axes = grid(figure, len(found) + 1, len(found) + 1)
    show_image(axes[0], image, "image")
    for ax, (name, values) in zip(axes[1:], found.items(), strict=False):
        strength = values.abs().amax(0)
        peak = np.quantile(strength.numpy(), 0.99) or strength.max().item() or 1
        ax.imshow(strength.numpy(), cmap="gray", vmin=0, vmax=peak)
        set_title(ax, name)
    return figure


def heatmap_figure(
    found: Sequence[Heatmap], image: Image, classes: Sequence[str], subtitle: str = ""
) -> Figure:
    """Class activation maps over the image."""
    details = f"evidence for {classes[found[0].label]} at {found[0].layer}"
    figure = new_figure("cam", 2.6 * (len(found) + 1), 2.8, "Grad-CAM", subtitle, details)
    axes = grid(figure, len(found) + 1, len(found) + 1)
    show_image(axes[0], image, "image")
    for ax, heatmap in zip(axes[1:], found, strict=False):
        note = "" if heatmap.values.amax() > 0 else ": no evidence"
        show_image(ax, overlay(heatmap.values, image), heatmap.method + note)
    return figure


def invariance_figure(
    found: Sequence[Invariance], names: Sequence[str], subtitle: str = ""
) -> Figure:
    """ZFNet's Figure 5: a row a transformation; feature distances by layer, and probability."""
    layers = list(found[0].distances)
    title = "Invariance to translation, scale and rotation"
    figure = new_figure("invariance", 10, 2.2 * len(found), title, subtitle)
    axes = figure.subplots(len(found), len(layers) + 1, squeeze=False)
    for row, change in zip(axes, found, strict=True):
        panels = {f"{layer}: distance of features": d for layer, d in change.distances.items()}
        panels["probability of the true class"] = change.probability
        for ax, (title, values) in zip(row, panels.items(), strict=True):
            for line in values:
                ax.plot(change.amounts, line.numpy(), lw=1.2)
            set_title(ax, title, beside=1.5)
            unit = UNITS[change.transformation]
            ax.set_xlabel(f"{change.transformation} ({unit})", fontsize=8)
            ax.set_ylim(0, 1.05 if values is change.probability else None)
            ax.tick_params(labelsize=7)
            ax.grid(alpha=0.3)
    last, beside = axes[0, -1], {"loc": "upper left", "bbox_to_anchor": (1, 1)}
    add_legend(last, last.lines, names, 12, 1.0, fontsize=7, **beside)
    return figure


def probes_figure(accuracy: Mapping[str, float], baseline: float, subtitle: str = "") -> Figure:
    """ZFNet's Table 7: linear probe accuracy by layer, and that of the majority class."""
    figure = new_figure("probes", 8, 3.2, "Linear probes", subtitle)
    ax = figure.subplots()
    bars = ax.bar(range(len(accuracy)), list(accuracy.values()), color="tab:blue", width=0.6)
    names = [narrow(name, 1.4, 9) for name in accuracy]
    crowded = len(names) * max(map(len, names)) > 80
    slanted = {"rotation": 30, "ha": "right"} if crowded else {}
    ax.set_xticks(range(len(names)), names, fontsize=9, **slanted)
    ax.bar_label(bars, fmt="%.1f", fontsize=9)
    ax.axhline(baseline, color="0.4", ls="--", lw=1)
    beside = ax.get_yaxis_transform()
    style = {"transform": beside, "va": "center", "fontsize": 8, "color": "0.4"}
    ax.text(1.01, baseline, "majority\nclass", **style)
    ax.set_ylabel("test accuracy (%)")
    ax.set_ylim(0, 105)
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def embedding_figure(
    points: Float[Tensor, "n 2"],
    labels: Int64[Tensor, " n"],
    images: Batch,
    classes: Sequence[str],
    method: str,
    subtitle: str = "",
    thumbnails: int = 60,
) -> Figure:
    """An embedding of the last features, a point an image, with some thumbnails."""
    title = f"{METHOD_NAMES[method]} embedding of the last features"
    figure = new_figure("embedding", 9, 7.4, title, subtitle)
    ax = figure.subplots()
    dots, present = [], labels.unique().tolist()
    for label in present:
        x, y = points[labels == label].numpy().T
        dots.append(ax.scatter(x, y, s=12, color=class_colour(label), alpha=0.7, lw=0))
    extent = points.amax(0) - points.amin(0)
    apart = torch.where(extent > 0, extent, 1.0) / 13
    taken: list[Tensor] = []
    for i in torch.randperm(len(points), generator=torch.Generator().manual_seed(0)).tolist():
        point = points[i]
        near = any(((point - other).abs() < apart).all() for other in taken)
        if near or len(taken) == thumbnails:
            continue
        taken.append(point)
        zoom = 30 / max(enlarge(images[i]).shape[1:])
        thumbnail = OffsetImage(rgb(images[i]), zoom=zoom, interpolation="nearest")
        frame = {"edgecolor": class_colour(int(labels[i])), "lw": 1.5}
        ax.add_artist(AnnotationBbox(thumbnail, tuple(point.tolist()), pad=0.08, bboxprops=frame))
    names = [str(classes[label]) for label in present]  # given apart, also if they begin with _
    beside = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}
    add_legend(ax, dots, names, 38, 1.5, markerscale=2, **beside)
    ax.set(xticks=[], yticks=[])
    return figure


def mistakes_figure(
    predictions: Predictions,
    indices: Sequence[int],
    heatmaps: Sequence[Heatmap] | None,
    images: Batch,
    classes: Sequence[str],
    subtitle: str = "",
    paths: Sequence[str] = (),
) -> Figure:
    """These mistakes, each with the heatmap of the predicted class where there are heatmaps, and
    with the name of its file where the images have any.
    """
    columns = max(1, min(6, len(indices)))
    panels = 1 if heatmaps is None else 2
    details = f"{len(predictions.mistakes)} of {len(predictions.labels)} images are misclassified"
    width = max(6, 1.75 * columns)
    height = (0.6 + 0.15 * bool(paths) + 1.7 * panels) * math.ceil(len(indices) / columns)
    figure = new_figure("mistakes", width, height, "Most confident mistakes", subtitle, details)
    axes = grid(figure, len(indices), columns)
    for i, (ax, index) in enumerate(zip(axes, indices, strict=False)):
        p, predicted = (t.item() for t in predictions.probability[index].max(0))
        label = classes[int(predictions.labels[index])]
        tiles = [enlarge(images[index])]
        if heatmaps is not None:
            tiles.append(overlay(heatmaps[i].values, images[index]))
        title = f"{classes[int(predicted)]}, {100 * p:.0f} %\ntrue {label}"
        title += f"\n{short(Path(paths[index]).name, 24)}" if paths else ""
        show_image(ax, montage(torch.stack(tiles), 1), title)
    return figure


def confusion_figure(
    confusion: Int[np.ndarray, "n n"], classes: Sequence[str], subtitle: str = ""
) -> Figure:
    """The confusion matrix."""
    side = matrix_side(len(classes))
    figure = new_figure("confusion", side + 2.5, side + 1.5, "Confusion matrix", subtitle)
    draw_confusion(figure.subplots(), confusion, classes)
    return figure


def health_figure(found: Mapping[str, Sequence[LayerHealth]], subtitle: str = "") -> Figure:
    """Standard deviations of responses, gradients and weights by layer; a line a network."""
    dead = {name: sum(layer.dead > 0 for layer in layers) for name, layers in found.items()}
    details = ", ".join(f"{count} {name}" for name, count in dead.items())
    details = f"layers with dead maps: {details}"
    figure = new_figure("health", 11, 3.3, "Signal health", subtitle, details)
    for ax, field, title in zip(
        figure.subplots(1, 3),
        ("response", "gradient", "weight"),
        ("responses", "gradients of the loss", "weights"),
        strict=True,
    ):
        for name, layers in found.items():
            values = [getattr(layer, field) for layer in layers]
            ax.plot(range(1, len(values) + 1), values, marker=".", lw=1.2, label=name)
        low, high = ax.dataLim.intervaly
        if high > 10 * low > 0:
            ax.set_yscale("log")
            ax.yaxis.set_major_formatter(LogFormatter())
            ax.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))
        else:
            ax.set_ylim(bottom=0)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_title(f"standard deviation of {title}", fontsize=10)
        ax.set_xlabel("layer, from the input", fontsize=9)
        ax.grid(alpha=0.3, which="both", lw=0.6)
        ax.tick_params(labelsize=8, which="both")
    figure.axes[0].legend(fontsize=9)
    return figure
