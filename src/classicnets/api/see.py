"""To look inside: what a run has learnt, in pictures."""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from classicnets.support.devices import select_device
from classicnets.support.errors import suggest
from classicnets.support.files import write_atomic
from classicnets.support.plots import png
from classicnets.training.run.directory import open_run
from classicnets.visualize import cam, gradients, render
from classicnets.visualize.deconv import deconv
from classicnets.visualize.features import feature_maps, add_reconstructions, strongest
from classicnets.visualize.figure import Figure
from classicnets.visualize.filters import filters, has_filters
from classicnets.visualize.health import health
from classicnets.visualize.invariance import AMOUNTS, invariance
from classicnets.visualize.layers import head, get_layer
from classicnets.visualize.predictions import METHODS, embedding
from classicnets.visualize.occlusion import occlusion
from classicnets.visualize.page import Plate, page
from classicnets.visualize.probes import probes

from .inspection import Inspection, Sample
from .runs import load

DEFAULT_KINDS = ("filters", "maps", "deconv", "cam")
Drawn = tuple[Figure, dict[str, Any]]


@dataclass(frozen=True)
class Seeing:
    """Plates in the making: iterating it makes one after another.

    `unreadable` says what was left out of folders of pictures.
    """

    title: str
    about: str
    steps: list[tuple[str, str, Callable[[], Drawn]]]
    forgiving: bool
    unreadable: list[str]

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Plate]:
        for name, text, make in self.steps:
            try:
                figure, values = make()
            except (ValueError, OSError) as error:
                if not self.forgiving:
                    raise
                yield Plate(name, str(error))
            else:
                yield Plate(name, text, figure, {k: _array(v) for k, v in values.items()})


def see(
    run: str | Path,
    images: Sequence[str | Path] = (),
    what: Sequence[str] = DEFAULT_KINDS,
    layers: Sequence[str] = (),
    maps: Sequence[int] = (),
    label: str | None = None,
    network: nn.Module | None = None,
    pictures: int = 1000,
    method: str = "tsne",
    device: str = "auto",
) -> Seeing:
    """What a run has learnt, plate by plate, shown on these pictures or on one of its test set.

    `what` names kinds of plates, or is ("all",): then a kind that this network or its data do not
    allow is a plate that says why. `layers`, `maps` and `label` (a class) choose; else the stages
    of the network, the strongest maps, and what each picture is taken for. Kinds that need a data
    set take `pictures` of the run's own; an embedding is made by `method`: pca, tsne, or umap if
    it is installed. Raises ValueError for an unknown kind, layer, map, class or method, a picture
    that cannot be read unless it was found in a folder, and where `load` does.
    """
    everything = tuple(what) == ("all",)
    kinds = tuple(KINDS) if everything else tuple(what)
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"no kind of plate {kind!r}; {suggest(kind, ['all', *KINDS])}")
    if pictures < 10:
        raise ValueError(f"pictures must be at least 10, not {pictures}")
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    where = select_device(device)
    found = open_run(Path(run))
    module = load(run, network).to(where)
    for layer in layers:
        get_layer(module, layer)
    number = None if label is None else _class(label, found.config.classes)
    look = Inspection(found, module, network is None, layers, maps, number, pictures, method)
    shown = look.read(images)
    of, data = found.config.network, Path(found.config.data).name
    return Seeing(
        f"What {of} has learnt",
        f"Trained on {data}; the run is {run}. Sample: {', '.join(s.name for s in shown)}."
        + "".join(f" Left out: {reason}." for reason in look.unreadable),
        [step for kind in kinds for step in _steps(kind, look, shown, f"{of} on {data}")],
        everything,
        look.unreadable,
    )


def save(seeing: Seeing, plates: Sequence[Plate], out: Path, npz: bool = False) -> None:
    """Writes the plates as PNG files into the folder `out`, or as one page if it ends in .html.

    With `npz` the arrays of each plate beside them. Raises an OSError when it cannot be written.
    """
    one = out.suffix == ".html"
    folder = out.parent if one else out
    folder.mkdir(parents=True, exist_ok=True)
    for plate in plates:
        if plate.figure is not None and not one:
            write_atomic(folder / f"{plate.name}.png", png(plate.figure))
        if npz and plate.arrays:
            file = io.BytesIO()
            np.savez_compressed(file, allow_pickle=False, **plate.arrays)
            write_atomic(folder / f"{plate.name}.npz", file.getvalue())
    if one:
        write_atomic(out, page(seeing.title, seeing.about, plates).encode())


