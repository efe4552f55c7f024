"""The modules that are exported: a network in standard layers, and images of any size before it."""

from typing import Any

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor, nn

from classicnets.data.crops import centre_boxes
from classicnets.data.resample import weights_along
from classicnets.data.scaling import Scaling
from classicnets.layers.lrn import LocalResponseNorm
from classicnets.layers.wiring import Network
from classicnets.models.lenet import PartialConv2d, Subsample
from classicnets.training.execution.inference import fold_batch_norm, shared_copy

from .job import Job


class Scores(nn.Module):
    """Scaled images (n, c, h, w) -> scores (n, classes), both float32, computed in `dtype`.

    A network that subtracts a mean image gets the means of its channels subtracted like the others;
    what the image has beyond them is in here.
    """

    offset: Tensor | None

    def __init__(self, network: nn.Module, scaling: Scaling, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.network, self.dtype = network.to(dtype), dtype
        self.register_buffer("offset", _beyond_the_means(scaling))

    def forward(self, images: Float32[Tensor, "n c h w"]) -> Float32[Tensor, "n classes"]:
        x = images if self.offset is None else images + self.offset
        run = self.network.run if isinstance(self.network, Network) else self.network
        return run(x.to(self.dtype)).float()


class FromBytes(nn.Module):
    """Images as bytes, (n, h, w, c) of any h and w -> scores (n, classes).

    The centre square is resized to `side`, bicubic and antialiased with bytes between the two
    directions as in Pillow, then cropped and scaled, as `predict` does.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, scores: Scores, scaling: Scaling, side: int, crop: int):
        super().__init__()
        self.scores, self.side, self.crop = scores, side, crop
        for name in ("scale", "shift"):
            values = torch.tensor(getattr(scaling, name))
            self.register_buffer(name, values[:, None, None])

    def forward(self, images: UInt8[Tensor, "n h w c"]) -> Float32[Tensor, "n classes"]:
        x = images.permute(0, 3, 1, 2).float()
        h, w = x.shape[2:]  # symbols while it is exported
        top, left, length, _ = centre_boxes(torch.tensor([[h, w]]), self.side, self.side).unbind(1)
        columns = weights_along(left, length, self.side, w)
        rows = weights_along(top, length, self.side, h)
        x = _as_bytes(rows @ _as_bytes(x @ columns.transpose(1, 2)))
        at = (self.side - self.crop) // 2
        x = x[:, :, at : at + self.crop, at : at + self.crop]
        return self.scores(x * self.scale + self.shift)


def exportable(job: Job, standard_lrn: bool = False) -> tuple[nn.Module, Tensor]:
    """The module that a job exports, and an example of its input of two images.

    `standard_lrn` puts torch's layer in the place of ours, for files that torch alone opens.
    """
    dtype = torch.float16 if job.precision == "fp16" else torch.float32
    network = in_standard_layers(job.network, job.fold, standard_lrn)
    scaling, (c, crop, _) = job.config.scaling, job.config.input
    module: nn.Module = Scores(network, scaling, dtype)
    example = torch.zeros(2, c, crop, crop)
    if job.with_preprocessing:
        module = FromBytes(module, scaling, job.config.side, crop)
        example = torch.zeros(2, 61, 83, c, dtype=torch.uint8)
    return module.eval(), example


def in_standard_layers(network: nn.Module, fold: bool, standard_lrn: bool) -> nn.Module:
    """A copy that shares the weights, of layers that every engine has.

    With `fold` batch normalisation goes into the convolution before it.
    """
    network = shared_copy(network.eval())
    if fold and isinstance(network, Network):  # of others the order of layers is not known
        fold_batch_norm(network)
    for holder in list(network.modules()):
        for name, layer in list(holder.named_children()):
            if standard := _standard(layer, standard_lrn):
                setattr(holder, name, standard.eval())
    return network


@torch.no_grad()
def _standard(layer: nn.Module, standard_lrn: bool) -> nn.Module | None:
    """A layer of torch that computes the same, for LeNet's two and response normalisation."""
    if isinstance(layer, PartialConv2d):
        conv = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size)
        return _filled(conv, layer.dense_weight(), layer.bias)
    if isinstance(layer, Subsample):  # exporters drop the divisor of its average pooling
        maps = len(layer.bias)
        conv = nn.Conv2d(maps, maps, 2, stride=2, groups=maps)
        coefficient = layer.coefficient[:, None].expand(maps, 1, 2, 2)
        return _filled(conv, coefficient, layer.bias.flatten())
    if standard_lrn and isinstance(layer, LocalResponseNorm):
        alpha = layer.alpha * layer.size  # which torch divides by the window
        return nn.LocalResponseNorm(layer.size, alpha, layer.beta, layer.k)
    return None


def _filled(conv: nn.Conv2d, weight: Tensor, bias: Any) -> nn.Conv2d:
    conv.weight.copy_(weight)
    conv.bias.copy_(bias)  # pyright: ignore[reportOptionalMemberAccess]
    return conv.requires_grad_(False)


def _beyond_the_means(scaling: Scaling) -> Tensor | None:
    """(c, h, w) to add to scaled pixels, so that in all a mean image is subtracted."""
    if scaling.image is None:
        return None
    scale, shift = (torch.tensor(v)[:, None, None] for v in (scaling.scale, scaling.shift))
    return -scaling.image * scale - shift


def _as_bytes(x: Tensor) -> Tensor:
    return x.round().clamp(0, 255)
