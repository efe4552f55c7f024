"""Visualising what a run has learnt: `see`, and one function for each kind of plate."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from classicnets.data.given import Given
from classicnets.evaluation.metrics import confusion_counts
from classicnets.support.arguments import answering
from classicnets.support.devices import select_device
from classicnets.support.errors import suggest
from classicnets.support.names import file_names, short
from classicnets.visualize import cam, gradients, render
from classicnets.visualize.deconv import deconv
from classicnets.visualize.features import add_reconstructions, feature_maps, strongest_activations
from classicnets.visualize.figure import CAPTIONS
from classicnets.visualize.filters import filters, has_filters
from classicnets.visualize.health import health
from classicnets.visualize.invariance import AMOUNTS, invariance
from classicnets.visualize.layers import classifier_layer, get_layer
from classicnets.visualize.occlusion import occlusion
from classicnets.visualize.page import Shown
from classicnets.visualize.plates import Drawing, Plates
from classicnets.visualize.predictions import check_method, embedding
from classicnets.visualize.probes import probes

from .inspection import Inspection, Sample
from .opened import open_trained
from .runs import Source, load_best

TOP = 5  # likeliest classes on the page
DEFAULT_KINDS = ("filters", "maps", "deconv", "cam")


@answering("images")
def see(
    run: str | Path,
    images: Given | Sequence[Given] = (),
    what: str | Sequence[str] = DEFAULT_KINDS,
    layers: str | Sequence[str] = (),
    maps: int | Sequence[int] = (),
    label: str | None = None,
    network: Source = None,
    limit: int = 1000,
    method: str = "tsne",
    device: str = "auto",
    data: str | Path | None = None,
) -> Plates:
    """Plates that show what a run has learnt, on these images or on one of its test set.

    `images` are as in `predict`. `what` names kinds of plates, or is "all". `layers`, `maps` and
    `label` (a class) override the defaults: the network's stages, the strongest maps, the predicted
    class. A layer that runs several times stands for its last call with feature maps, `a (2)` for
    its second call. Kinds that need a data set use at most `limit` images of the run's own, at
    `data` where they have moved. `method` of embedding: pca, tsne, or umap where it is installed.

    Raises ValueError for an unknown kind, layer, map, class or method, for an image that cannot be
    read unless it was found in a folder, and where `load` does.
    """
    what, layers = ([word] if isinstance(word, str) else list(word) for word in (what, layers))
    maps = [maps] if isinstance(maps, int) else maps
    kinds = list(KINDS) if what == ["all"] else what
    for kind in kinds:
        if kind not in KINDS:
            known, hint = ["all", *KINDS], suggest(kind, ["all", *KINDS])
            hint += f" there are {', '.join(known)}" * hint.endswith("?")
            raise ValueError(f"no kind of plate {kind!r}; {hint}")
    if limit < 10:
        raise ValueError(f"limit must be at least 10, not {limit}")
    check_method(method)
    where = select_device(device)
    opened = open_trained(run)
    module = load_best(opened, network).to(where)
    for layer in layers:
        get_layer(module, layer)
    index = None if label is None else _class_index(label, opened.config.classes)
    of = Inspection(opened, module, network, layers, maps, index, limit, method, data)
    samples = of.read(images)
    name, data = opened.config.network, Path(opened.config.data).name
    shown = ", ".join(s.name for s in samples)
    left_out = "".join(f" Left out: {reason}." for reason in of.unreadable)
    line = f"{short(Path(run).resolve().name, 48)}: {name} on {short(data, 48)}"
    steps = [step for kind in kinds for step in _steps(kind, of, samples, line)]
    files = file_names(step[0] for step in steps)
    return Plates(
        f"What {name} has learnt",
        f"Trained on {data}; run: {run}. Images: {shown}.{left_out}",
        [(file, *step[1:]) for file, step in zip(files, steps, strict=True)],
        [_shown(sample, opened.config.classes) for sample in samples],
        of.unreadable,
    )


def _shown(sample: Sample, classes: Sequence[str]) -> Shown:
    top = sample.probability.argsort(descending=True, stable=True)[:TOP].tolist()
    likeliest = [(str(classes[k]), float(sample.probability[k])) for k in top]
    true = "" if sample.label is None else str(classes[sample.label])
    return Shown(sample.name, sample.image, likeliest, true)


def _steps(
    name: str, of: Inspection, samples: Sequence[Sample], subtitle: str
) -> Iterator[tuple[str, str, Callable[[], Drawing]]]:
    """Name, caption and drawing function of each plate of a kind."""
    kind = KINDS[name]
    for i, sample in enumerate(samples if kind.per_image else samples[:1]):
        line, suffix = subtitle, ""
        if kind.per_image:
            true = "" if sample.label is None else f", true class {of.classes[sample.label]}"
            predicted = of.classes[sample.predicted]
            line = f"{subtitle} · {short(sample.name, 48)}, predicted {predicted}{true}"
            repeated = [s.name for s in samples].count(sample.name) > 1
            suffix = f"{sample.name}{f' {i + 1}' * repeated}" if len(samples) > 1 else ""
        try:
            layers = _layers(kind, of, sample)
        except ValueError as error:  # raised when this plate is drawn
            yield name, CAPTIONS[name], partial(_fail, str(error))
            continue
        for layer in layers:
            parts = "-".join(filter(None, (name, layer, suffix)))
            draw = partial(kind.draw, of, sample, layer, line)
            yield parts, CAPTIONS[name], draw


def _layers(kind: "Kind", of: Inspection, sample: Sample) -> Sequence[str | None]:
    """The layers of a kind's plates; None is the default layer of its method.

    Raises a ValueError when the network has no layer of the sort.
    """
    if kind.stages:
        return of.map_layers(kind.stages, sample.input)
    if kind.per_layer and of.layers:
        return [layer for layer in of.layers if kind.applies(of.network, layer)] or of.layers
    return [None]


def _fail(reason: str) -> Drawing:
    raise ValueError(reason)


def _filters(of: Inspection, sample: Sample, layer: str | None, subtitle: str) -> Drawing:
    found = filters(of.network, layer)
    return render.filters_figure(found, subtitle), _arrays(found)


def _maps(of: Inspection, sample: Sample, layer: str, subtitle: str) -> Drawing:
    (found,) = feature_maps(of.network, sample.input, [layer])
    return render.maps_figure(found, sample.image, subtitle, of.maps), _arrays(found)


def _deconv(of: Inspection, sample: Sample, layer: str, subtitle: str) -> Drawing:
    found = deconv(of.network, sample.input, layer, of.maps)
    return render.deconv_figure(found, sample.image, subtitle), _arrays(found)


def _strongest(of: Inspection, sample: Sample, layer: str, subtitle: str) -> Drawing:
    found = strongest_activations(of.network, of.test.inputs, layer, of.maps)
    found = add_reconstructions(of.network, of.test.inputs, found)
    return render.strongest_figure(found, of.test.images, subtitle), _arrays(found)


def _occlusion(of: Inspection, sample: Sample, layer: str | None, subtitle: str) -> Drawing:
    grey = of.config.scaling(torch.full((1, *of.config.input), 127, dtype=torch.uint8))[0]
    found = occlusion(of.network, sample.input, of.label, layer=layer, grey=grey)
    figure = render.occlusion_figure(found, sample.image, of.classes, subtitle)
    return figure, _arrays(found)


def _gradients(of: Inspection, sample: Sample, layer: str | None, subtitle: str) -> Drawing:
    methods = {
        "saliency": gradients.saliency,
        "integrated gradients": gradients.integrated_gradients,
        "SmoothGrad": gradients.smoothgrad,
    }
    found = {name: f(of.network, sample.input, of.label) for name, f in methods.items()}
    with suppress(ValueError):  # not defined without ReLU
        guided = gradients.guided_backpropagation(of.network, sample.input, of.label)
        found["guided backpropagation"] = guided
    label = sample.predicted if of.label is None else of.label
    subtitle = f"{subtitle} · evidence for {of.classes[label]}"
    return render.gradients_figure(found, sample.image, subtitle), {**found, "class": label}


def _cam(of: Inspection, sample: Sample, layer: str | None, subtitle: str) -> Drawing:
    methods = (cam.grad_cam, cam.grad_cam_plus_plus)
    found = [method(of.network, sample.input, of.label, layer) for method in methods]
    with suppress(ValueError):  # not defined for most networks
        found += [cam.cam(of.network, sample.input, of.label)] if layer is None else []
    figure = render.heatmap_figure(found, sample.image, of.classes, subtitle)
    values = {"class": found[0].label, "layer": found[0].layer}
    return figure, values | {heatmap.method: heatmap.values for heatmap in found}


def _invariance(of: Inspection, sample: Sample, layer: str | None, subtitle: str) -> Drawing:
    _, inputs, labels, _ = of.test
    some = [int((labels == k).nonzero()[0, 0]) for k in labels.unique().tolist()[:5]]
    candidates = of.feature_layers(sample.input)
    layers = of.layers or list(dict.fromkeys([candidates[0], candidates[-1]]))
    classifier = classifier_layer(of.network, sample.input)
    found = [
        invariance(of.network, inputs[some], labels[some], layers, classifier, transformation)
        for transformation in AMOUNTS
    ]
    names = [of.classes[labels[i]] for i in some]
    values = {f"{f.transformation}-{name}": d for f in found for name, d in f.distances.items()}
    for f in found:
        prefix = f.transformation
        values |= {f"{prefix}-amounts": f.amounts, f"{prefix}-probability": f.probability}
    return render.invariance_figure(found, names, subtitle), values


def _probes(of: Inspection, sample: Sample, layer: str | None, subtitle: str) -> Drawing:
    train, test = (of.train.inputs, of.train.labels), (of.test.inputs, of.test.labels)
    accuracy = probes(of.network, train, test, of.layers or of.feature_layers(sample.input))
    baseline = 100 * int(test[1].bincount().max()) / len(test[1])
    return render.probes_figure(accuracy, baseline, subtitle), accuracy


def _embedding(of: Inspection, sample: Sample, layer: str | None, subtitle: str) -> Drawing:
    points = embedding(of.predictions.features, of.method)
    figure = render.embedding_figure(
        points, of.test.labels, of.test.images, of.classes, of.method, subtitle
    )
    return figure, {"points": points, "labels": of.test.labels}


def _mistakes(of: Inspection, sample: Sample, layer: str | None, subtitle: str) -> Drawing:
    predictions, inputs = of.predictions, of.test.inputs
    indices = predictions.mistakes[:12]
    if not indices:
        raise ValueError(f"no mistake among {len(inputs)} test images")
    predicted = predictions.probability.argmax(1)
    heatmaps = None
    with suppress(ValueError):  # not defined without feature maps
        heatmaps = [cam.grad_cam(of.network, inputs[i], int(predicted[i])) for i in indices]
    figure = render.mistakes_figure(
        predictions, indices, heatmaps, of.test.images, of.classes, subtitle, of.test.paths
    )
    values = {"images": indices, "probability": predictions.probability[indices]}
    if heatmaps:
        values["heatmaps"] = torch.stack([heatmap.values for heatmap in heatmaps])
    return figure, values


def _confusion(of: Inspection, sample: Sample, layer: str | None, subtitle: str) -> Drawing:
    predicted = of.predictions.probability.argmax(1)
    counts = confusion_counts(of.predictions.labels, predicted, len(of.classes))
    figure = render.confusion_figure(counts, of.classes, subtitle)
    return figure, {"confusion": counts}


def _health(of: Inspection, sample: Sample, layer: str | None, subtitle: str) -> Drawing:
    networks = {"at initialisation": of.initial_network(), "trained": of.network}
    some = (of.test.inputs[:64], of.test.labels[:64])
    found = {name: health(network, *some) for name, network in networks.items() if network}
    values = {
        f"{name}-{f.name}": [getattr(layer, f.name) for layer in layers]
        for name, layers in found.items()
        for f in fields(layers[0])
    }
    return render.health_figure(found, subtitle), values


class Kind(NamedTuple):
    """A kind of plate: its drawing function, and whether there is one for each image or layer."""

    draw: Callable[..., Drawing]
    per_image: bool = False
    stages: int = 0  # one for each of so many stages, or of the layers asked for
    per_layer: bool = False  # one for each layer asked for, else one for the default layer
    applies: Callable[[nn.Module, str], bool] = lambda network, layer: True  # else it is left out


KINDS = {
    "filters": Kind(_filters, per_layer=True, applies=has_filters),
    "maps": Kind(_maps, per_image=True, stages=5),
    "deconv": Kind(_deconv, per_image=True, stages=5),
    "strongest": Kind(_strongest, stages=3),
    "occlusion": Kind(_occlusion, per_image=True, per_layer=True),
    "gradients": Kind(_gradients, per_image=True),
    "cam": Kind(_cam, per_image=True, per_layer=True),
    "invariance": Kind(_invariance),
    "probes": Kind(_probes),
    "embedding": Kind(_embedding),
    "mistakes": Kind(_mistakes),
    "confusion": Kind(_confusion),
    "health": Kind(_health),
}


def _arrays(found: Any) -> dict[str, Any]:
    """The fields of a result that are arrays or can become arrays, by name."""
    values = {f.name: getattr(found, f.name) for f in fields(found)}
    return {k: v for k, v in values.items() if v is not None and not isinstance(v, dict)}


def _class_index(label: str, classes: tuple[str, ...]) -> int:
    if label in classes:
        return classes.index(label)
    if label.isdigit() and int(label) < len(classes):
        return int(label)
    raise ValueError(f"the run has no class {label!r}; {suggest(label, classes[:1000])}")
