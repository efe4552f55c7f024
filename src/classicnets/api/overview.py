"""A data set as it would be trained on: classes, split, what is wrong with it, colours, samples."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from classicnets.data.crops import centre_boxes
from classicnets.data.decode import read_image, read_sizes
from classicnets.data.files import beside_folders, is_hidden, list_folders, summarise
from classicnets.data.folder import list_folder
from classicnets.data.images import ImageFiles, Images, Splits, evenly_spaced
from classicnets.data.scaling import channel_moments
from classicnets.data.sets import fingerprint_of, open_data, resolve
from classicnets.recipes.adapt import adapt
from classicnets.support.errors import calling
from classicnets.support.names import as_path
from classicnets.support.rng import generator_for
from classicnets.training.recipe.recipe import Recipe

from .recipes import adaptable, choose_recipe, resolve_network

SIDE = 32  # pixels of images that have no files
SHOWN = 96  # pixels of the samples of those that have
COLOURS = 3
SAMPLE = 200  # image files whose pixels are read


@dataclass(frozen=True)
class Overview:
    """What a data set holds. `counts` has class -> its training, validation and test images;
    `mean` and `std` are those of the channels of training images, pixels from 0 to 255, of files of
    `SAMPLE` of them; one value where all are grey. `size` is the median height and width of files.
    Paths stand below the folder of the set.
    """

    name: str
    counts: dict[str, tuple[int, int, int]]
    unreadable: tuple[str, ...]
    left_out: tuple[str, ...]
    duplicates: tuple[str, ...]
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    splits: Splits

    @property
    def sizes(self) -> tuple[int, int, int]:
        """The number of training, validation and test images."""
        return self.splits.sizes

    @property
    def lacking(self) -> list[str]:
        """The classes without images for validation or test, without which `train` refuses it."""
        return [name for name, (_, *others) in self.counts.items() if not all(others)]

    def samples(self, name: str, count: int) -> list[Image.Image]:
        """Training images of a class, evenly spaced: their centre squares."""
        train = self.splits.train
        (members,) = (train.labels == self.splits.classes.index(name)).nonzero(as_tuple=True)
        some = members[evenly_spaced(len(members), count)]
        return as_images(_centred(train, some))


def overview(data: str | Path) -> Overview:
    """Reads a data set, each of its images once, so that it is known which cannot be read.

    `data` is as in `train`. Raises a ValueError for what is not data, and a class without images,
    and an OSError where a download fails.
    """
    name = resolve(data)
    return _overview(name, fingerprint_of(name))


@lru_cache(4)
def _overview(name: str, content: str) -> Overview:
    """`content` changes when the files do."""
    splits = open_data(name, SIDE, COLOURS, whole=True, allow_missing_classes=True)
    train, grey = splits.train, splits.grey
    if isinstance(train, ImageFiles):
        train = train.subset(evenly_spaced(len(train), SAMPLE))
    mean, std = (values.tolist()[: 1 if grey else COLOURS] for values in channel_moments(train))
    root = f"{name}/"

    def below(lines: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(line.replace(root, "") for line in lines)

    return Overview(
        Path(as_path(name)).name,
        splits.counts(),
        below(splits.skipped),
        splits.left_out,
        below(splits.duplicates),
        splits.original or tuple(train.sizes[0].tolist()),
        tuple(mean),
        tuple(std),
        splits,
    )


def find_classes(root: Path) -> tuple[Path, tuple[str, ...]]:
    """The folder of a data set at or below `root`: what was sent is often a folder in a folder. And
    what lies beside it, as in `Splits.left_out`.

    Raises a ValueError where that holds no data set.
    """
    folder, beside = root, []
    while len(inside := [one for one in folder.iterdir() if not is_hidden(one.name)]) == 1:
        if not inside[0].is_dir() or not list_folders(inside[0]):
            break
        beside += beside_folders(folder)
        (folder,) = inside
    with calling(folder, "what was sent"):
        list_folder(folder)
    return folder, summarise(beside, root)


def augmented(
    found: Overview, network: str, recipe: str = "", count: int = 5, draws: int = 4, seed: int = 0
) -> "Augmented":
    """What training by a recipe makes of some images, evenly spaced over the training images.

    `network` and `recipe` are as in `train`, the paper's by default. Augmentations that are fitted
    to the training images are fitted to at most `SAMPLE` of them. Raises a ValueError where `train`
    does for the network, the recipe, and data that do not fit them.
    """
    data = found.splits.name
    target = resolve_network(network, data)
    chosen = choose_recipe(target, recipe or None, data)
    source = adaptable(target, chosen, recipe or None, data)
    adapted, _ = adapt(chosen, found.splits, source)
    train = _as_trained(found, adapted, target.channels)
    generator = generator_for(seed, "augmented", 0)
    augment = [part.fit(train) for part in adapted.augment]
    rows = []
    for i in evenly_spaced(len(train), count).tolist():
        same = torch.tensor([i]).expand(draws)
        boxes = adapted.crop_sampler.sample(
            train.sizes[same], adapted.side, adapted.crop, generator
        )
        x = train.crop(same, boxes, adapted.crop)
        for part in augment:
            x = part(x, generator)
        rows.append([*as_images(_centred(train, same[:1])), *as_images(x)])
    return Augmented(tuple(_described(adapted)), rows)


@dataclass(frozen=True)
class Augmented:
    """The steps of a recipe in its own words, and a row for each image: the centre of the image,
    and what the network sees of it each time.
    """

    steps: tuple[str, ...]
    rows: list[list[Image.Image]]


def _described(recipe: Recipe) -> Iterator[str]:
    yield f"side {recipe.side}, crop {recipe.crop}"
    yield repr(recipe.crop_sampler)
    yield from map(repr, recipe.augment)


def _as_trained(found: Overview, recipe: Recipe, channels: int) -> Images | ImageFiles:
    """Training images as the recipe reads them; a sample of those in files."""
    train = found.splits.train
    if isinstance(train, ImageFiles):
        some = train.subset(evenly_spaced(len(train), SAMPLE))
        return ImageFiles(some.paths, some.labels, some.sizes, channels)
    train = open_data(found.splits.name, recipe.side, channels).train
    if isinstance(train, Images) and train.paths:
        sizes, _ = read_sizes(train.paths)
        return ImageFiles(train.paths, train.labels, sizes, channels)
    return train


def _centred(images: Images | ImageFiles, indices: Tensor) -> Tensor:
    """The centre squares of files, scaled; the whole of other images."""
    if isinstance(images, Images):
        return images[indices]
    return images.crop(indices, centre_boxes(images.sizes[indices], SHOWN, SHOWN), SHOWN)


def centred(path: Path, name: str, side: int, channels: int) -> Image.Image:
    """The centre square of an image file. Raises a ValueError by `name` where it cannot be read."""
    with calling(path, name):
        return as_images(read_image(path, side, channels)[None])[0]


def as_images(x: Tensor) -> list[Image.Image]:
    """Pixels (n, c, h, w), from 0 to 255, as images."""
    pixels = x.float().round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(one[:, :, 0] if one.shape[2] == 1 else one) for one in pixels]
