"""The inputs of `see`: a run's network, images to inspect, and subsets of its data."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from PIL.Image import Image as PillowImage
from torch import Generator, Tensor, nn

from classicnets.data.crops import centre_boxes
from classicnets.data.given import Given, list_items
from classicnets.data.images import ImageFiles, Images, Splits
from classicnets.data.sets import open_data
from classicnets.support.errors import warn_skipped
from classicnets.support.names import short
from classicnets.training.run.directory import Run
from classicnets.visualize.forward import as_input, class_scores, frozen
from classicnets.visualize.layers import stages, stages_and_fc
from classicnets.visualize.predictions import Predictions, predict_all

from .predict import read_or_refuse
from .run_data import place_of_data
from .runs import Source, build_initial


class Sample(NamedTuple):
    """An image with its name: pixels between 0 and 1, network input, and class probabilities.

    `label` is its true class, if that is known.
    """

    name: str
    image: Tensor
    input: Tensor
    probability: Tensor
    label: int | None

    @property
    def predicted(self) -> int:
        return int(self.probability.argmax())


class Subset(NamedTuple):
    """Some images of a data set: pixels between 0 and 1, network inputs, labels, and their files,
    if they have any.
    """

    images: Tensor
    inputs: Tensor
    labels: Tensor
    paths: list[str]


class Inspection:
    """A run's network with the options of `see`; data are read when first needed.

    `source` is what the network was built from. `layers`, `maps` and `label` are the user's
    choices, if any, and `data` is where the run's data are if they have moved. `unreadable` holds
    why images of a folder were left out.
    """

    def __init__(
        self,
        run: Run,
        network: nn.Module,
        source: Source,
        layers: Sequence[str],
        maps: Sequence[int],
        label: int | None,
        limit: int,
        method: str = "tsne",
        data: str | Path | None = None,
    ):
        self.run, self.config = run, run.config
        self.classes = tuple(short(name, 24) for name in run.config.classes)  # as they are drawn
        self.network, self.source = network, source
        self.layers, self.maps, self.label = list(layers), list(maps) or None, label
        self.limit, self.method, self.data = limit, method, data
        self.unreadable: list[str] = []

    def read(self, images: Given | Sequence[Given]) -> list[Sample]:
        """These images and those in folders, read as `predict` does; of none, one test image."""
        items = list_items(images)
        if not items:
            test = self.test
            pixels, inputs, labels = (values[:1] for values in test[:3])
            return self._samples(["a test image"], pixels, inputs, labels.tolist())
        found, readable, reasons = read_or_refuse(items, self.config)
        if not readable:
            raise ValueError(f"none of {len(items)} images can be read: {min(reasons.items())[1]}")
        warn_skipped(list(reasons.values()))
        self.unreadable = [*reasons.values(), *items.left_out]
        subset = self._crop(found)
        names = [Path(items[i].name).name for i in readable]
        labels = [self._label(items[i].source) for i in readable]
        return self._samples(names, subset.images, subset.inputs, labels)

    def _label(self, source: Path | PillowImage) -> int | None:
        """The class that the folder of a file is named after."""
        if not isinstance(source, Path):
            return None
        folder, classes = source.absolute().parent.name, self.config.classes
        return classes.index(folder) if folder in classes else None

    def _samples(
        self, names: Sequence[str], images: Tensor, inputs: Tensor, labels: Sequence[int | None]
    ) -> list[Sample]:
        with frozen(self.network), torch.no_grad():
            scores = class_scores(self.network, as_input(self.network, inputs))
        return list(map(Sample, names, images, inputs, scores.float().softmax(1).cpu(), labels))

    @cached_property
    def test(self) -> Subset:
        """Test images of the run's data, at most `limit`."""
        return self._sample(self._splits.test)

    @cached_property
    def train(self) -> Subset:
        """Training images of the run's data, at most `limit`."""
        return self._sample(self._splits.train)

    @cached_property
    def validation(self) -> Subset:
        """Validation images of the run's data, at most `limit`."""
        return self._sample(self._splits.validation)

    def sample(self, of: Subset, number: int) -> Sample:
        """One image of `test`, `train` or `validation`, counted round and round."""
        at = number % len(of.labels)
        name = Path(of.paths[at]).name if of.paths else f"image {at + 1}"
        (found,) = self._samples(
            [name], of.images[at][None], of.inputs[at][None], [int(of.labels[at])]
        )
        return found

    @cached_property
    def predictions(self) -> Predictions:
        """The network's predictions for the test images."""
        return predict_all(self.network, self.test.inputs, self.test.labels)

    def initial_network(self) -> nn.Module | None:
        """The network with the values that training began with, if they are known."""
        return build_initial(self.run, self.source)

    def map_layers(self, count: int, image: Tensor) -> list[str]:
        """The layers asked for, or else up to `count` stages, evenly spaced to the last.

        Raises a ValueError when no layer gives feature maps.
        """
        return self.layers or _evenly_spaced(stages(self.network, image), count)

    def feature_layers(self, image: Tensor, count: int = 8) -> list[str]:
        """Up to `count` stages and fully connected layers, with the first and the last."""
        return _evenly_spaced(stages_and_fc(self.network, image), count)

    @cached_property
    def _splits(self) -> Splits:
        config = self.config
        place = self.data or place_of_data(config)
        splits = open_data(place, config.side, config.input[0], allow_missing_classes=True)
        if splits.classes != self.config.classes:
            raise ValueError(f"{splits.name} does not have the classes of the run")
        return splits

    def _sample(self, images: Images | ImageFiles) -> Subset:
        order = torch.randperm(len(images), generator=Generator().manual_seed(0))
        return self._crop(images.subset(order[: self.limit]))

    def _crop(self, images: Images | ImageFiles) -> Subset:
        crop = self.config.input[1]
        boxes = centre_boxes(images.sizes, self.config.side, crop)
        pixels = images.crop(torch.arange(len(images)), boxes, crop).cpu()
        return Subset(
            pixels / 255,
            self.config.scaling(pixels),
            images.labels.cpu(),
            [*map(str, images.paths or [])],
        )


def _evenly_spaced(names: list[str], count: int) -> list[str]:
    at = torch.linspace(0, len(names) - 1, min(count, len(names))).round().long()
    return [names[i] for i in at.tolist()]
