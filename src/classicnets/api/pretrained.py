"""Published weights as runs: any verb takes the name of their network in place of a run directory.

Weights of other packages become a run directory with our names, in the cache or where one wants it.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from classicnets import catalog
from classicnets.data.download import cache, fetch, locked
from classicnets.data.scaling import Normalise
from classicnets.exports.weights_file import read_kept
from classicnets.support.errors import suggest
from classicnets.support.files import content_digest, exists
from classicnets.support.names import spelling
from classicnets.support.tables import align, html_table
from classicnets.training.execution.execution import Execution
from classicnets.training.run.config import RunConfig
from classicnets.training.run.directory import Run, create, open_run, require_free
from classicnets.weights.bridges import count_classes, translate
from classicnets.weights.files import read_weights
from classicnets.weights.released import (
    DESIGNS,
    DIFFERS,
    RELEASED,
    SIDE,
    Released,
    find_akin,
    find_released,
    imagenet_classes,
    pixels_in_file,
    pixels_of,
    sources,
)

from .opened import open_trained
from .restored import restore
from .run_data import DATA

FOLDER = "weights"  # of the cache
IMAGES = (1_281_167, 50_000, 0)
OF_A_RUN = ("weights.safetensors", "last.pt")
HEADS = ("weights", "MB", "error, %", "licence", "cached", "about")
LEFT = ("weights", "licence", "cached", "about")
NOTE = """
The error, top-1 / top-5, is the source's, on ImageNet's validation images, one centre crop;
VGG's paper took dense evaluation, ResNet's ten crops. --json has the pixels of each, and in what
its file differs from our network."""


@dataclass(frozen=True, repr=False)
class WeightsTable:
    """The published weights of some networks, as a table."""

    rows: tuple[Released, ...]

    def __iter__(self) -> Iterator[Released]:
        return iter(self.rows)

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (
                one.name,
                str(one.megabytes),
                f"{one.errors[0]:.2f} / {one.errors[1]:.2f}",
                one.licence,
                "yes" if is_kept(one) else "no",
                one.about,
            )
            for one in self.rows
        ]

    def __repr__(self) -> str:
        return "\n".join([*align([HEADS, *self._cells()], LEFT), NOTE])

    def _repr_html_(self) -> str:
        return html_table([HEADS, *self._cells()], LEFT)

    def json(self) -> str:
        """The rows, with address, sum and place of the file, its pixels, and in what it differs."""
        return json.dumps([_as_dict(one) for one in self.rows], indent=2)


def _as_dict(one: Released) -> dict[str, Any]:
    kind, known = one.file.sum
    return {
        "weights": one.name,
        "network": one.network,
        "source": one.source,
        "url": one.file.mirrors[0] + one.file.name,
        kind.lower(): known,
        "megabytes": one.megabytes,
        "top1_error": one.errors[0],
        "top5_error": one.errors[1],
        "licence": one.licence,
        "pixels": pixels_in_file(one.source, _family(one)),
        "differences": DIFFERS.get((one.source, _family(one)), ()),
        "about": one.about,
        "file": str(cache() / FOLDER / one.file.name),
        "run": str(_place(one)),
    }


def _family(one: Released) -> str:
    paper = catalog.find(one.network).paper
    return paper.page if paper else DESIGNS[one.network]


def list_weights(pattern: str = "*") -> WeightsTable:
    """The published weights of the networks whose name matches a pattern, such as `vgg_*`.

    Raises a ValueError where there are none.

    >>> [one.name for one in list_weights("resnet18")]
    ['resnet18@torchvision']
    """
    wanted = _network(pattern) or pattern
    rows = tuple(
        one for one in RELEASED if any(fnmatchcase(n, wanted) for n in (one.network, one.name))
    )
    if not rows:
        names = dict.fromkeys(one.network for one in RELEASED)
        raise ValueError(
            f"there are no published weights of {pattern}; there are those of {', '.join(names)}"
        )
    return WeightsTable(rows)


def open_published(name: str) -> Run | None:
    """The run of published weights, by the name of their network; None for another name."""
    released = _released(name)
    if released is None:
        return None
    return _kept(released.name, released.network, lambda: fetch(released.file, FOLDER), released)


def open_start(start: str | Path, network: str) -> Run:
    """What a training of this network may start from: a run, a source of published weights, or a
    file of them, which is kept in the cache as a run.

    Raises as `open_trained` and `import_weights` do.
    """
    path = Path(start)
    if path.is_file():
        digest = content_digest(path)[:16]
        return _kept(f"{_network(network) or network}@{digest}", network, lambda: path)
    if exists(path) or not any(one.source == str(start) for one in RELEASED):
        return open_trained(start)
    return open_trained(f"{network}@{start}")


def _kept(
    name: str, network: str, file: Callable[[], Path], released: Released | None = None
) -> Run:
    """The run of this name in the cache, made of a file where there is none yet: completely or not
    at all."""
    place = cache() / FOLDER / name
    if not exists(place / "run.json"):
        weights = file()
        with locked(f"{FOLDER}-{name}"):
            if not exists(place / "run.json"):
                place.parent.mkdir(parents=True, exist_ok=True)
                with TemporaryDirectory(dir=place.parent) as scratch:
                    made = Path(scratch) / "run"
                    import_weights(network, weights, made, released=released)
                    made.rename(place)
    return open_run(place)


def import_weights(
    network: str,
    file: str | Path,
    out: str | Path,
    exist_ok: bool = False,
    released: Released | None = None,
) -> Run:
    """Writes a run directory with weights of another package from a file; its content says which.

    PyTorch's .pth of torchvision, timm and pytorchcv, .safetensors, Keras's .h5 and Caffe's
    .caffemodel are read, none with code, and what `export` wrote as .safetensors. With `exist_ok`
    `out` may be a run, which is replaced; `released` says what is published of the file.

    Raises a ValueError for a network that has no such weights, a file that is damaged or of another
    network, and a directory that is not empty.
    """
    path = Path(file)
    if path.name in OF_A_RUN and exists(path.parent / "run.json"):
        raise ValueError(f"{path} is a part of a run; name that, {path.parent}")
    require_free(Path(out), exist_ok)  # before anything is written there
    if kept := read_kept(path):
        return restore(network, path, kept, Path(out), exist_ok)
    entry = catalog.find(network)
    family = entry.paper.page if entry.paper else DESIGNS.get(entry.name)
    if family is None:
        raise ValueError(
            f"{network} is neither a network of the catalogue nor one of {', '.join(DESIGNS)}; "
            "weights of others are runs"
        )
    found = read_weights(path)
    try:
        with torch.device("meta"):
            count = count_classes(entry.build(), family, found)
            module = entry.build(**({"classes": count} if count else {}))
        source, state = translate(module, family, found)
    except ValueError as error:
        raise ValueError(f"{path} does not fit {entry.name}: {error}") from error
    module.load_state_dict(state, assign=True)
    config = _config(
        entry, pixels_of(source, family), source, next(reversed(state.values())).shape[0], path.name
    )
    origin = {"source": source, "file": path.name, "sha256": content_digest(path)}
    notes: dict[str, Any] = {
        "published": origin | ({"licence": released.licence} if released else {}),
        "parameters": sum(p.numel() for p in module.parameters()),
        "ended": True,
    }
    if released:
        top1, top5 = released.errors
        notes["test"] = {"top1_error": top1, "top5_error": top5}
    run = create(Path(out), config, exist_ok=exist_ok, design=entry.design, **notes)
    run.save_weights(module)
    run.note_unchanged()
    return run


def _config(
    entry: catalog.Entry, pixels: Normalise, source: str, classes: int, file: str
) -> RunConfig:
    names = tuple(imagenet_classes().values())
    recipe = replace(
        entry.recipe,
        cite=f"weights of {source}, {file}, trained elsewhere",
        side=SIDE,
        crop=entry.input[1],
        pixels=pixels,
        augment=(),
        protocol="single",
        cited={},
        assumed={},
    )
    return RunConfig(
        network=entry.name,
        input=entry.input,
        side=SIDE,
        classes=names if classes == len(names) else tuple(f"class {i}" for i in range(classes)),
        data=DATA,
        images=IMAGES,
        digest="",
        recipe=recipe,
        differences={},
        scaling=pixels.scaling,
        augment=(),
        execution=Execution(precision="fp32", layout="channels_first", accumulation_steps=1),
        seed=0,
    )


def is_kept(released: Released) -> bool:
    """Whether published weights are in the cache."""
    return exists(_place(released) / "run.json")


def _place(released: Released) -> Path:
    return cache() / FOLDER / released.name


def _network(name: str) -> str:
    """The catalogue's name of a network that is spelt in any way, or that of a design of this
    package; empty for another name."""
    if name in DESIGNS:
        return name
    found = catalog.SPELLINGS.get(spelling(name), "")
    return catalog.ALIASES.get(found, found)


def _released(name: str) -> Released | None:
    """The weights that a name means, if it is that of a network of the catalogue.

    Raises a ValueError for a network without published weights, and for an unknown source.
    """
    network, at, source = name.partition("@")
    if "/" in name or not (ours := _network(network)):
        return None
    if found := find_released(ours, source):
        return found
    near = find_akin(ours, source)
    if at and (known := sources(ours)):
        instead = f"those fit {near.network}" if near else suggest(source, known)
        raise ValueError(f"there are no weights of {ours} from {source}; {instead}")
    other = f"; those of {near.network} are" if near else ""
    raise ValueError(
        f"{name} is neither a run directory nor a network with published weights{other}; "
        f"`classicnets weights` lists those"
    )