def _steps(
    name: str, look: Inspection, shown: Sequence[Sample], about: str
) -> Iterator[tuple[str, str, Callable[[], Drawn]]]:
    """Name, text and maker of each plate of a kind."""
    kind = KINDS[name]
    for i, one in enumerate(shown if kind.of_pictures else shown[:1]):
        called = f"{one.name}, called {look.config.classes[one.called]}"
        line = f"{about} · {called}" if kind.of_pictures else about
        alike = [s.name for s in shown].count(one.name) > 1
        apart = f"{one.name}{f' {i + 1}' * alike}" if line != about and len(shown) > 1 else ""
        try:
            layers = _layers(name, look, one)
        except ValueError as error:  # said when its turn comes
            yield name, kind.text, partial(_unseen, str(error))
            continue
        for layer in layers:
            words = "-".join(filter(None, (name, layer, apart)))
            yield (
                re.sub(r"[^\w.]+", "-", words),
                kind.text,
                partial(kind.draw, look, one, layer, line),
            )


def _layers(name: str, look: Inspection, one: Sample) -> Sequence[str | None]:
    """The layers of a kind's plates; None is the kind's own choice.

    Raises a ValueError where the network has none that such a plate could show_image.
    """
    kind = KINDS[name]
    if kind.of_layers:
        return look.spread(kind.of_layers, one.image)
    if name == "filters" and look.layers:
        return [layer for layer in look.layers if has_filters(look.network, layer)]
    return look.layers if kind.of_asked and look.layers else [None]


def _unseen(reason: str) -> Drawn:
    raise ValueError(reason)


def _filters(look: Inspection, one: Sample, layer: str | None, about: str) -> Drawn:
    found = filters(look.network, layer)
    return render.filters_figure(found, about), _fields(found)


def _maps(look: Inspection, one: Sample, layer: str, about: str) -> Drawn:
    (found,) = feature_maps(look.network, one.image, [layer])
    return render.maps_figure(found, one.picture, about, look.maps), _fields(found)


def _deconv(look: Inspection, one: Sample, layer: str, about: str) -> Drawn:
    found = deconv(look.network, one.image, layer, look.maps)
    return render.deconv_figure(found, one.picture, about), _fields(found)


def _strongest(look: Inspection, one: Sample, layer: str, about: str) -> Drawn:
    found = strongest(look.network, look.test.images, layer, look.maps)
    found = add_reconstructions(look.network, look.test.images, found)
    return render.strongest_figure(found, look.test.pictures, about), _fields(found)


def _occlusion(look: Inspection, one: Sample, layer: str | None, about: str) -> Drawn:
    grey = look.config.scaling(torch.full((1, *look.config.input), 127, dtype=torch.uint8))[0]
    found = occlusion(look.network, one.image, look.label, layer=layer, grey=grey)
    return render.occlusion_figure(found, one.picture, look.config.classes, about), _fields(found)


def _gradients(look: Inspection, one: Sample, layer: str | None, about: str) -> Drawn:
    found = {
        "saliency": gradients.saliency(look.network, one.image, look.label),
        "integrated gradients": gradients.integrated_gradients(look.network, one.image, look.label),
        "SmoothGrad": gradients.smoothgrad(look.network, one.image, look.label),
    }
    with suppress(ValueError):  # a network without rectifiers has none
        guided = gradients.guided_backpropagation(look.network, one.image, look.label)
        found["guided backpropagation"] = guided
    label = one.called if look.label is None else look.label
    line = f"{about} · what speaks for {look.config.classes[label]}"
    return render.gradients_figure(found, one.picture, line), {**found, "class": label}


def _cam(look: Inspection, one: Sample, layer: str | None, about: str) -> Drawn:
    methods = (cam.grad_cam, cam.grad_cam_plus_plus)
    found = [method(look.network, one.image, look.label, layer) for method in methods]
    with suppress(ValueError):  # few networks allow it
        found += [cam.cam(look.network, one.image, look.label)] if layer is None else []
    figure = render.heat_figure(found, one.picture, look.config.classes, about)
    values = {"class": found[0].label, "layer": found[0].layer}
    return figure, values | {heat.kind: heat.heat for heat in found}


def _invariance(look: Inspection, one: Sample, layer: str | None, about: str) -> Drawn:
    _, images, labels = look.test
    some = [int((labels == k).nonzero()[0, 0]) for k in labels.unique().tolist()[:5]]
    learning = look.learning(one.image)
    layers = look.layers or list(dict.fromkeys([learning[0], learning[-1]]))
    output = head(look.network, one.image)
    found = [
        invariance(look.network, images[some], labels[some], layers, output, change)
        for change in AMOUNTS
    ]
    names = [look.config.classes[labels[i]] for i in some]
    figure = render.invariance_figure(found, names, about)
    values = {f"{f.change}-{name}": d for f in found for name, d in f.distances.items()}
    for f in found:
        values |= {f"{f.change}-amounts": f.amounts, f"{f.change}-probability": f.probability}
    return figure, values


def _probes(look: Inspection, one: Sample, layer: str | None, about: str) -> Drawn:
    test = (look.test.images, look.test.labels)
    train = (look.train.images, look.train.labels)
    found = probes(look.network, train, test, look.layers or look.learning(one.image))
    chance = 100 * int(test[1].bincount().max()) / len(test[1])
    return render.probes_figure(found, chance, about), found


