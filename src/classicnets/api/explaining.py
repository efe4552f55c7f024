"""One image explained: its likeliest classes, where the evidence for one is, what layers see, and
which images of training are like it.

`see` writes the same as plates; here each is an image of its own, for who looks step by step.
"""

import math
from collections.abc import Callable, Sequence
from functools import cached_property, wraps
from pathlib import Path
from threading import RLock
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from classicnets.data.image_file import open_image
from classicnets.support.devices import select_device
from classicnets.support.errors import calling
from classicnets.visualize.cam import grad_cam
from classicnets.visualize.deconv import deconv
from classicnets.visualize.features import cut_patch, feature_maps, strongest_activations
from classicnets.visualize.gradients import saliency
from classicnets.visualize.occlusion import occlusion
from classicnets.visualize.predictions import Predictions, predict_all
from classicnets.visualize.tiles import around_grey, montage, rgb

from .inspection import Inspection, Sample
from .opened import open_trained
from .runs import Source, load_best

MOST_MAPS, COLUMNS, MOST_LAYERS = 32, 16, 8
# images of the data that are looked at, and numbers that they may hold together
MOST_IMAGES, MOST_NUMBERS = 1000, 50_000_000
MAPS, PATCHES, NEAREST = 6, 9, 9
RED = 230, 30, 30  # of the evidence, clear where there is none

P = ParamSpec("P")
T = TypeVar("T")


class Neighbour(NamedTuple):
    """A training image, its class, and how far its features are from those of an image."""

    image: Image.Image
    label: str
    distance: float


def _alone(
    method: "Callable[Concatenate[Explainer, P], T]",
) -> "Callable[Concatenate[Explainer, P], T]":
    """One at a time: methods put hooks on the network, and several pages have the same."""

    @wraps(method)
    def run(self: "Explainer", *args: P.args, **kwargs: P.kwargs) -> T:
        with self.lock:
            return method(self, *args, **kwargs)

    return run


