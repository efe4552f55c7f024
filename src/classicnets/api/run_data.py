"""The data of a run: where they are, and whether they are those that it was trained on."""

from pathlib import Path

from classicnets.data.image_file import VARIABLE, max_pixels
from classicnets.data.images import Splits
from classicnets.data.sets import IMAGENET, fingerprint_of, is_gone, resolve
from classicnets.support.errors import first_few, option
from classicnets.training.run.config import RunConfig

DATA = "ImageNet (ILSVRC 2012)"  # of weights that were trained elsewhere
CLASSES = 1000  # of ImageNet
SPLITS = ("train", "val", "test")
SHOWN_CLASSES = 20  # in a message


def require_data(config: RunConfig) -> None:
    """Raises a ValueError for weights that were trained elsewhere, whose data are not known."""
    if config.data == DATA and not config.digest:
        raise ValueError(
            f"these weights were trained elsewhere, on {DATA}; name images of its classes with "
            f"{option('data', 'FOLDER')}"
        )


def place_of_data(config: RunConfig) -> str:
    """Where the run's data are. Raises a ValueError when they are not there, or never were."""
    require_data(config)
    place = config.data.removeprefix(IMAGENET)
    if is_gone(config.data) and not Path(place).is_absolute():
        raise ValueError(
            f"the data of the run, {place}, are not with it; name their place with "
            f"{option('data', 'PLACE')}"
        )
    if is_gone(config.data):
        raise ValueError(
            f"the data of the run are no longer at {place}; if they "
            f"have moved, name their new place with {option('data', 'PLACE')}"
        )
    return config.data


def is_data_of(config: RunConfig, data: str) -> bool:
    """Whether `data` names the data of the run, at their old place or where they have moved."""
    if resolve(data) == config.data:
        return True
    if not is_gone(config.data):
        return False
    try:
        return fingerprint_of(data) == config.digest
    except ValueError:  # such as for one class: not what a run was trained on
        return False


def require_unchanged(config: RunConfig, splits: Splits, hint: str = "") -> None:
    """Raises a ValueError when these are not the data that the run was trained on."""
    if splits.classes != config.classes:
        now = "now " * (splits.name == config.data)
        raise ValueError(
            f"{splits.name} {now}has the classes {first_few(splits.classes, SHOWN_CLASSES)}; "
            f"the run was trained on {first_few(config.classes, SHOWN_CLASSES)}"
        )
    if (splits.sizes, splits.digest) != (config.images, config.digest):
        if config.max_pixels != max_pixels():
            more_pixels = f"add --max-pixels {config.max_pixels}, or set {VARIABLE}"
            hint = f"; the run read images of another size: {more_pixels}"
        then, now = sum(config.images), sum(splits.sizes)
        if splits.name != config.data:
            raise ValueError(
                f"{splits.name} holds other data than the run's: {now} images, and the run was "
                f"trained on {then} of {config.data}{hint}"
            )
        now = f"{now} now" if then != now else "as many, but different ones, now"
        raise ValueError(
            f"{splits.name} has changed since the run: {then} images then, {now}{hint}"
        )


def classes_in(place: str, classes: tuple[str, ...]) -> tuple[str, ...]:
    """The classes as the folders at a place are named: by WordNet ids where a network knows
    ImageNet's by name, and ImageNet or a part of it, such as Imagenette, lies there.
    """
    if len(classes) != CLASSES:
        return classes
    from classicnets.weights import released  # noqa: PLC0415  # others know no WordNet ids

    known = released.imagenet_classes()
    root = Path(place.removeprefix(IMAGENET))
    if classes != tuple(known.values()) or not root.is_dir():
        return classes
    folders = {p.name for part in (root, *(root / s for s in SPLITS)) for p in part.glob("*/")}
    return tuple(known) if folders & known.keys() else classes