def _embedding(look: Inspection, one: Sample, layer: str | None, about: str) -> Drawn:
    places = embedding(look.seen.features, look.method)
    labels, pictures = look.test.labels, look.test.pictures
    line = f"{about} · by {look.method}"
    figure = render.embedding_figure(places, labels, pictures, look.config.classes, line)
    return figure, {"places": places, "labels": labels}


def _mistakes(look: Inspection, one: Sample, layer: str | None, about: str) -> Drawn:
    seen, images = look.seen, look.test.images
    numbers = seen.mistakes[:12]
    if not numbers:
        raise ValueError(f"there is no mistake among {len(images)} test pictures")
    called = seen.probability.argmax(1)
    heats = None
    with suppress(ValueError):  # a network without maps has none
        heats = [cam.grad_cam(look.network, images[i], int(called[i])) for i in numbers]
    figure = render.mistakes_figure(
        seen, numbers, heats, look.test.pictures, look.config.classes, about
    )
    values = {"pictures": numbers, "probability": seen.probability[numbers]}
    return figure, values | ({"heats": torch.stack([h.heat for h in heats])} if heats else {})


def _confusion(look: Inspection, one: Sample, layer: str | None, about: str) -> Drawn:
    counts = look.seen.confusion
    return render.confusion_figure(counts, look.config.classes, about), {"confusion": counts}


def _health(look: Inspection, one: Sample, layer: str | None, about: str) -> Drawn:
    networks = {"at initialisation": look.at_initialisation(), "trained": look.network}
    some = (look.test.images[:64], look.test.labels[:64])
    found = {name: health(network, *some) for name, network in networks.items() if network}
    values = {
        f"{name}-{f.name}": [getattr(layer, f.name) for layer in layers]
        for name, layers in found.items()
        for f in fields(layers[0])
    }
    return render.health_figure(found, about), values


class Kind(NamedTuple):
    """How a kind of plate is drawn, what it shows, and whether for each picture or layer."""

    draw: Callable[..., Drawn]
    text: str
    of_pictures: bool = False
    of_layers: int = 0  # so many, unless layers are asked for
    of_asked: bool = False  # one for each layer that is asked for, else the network's own choice


KINDS = {
    "filters": Kind(
        _filters,
        "The weights themselves. A dead filter has hardly any weight, a saturated one far more "
        "than the others: two faults that ZFNet's paper found in AlexNet's first layer.",
        of_asked=True,
    ),
    "maps": Kind(_maps, "What a layer makes of the picture.", True, 5),
    "deconv": Kind(
        _deconv,
        "What in the picture caused the strongest activation of each map, projected back to the "
        "pixels as in ZFNet's paper; grey is nothing.",
        True,
        5,
    ),
    "strongest": Kind(
        _strongest,
        "The test pictures that excite a map most, cut to what the unit sees, beside what "
        "deconvnet makes of each (ZFNet, Figure 2).",
        of_layers=3,
    ),
    "occlusion": Kind(
        _occlusion,
        "A grey square moves over the picture (ZFNet, section 4.2). Where it hides what matters, "
        "the strongest map falls silent, the class loses probability, or another one wins.",
        True,
        of_asked=True,
    ),
    "gradients": Kind(_gradients, "How strongly each pixel moves the score of the class.", True),
    "cam": Kind(_cam, "Where a late layer finds what speaks for the class.", True, of_asked=True),
    "invariance": Kind(
        _invariance,
        "Pictures of up to five classes are moved, scale_factor and turned (ZFNet, Figure 5): how far "
        "the features of the first and the last layer move, and what becomes of the probability.",
    ),
    "probes": Kind(
        _probes,
        "A linear classifier is trained on what each layer gives for training pictures, and "
        "judged on test pictures (ZFNet, Table 7).",
    ),
    "embedding": Kind(
        _embedding,
        "Test pictures, placed so that those lie together of which the last layer reads the same.",
    ),
    "mistakes": Kind(
        _mistakes, "The test pictures about which the network is most certain, and wrong."
    ),
    "confusion": Kind(_confusion, "What the test pictures of each class are called."),
    "health": Kind(
        _health,
        "How the spread of the signal, of its gradient and of the weights changes through depth. "
        "Lines that rise or fall by orders of magnitude make a network hard to train.",
    ),
}


def _fields(found: Any) -> dict[str, Any]:
    """The values of a result by name, those that are arrays of numbers or can be."""
    values = {f.name: getattr(found, f.name) for f in fields(found)}
    return {k: v for k, v in values.items() if v is not None and not isinstance(v, dict)}


def _array(value: Any) -> np.ndarray:
    return value.numpy() if isinstance(value, Tensor) else np.array(value)


def _class(label: str, classes: tuple[str, ...]) -> int:
    if label in classes:
        return classes.index(label)
    if label.isdigit() and int(label) < len(classes):
        return int(label)
    raise ValueError(f"the run has no class {label!r}; {suggest(label, classes[:1000])}")
