"""Functions and methods without a module, after a convolution: none is told a false number."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from classicnets.measure import measure

SIDE = 14
SIZE = (1, SIDE, SIDE)
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "einsum": lambda x: torch.einsum("bchw,bchv->bcwv", x, x),
    "einsum over maps": lambda x: torch.einsum("bchw,dc->bdhw", x, x.new_ones(5, 4)),
    "tensordot": lambda x: torch.tensordot(x, x.new_ones(12, 3), 1),
    "matmul": lambda x: x @ x.mT,
    "baddbmm": lambda x: torch.baddbmm(x[:, 0], x[:, 1], x[:, 2]),
    "pixel_unshuffle": lambda x: F.pixel_unshuffle(x, 2),
    "unfold": lambda x: F.unfold(x, 3),
    "fold": lambda x: F.fold(F.unfold(x, 3), (12, 12), 3),
    **{f"interpolate {mode}": lambda x, mode=mode: F.interpolate(x, scale_factor=2, mode=mode)
       for mode in ("nearest", "nearest-exact", "bilinear", "bicubic", "area")},
    **{f"interpolate {mode} down": lambda x, mode=mode: F.interpolate(x, size=(6, 6), mode=mode)
       for mode in ("nearest", "nearest-exact", "bilinear", "bicubic", "area")},
    **{f"interpolate {mode} smoothed": lambda x, mode=mode: F.interpolate(
        x, size=(6, 6), mode=mode, antialias=True) for mode in ("bilinear", "bicubic")},
    "roll": lambda x: x.roll(1, 2),
    "roll maps": lambda x: x.roll(1, 1),
    "flip": lambda x: x.flip(2),
    "cumsum": lambda x: x.cumsum(2),
    "cumsum of maps": lambda x: x.cumsum(1),
    "diff": lambda x: x.diff(dim=2),
    "adaptive to 5": lambda x: F.adaptive_avg_pool2d(x, 5),
    "adaptive to 6": lambda x: F.adaptive_max_pool2d(x, 6),
    "pool with dilation": lambda x: F.max_pool2d(x, 2, 1, dilation=2),
    "pool with ceil_mode": lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
    "normalize": F.normalize,
    "normalize a side": lambda x: F.normalize(x, dim=2),
    "layer_norm of maps": lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2),
    "layer_norm of rows": lambda x: F.layer_norm(x, (12,)),
    "rms_norm of maps": lambda x: F.rms_norm(x.permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2),
    "rms_norm of rows": lambda x: F.rms_norm(x, (12,)),
    "softmax of a side": lambda x: x.softmax(2),
    "logsumexp": lambda x: x.logsumexp(1, keepdim=True),
    "deviation": lambda x: x - x.std((2, 3), keepdim=True),
    "attention of channels": lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(),
    "sort": lambda x: x.sort(2)[0],
    "topk": lambda x: x.topk(2, 1)[0],
    "gather": lambda x: x.gather(2, torch.zeros_like(x, dtype=torch.long)),
    "reflection": lambda x: F.pad(x, (1, 1, 1, 1), "reflect"),
    "cropping": lambda x: F.pad(x, (-1, -1, -1, -1)),
    "slices": lambda x: x[:, :, ::2, 1:],
    "rot90": lambda x: x.rot90(1, (2, 3)),
    "repeat_interleave": lambda x: x.repeat_interleave(2, 2),
    "parts of a side": lambda x: torch.cat([part.mean(2, True) for part in x.split(5, 2)], 2),
    "conv_transpose": lambda x: F.conv_transpose2d(x, x.new_ones(4, 2, 2, 2), stride=2),
    "mish": F.mish,
    "erf": torch.erf,
}  # fmt: skip


class After(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.conv, self.function = nn.Conv2d(1, 4, 3), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.conv(x))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_numbers_of_a_function_are_true_or_unknown(bytes_saved, name):
    report = measure(After(FUNCTIONS[name]), SIZE, batch=2)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        After(FUNCTIONS[name])(torch.empty(2, *SIZE))
    assert report.totals.macs == counter.get_total_flops() // 2
    assert report.totals.saved_bytes == bytes_saved(After(FUNCTIONS[name]), torch.rand(2, *SIZE))
    last = report.layers[-1]
    if last.receptive_field is None:
        return
    for side in (0, 1):
        field, stride, offset = (
            v[side] if isinstance(v, tuple) else v
            for v in (last.receptive_field, last.stride, last.offset)
        )
        seen = support(After(FUNCTIONS[name]), side)
        told = [range(SIDE)[max(0, offset + i * stride) : offset + i * stride + field]
                for i in range(len(seen))]  # fmt: skip
        assert seen == [(pixels[0], pixels[-1]) for pixels in told], f"side {side}"


def support(network: nn.Module, side: int) -> list[tuple[int, int]]:
    """The first and last pixel along this side of the image that each position depends on."""
    seen: dict[int, set[int]] = {}
    network = network.double()
    for _ in range(8):  # a maximum depends on some of its inputs at a time
        image = (3 * torch.randn(1, *SIZE, dtype=torch.double)).requires_grad_()
        positions = network(image).movedim(side - 2, 0).flatten(1)
        for i, values in enumerate(positions):
            weighted = (values * torch.rand_like(values)).sum()
            (gradient,) = torch.autograd.grad(weighted, image, retain_graph=True)
            rows = gradient[0].movedim(side + 1, 0).flatten(1).abs().sum(1)
            seen.setdefault(i, set()).update(rows.nonzero().flatten().tolist())
    return [(min(pixels), max(pixels)) for _, pixels in sorted(seen.items())]


def test_attention_is_counted_by_its_products_and_what_it_keeps_is_said_to_vary():
    attend = After(lambda x: F.scaled_dot_product_attention(x, x, x))
    report = measure(attend, SIZE)
    # 4 heads of 12 rows of 12 values: the scores, and the weighted sums
    assert report.totals.macs == 144 * 4 * 9 + 2 * 4 * 12**3
    assert report.fused == ("scaled_dot_product_attention",)
