"""What `see` inspects: a run's network, the images it is shown, and its data."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from classicnets.data.crops import centre_boxes
from classicnets.data.images import ImageFiles, Images, Splits
from classicnets.data.sets import open_data
from classicnets.training.run.directory import Run
from classicnets.visualize.layers import (
    prepared,
    scores_of,
    stages,
    stages_and_full,
    undisturbed,
)
from classicnets.visualize.mistakes import Seen, see_all

from .predict import images_at, read_or_refuse
from .runs import build_initial


class Shown(NamedTuple):
    """A picture by name: as it is looked at, between 0 and 1, as the network reads it, and which
    class it is called.
    """

    name: str
    picture: Tensor
    image: Tensor
    called: int


class Part(NamedTuple):
    """Some pictures of a set, as they are looked at and as the network reads them."""

    pictures: Tensor
    images: Tensor
    labels: Tensor


class Look:
    """A run's network with pictures for it; what is read of its data is read when first needed.

    `layers`, `maps` and `label` are what was asked for, if anything, and `method` is that of an
    embedding; `own` says that the network can be built anew from the catalogue. `unreadable` says
    what was left out of a folder.
    """

    def __init__(
        self,
        run: Run,
        network: nn.Module,
        own: bool,
        layers: Sequence[str],
        maps: Sequence[int],
        label: int | None,
        limit: int,
        method: str = "tsne",
    ):
        self.run, self.config = run, run.config
        self.network, self.own = network, own
        self.layers, self.maps, self.label = list(layers), list(maps) or None, label
        self.limit, self.method = limit, method
        self.unreadable: list[str] = []

    def read(self, paths: Sequence[str | Path]) -> list[Shown]:
        """Pictures from files and folders, read as `predict` reads them; one of the run's test set
        without any.
        """
        if not paths:
            test = self.test
            name = f"a test picture of {self.config.classes[test.labels[0]]}"
            return self._shown([name], test.pictures[:1], test.images[:1])
        files = [file for path in map(Path, paths) for file in images_at(path)]
        pixels, reasons = read_or_refuse(files, set(map(Path, paths)), self.config)
        self.unreadable = [reasons[i] for i in sorted(reasons)]
        sound = [i for i in range(len(files)) if i not in reasons]
        if not sound:
            raise ValueError(f"none of {len(files)} pictures can be read: {self.unreadable[0]}")
        part = self._part(Images(pixels[sound], torch.zeros(len(sound), dtype=torch.long)))
        return self._shown([files[i].name for i in sound], part.pictures, part.images)

    def _shown(self, names: Sequence[str], pictures: Tensor, images: Tensor) -> list[Shown]:
        with undisturbed(self.network), torch.no_grad():
            called = scores_of(self.network, prepared(self.network, images)).argmax(1).tolist()
        return list(map(Shown, names, pictures, images, called))

    @cached_property
    def test(self) -> Part:
        """Test pictures of the run's data, at most `limit`."""
        return self._some(self._splits.test)

    @cached_property
    def train(self) -> Part:
        """As many for training."""
        return self._some(self._splits.train)

    @cached_property
    def seen(self) -> Seen:
        """The test pictures as the network sees them."""
        return see_all(self.network, self.test.images, self.test.labels)

    def at_initialisation(self) -> nn.Module | None:
        """The network with the values that training began with, if they are known."""
        return build_initial(self.run) if self.own else None

    def spread(self, count: int, image: Tensor) -> list[str]:
        """The layers asked for, or some of the network's stages, evenly spaced to the last.

        Raises a ValueError when no layer gives maps.
        """
        if self.layers:
            return self.layers
        names = stages(self.network, image)
        at = torch.linspace(0, len(names) - 1, min(count, len(names))).round().long()
        return [names[i] for i in at.tolist()]

    def learning(self, image: Tensor, count: int = 8) -> list[str]:
        """Stages and full layers, at most so many, the first and the last among them."""
        names = stages_and_full(self.network, image)
        at = torch.linspace(0, len(names) - 1, min(count, len(names))).round().long()
        return [names[i] for i in at.tolist()]

    @cached_property
    def _splits(self) -> Splits:
        splits = open_data(self.config.data, self.config.side, self.config.input[0])
        if splits.classes != self.config.classes:
            raise ValueError(f"{self.config.data} no longer has the classes of the run")
        return splits

    def _some(self, part: Images | ImageFiles) -> Part:
        order = torch.randperm(len(part), generator=Generator().manual_seed(0))
        return self._part(part.subset(order[: self.limit]))

    def _part(self, part: Images | ImageFiles) -> Part:
        crop = self.config.input[1]
        windows = centre_boxes(part.sizes, self.config.side, crop)
        pixels = part.crop(torch.arange(len(part)), windows, crop).cpu()
        return Part(pixels / 255, self.config.scaling(pixels), part.labels.cpu())