class Explainer:
    """A trained network, opened once to explain any number of images, in any number of threads.

    Raises a ValueError for an unknown device, and where `load` does.
    """

    def __init__(self, run: str | Path, network: Source = None, device: str = "auto"):
        where = select_device(device)
        self.lock = RLock()
        opened = open_trained(run)
        self.network = load_best(opened, network).to(where)
        self.classes = opened.config.classes
        self.channels = opened.config.input[0]
        most = min(MOST_IMAGES, max(10, MOST_NUMBERS // math.prod(opened.config.input)))
        self.of = Inspection(opened, self.network, network, [], [], None, limit=most)

    @_alone
    def read(self, image: Path | Image.Image, name: str) -> Sample:
        """An image as the network reads it. Raises a ValueError where it cannot be read."""
        with calling(image, name):
            if isinstance(image, Path):
                with open_image(image):  # says what is wrong, and of one image does not count
                    pass
            (sample,) = self.of.read(image)
        return sample._replace(name=name)

    @_alone
    def test(self, number: int) -> Sample:
        """A test image of the run's data, by a number that goes round and round; like `validation`
        it raises a ValueError where the data are gone."""
        return self.of.sample(self.of.test, number)

    @_alone
    def validation(self, number: int) -> Sample:
        """A validation image of the run's data, which may be looked at while it trains."""
        return self.of.sample(self.of.validation, number)

    def top(self, sample: Sample, count: int = 5) -> list[tuple[int, str, float]]:
        """The likeliest classes: the number, the name and the probability of each."""
        order = sample.probability.argsort(descending=True, stable=True)[:count].tolist()
        return [(k, self.classes[k], float(sample.probability[k])) for k in order]

    @_alone
    def layers(self, sample: Sample) -> Sequence[str]:
        """Stages and fully connected layers, with the first and the last, in order."""
        return self.of.feature_layers(sample.input, MOST_LAYERS)

    @_alone
    def stages(self, sample: Sample, count: int) -> Sequence[str]:
        """So many stages, evenly spaced to the last; a ValueError where none gives feature maps."""
        return self.of.map_layers(count, sample.input)

    def seen(self, sample: Sample) -> Image.Image:
        """The image as the network sees it."""
        return Image.fromarray((rgb(sample.image) * 255).round().astype("uint8"))

    @_alone
    def evidence(self, sample: Sample, method: str, label: int) -> Image.Image:
        """Where the evidence for a class is, as a red image that is clear elsewhere, of the size of
        `seen`. Raises a ValueError for an unknown method, and where the method does.
        """
        if method not in METHODS:
            raise ValueError(f"no method {method!r}; choose from {', '.join(METHODS)}")
        values = METHODS[method](self, sample, label)
        values = values.clamp(min=0) / values.max().clamp(min=1e-12)
        size = self.seen(sample).size
        alpha = F.interpolate(values[None, None].float(), size[::-1], mode="bilinear")[0, 0]
        red = Image.new("RGBA", size, (*RED, 0))
        red.putalpha(Image.fromarray((alpha.clamp(0, 1) * 255).round().to(torch.uint8).numpy()))
        return red

    @_alone
    def maps(self, sample: Sample, layer: str) -> tuple[Image.Image, int]:
        """The strongest maps of a layer side by side, and how many it has.

        Zero is middle grey. Raises a ValueError for an unknown layer.
        """
        (found,) = feature_maps(self.network, sample.input, [layer])
        tiles = around_grey(found.maps[list(found.order[:MOST_MAPS])])[:, None]
        return _tiled(tiles, COLUMNS), len(found.maps)

    @_alone
    def deconvnet(self, sample: Sample, layer: str) -> Image.Image:
        """The strongest activations of a layer's strongest maps projected back to the pixels, side
        by side (Zeiler, Fergus, section 2.1). Raises a ValueError where `deconv` does.
        """
        found = deconv(self.network, sample.input, layer, count=PATCHES)
        return _tiled(torch.stack([around_grey(one) for one in found.reconstructions]), PATCHES)

    @_alone
    def patches(self, layer: str) -> tuple[Image.Image, tuple[int, ...]]:
        """The parts of test images that activate a layer's strongest maps most, a row for each,
        and the numbers of these maps (ZFNet, Figure 2). Raises a ValueError without the data.
        """
        images = self.of.test
        found = strongest_activations(
            self.network, images.inputs, layer, count=PATCHES, max_maps=MAPS
        )
        cut = [
            cut_patch(images.images[int(at)], box)
            for row, boxes in zip(found.images, found.boxes, strict=True)
            for at, box in zip(row, boxes, strict=True)
        ]
        return _tiled(_of_one_size(cut), found.images.shape[1]), found.maps

    @_alone
    def nearest(self, sample: Sample) -> list[Neighbour]:
        """The training images whose features are nearest, the nearest first.

        Features are what the last layer reads; their distance is Euclidean (AlexNet, section 6.1).
        Raises a ValueError where the data are gone.
        """
        own = predict_all(self.network, sample.input[None], torch.zeros(1, dtype=torch.long))
        far = torch.cdist(own.features, self._training.features)[0]
        images = self.of.train
        return [
            Neighbour(
                Image.fromarray((rgb(images.images[at]) * 255).round().astype("uint8")),
                self.classes[int(images.labels[at])],
                float(far[at]),
            )
            for at in far.argsort(stable=True)[:NEAREST].tolist()
        ]

    @cached_property
    def _training(self) -> Predictions:
        images = self.of.train
        return predict_all(self.network, images.inputs, images.labels)

    def _hidden(self, sample: Sample, label: int) -> Tensor:
        """How much less probable the class is where a grey square hides the image."""
        grey = self.of.config.scaling(torch.full((1, *self.of.config.input), 127).byte())[0]
        found = occlusion(self.network, sample.input, label, grey=grey)
        return found.whole_probability - found.probability


def _tiled(tiles: Tensor, columns: int) -> Image.Image:
    pixels = montage(tiles, min(columns, len(tiles))).clamp(0, 1) * 255
    return Image.fromarray(pixels.permute(1, 2, 0).round().to(torch.uint8).numpy())


def _of_one_size(patches: Sequence[Tensor]) -> Tensor:
    """Patches enlarged to the size of the largest of them."""
    size = [max(patch.shape[axis] for patch in patches) for axis in (1, 2)]
    return torch.cat([F.interpolate(patch[None], size, mode="nearest") for patch in patches])


METHODS: dict[str, Callable[[Explainer, Sample, int], Tensor]] = {
    "Grad-CAM": lambda self, sample, label: grad_cam(self.network, sample.input, label).values,
    "occlusion": Explainer._hidden,
    "gradients": lambda self, sample, label: (
        saliency(self.network, sample.input, label).abs().amax(0)
    ),
}
