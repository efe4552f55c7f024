"""One image explained: its likeliest classes, where the evidence for one is, and what layers see.

`see` writes the same as plates; here each is an image of its own, for who looks step by step.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from classicnets.data.image_file import open_image
from classicnets.support.devices import select_device
from classicnets.visualize.cam import grad_cam
from classicnets.visualize.features import feature_maps
from classicnets.visualize.gradients import saliency
from classicnets.visualize.occlusion import occlusion
from classicnets.visualize.tiles import around_grey, montage, rgb

from .inspection import Inspection, Sample
from .pretrained import open_trained
from .runs import Source, load_best

MOST_MAPS, COLUMNS, MOST_LAYERS = 32, 16, 8
MOST_PIXELS = 50_000_000  # of an image that is sent


class Explainer:
    """A trained network, opened once to explain any number of images.

    Raises a ValueError for an unknown device, and where `load` does.
    """

    def __init__(self, run: str | Path, network: Source = None, device: str = "auto"):
        where = select_device(device)
        opened = open_trained(run)
        self.network = load_best(opened, network).to(where)
        self.classes = opened.config.classes
        self.channels = opened.config.input[0]
        self.of = Inspection(opened, self.network, network, [], [], None, limit=10)

    def read(self, image: Path | Image.Image, name: str) -> Sample:
        """An image as the network reads it. Raises a ValueError where it cannot be read."""
        try:
            if isinstance(image, Path):
                with open_image(image) as opened:
                    _require_few_pixels(opened)
            (sample,) = self.of.read(image)
        except ValueError as error:
            raise ValueError(str(error).replace(str(image), name)) from None
        return sample._replace(name=name)

    def top(self, sample: Sample, count: int = 5) -> list[tuple[int, str, float]]:
        """The likeliest classes: the number, the name and the probability of each."""
        order = sample.probability.argsort(descending=True, stable=True)[:count].tolist()
        return [(k, self.classes[k], float(sample.probability[k])) for k in order]

    def layers(self, sample: Sample) -> Sequence[str]:
        """Stages and fully connected layers, with the first and the last, in order."""
        return self.of.feature_layers(sample.input, MOST_LAYERS)

    def seen(self, sample: Sample) -> Image.Image:
        """The image as the network sees it."""
        return Image.fromarray((rgb(sample.image) * 255).round().astype("uint8"))

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
        red = Image.new("RGBA", size, (230, 30, 30, 0))
        red.putalpha(Image.fromarray((alpha.clamp(0, 1) * 255).round().to(torch.uint8).numpy()))
        return red

    def maps(self, sample: Sample, layer: str) -> tuple[Image.Image, int]:
        """The strongest maps of a layer side by side, and how many it has.

        Zero is middle grey. Raises a ValueError for an unknown layer.
        """
        (found,) = feature_maps(self.network, sample.input, [layer])
        tiles = around_grey(found.maps[list(found.order[:MOST_MAPS])])[:, None]
        pixels = montage(tiles, min(COLUMNS, len(tiles))).clamp(0, 1) * 255
        image = Image.fromarray(pixels.permute(1, 2, 0).round().to(torch.uint8).numpy())
        return image, len(found.maps)

    def _hidden(self, sample: Sample, label: int) -> Tensor:
        """How much less probable the class is where a grey square hides the image."""
        grey = self.of.config.scaling(torch.full((1, *self.of.config.input), 127).byte())[0]
        found = occlusion(self.network, sample.input, label, grey=grey)
        return found.whole_probability - found.probability


def _require_few_pixels(image: Image.Image) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise ValueError(f"{image.width} x {image.height} pixels; at most {MOST_PIXELS:,} are read")


METHODS: dict[str, Callable[[Explainer, Sample, int], Tensor]] = {
    "Grad-CAM": lambda self, sample, label: grad_cam(self.network, sample.input, label).values,
    "occlusion": Explainer._hidden,
    "gradients": lambda self, sample, label: (
        saliency(self.network, sample.input, label).abs().amax(0)
    ),
}
