"""Layers that are called several times, shared or without a module are counted call by call."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from classicnets.measure import measure
from classicnets.visualize.cam import grad_cam

SIZE = (3, 12, 12)


def conv() -> nn.Conv2d:
    return nn.Conv2d(4, 4, 3, padding=1)


class Odd(nn.Module):
    """A convolution, what a network makes of its maps, and a fully connected layer."""

    def __init__(self):
        super().__init__()
        self.first, self.conv, self.act = nn.Conv2d(3, 4, 3, padding=1), conv(), nn.ReLU()
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(self.first(x)).mean((2, 3)))

    def body(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class InTwoContainers(Odd):
    def __init__(self):
        super().__init__()
        block = nn.Sequential(self.conv, self.act)
        self.a, self.more = block, nn.ModuleList([block, nn.Sequential(conv(), self.act)])

    def body(self, x: Tensor) -> Tensor:
        return self.more[1](self.more[0](self.a(x)))


class TiedWeights(Odd):
    def __init__(self):
        super().__init__()
        self.other = conv()
        self.other.weight = self.conv.weight

    def body(self, x: Tensor) -> Tensor:
        return self.act(self.other(self.act(self.conv(x))))


class Dictionary(nn.Module):
    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, given: dict[str, Tensor], *, scale: float = 1.0) -> dict[str, object]:
        maps = self.inner(given["maps"]) * scale
        return {"maps": maps, "more": [None, (maps,)]}


class ThroughDictionaries(Odd):
    def __init__(self):
        super().__init__()
        self.a, self.b = Dictionary(self.conv), Dictionary(self.conv)

    def body(self, x: Tensor) -> Tensor:
        return self.act(self.b(self.a({"maps": x}, scale=2.0))["maps"])


class Functional(Odd):
    def body(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = F.relu(F.conv2d(x, self.conv.weight, self.conv.bias, padding=1))
        return self.act(x)


class Loop(Odd):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(4)

    def body(self, x: Tensor) -> Tensor:
        for _ in range(4):
            x = x + self.act(self.norm(self.conv(x)))
        return x


class ManySizes(Odd):
    def body(self, x: Tensor) -> Tensor:
        for _ in range(2):
            x = F.max_pool2d(self.act(self.conv(x)), 2)
        return self.act(self.conv(x))


class Pair(nn.Module):
    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return self.inner(y), self.inner(x)


class Swapped(Odd):
    def __init__(self):
        super().__init__()
        self.pair = Pair(self.conv)

    def body(self, x: Tensor) -> Tensor:
        a, b = self.pair(*self.pair(x, 2 * x))
        return self.act(a - b)


class Alias(Odd):
    def __init__(self):
        super().__init__()
        self.same, self.unused = self.conv, conv()

    def body(self, x: Tensor) -> Tensor:
        return self.act(self.same(self.act(self.conv(x))))


class Checkpointed(Odd):
    def body(self, x: Tensor) -> Tensor:
        again = checkpoint(lambda maps: self.act(self.conv(maps)), x, use_reentrant=False)
        assert isinstance(again, Tensor)
        return self.act(self.conv(again))


class CallsItself(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 5)

    def forward(self, x: Tensor, times: int = 2) -> Tensor:
        return self(self.conv(x).relu(), times - 1) if times else self.fc(x.mean((2, 3)))


# convolutions of 4 to 4 maps, beside the first one and the fully connected layer
TIMES = {
    InTwoContainers: 3, TiedWeights: 2, ThroughDictionaries: 2, Functional: 3, Loop: 4,
    Swapped: 4, Alias: 2, Checkpointed: 2,
}  # fmt: skip
FIRST, EACH, LAST = 144 * 4 * 27, 144 * 4 * 36, 4 * 5
MACS = {kind: FIRST + times * EACH + LAST for kind, times in TIMES.items()} | {
    ManySizes: FIRST + EACH + EACH // 4 + EACH // 16 + LAST,
    CallsItself: 2 * 144 * 3 * 27 + 3 * 5,
}


@pytest.mark.parametrize("kind", list(MACS))
def test_every_call_of_a_layer_is_counted_and_its_parameters_once(kind):
    report = measure(kind(), SIZE)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        kind()(torch.empty(1, *SIZE))
    assert report.totals.macs == MACS[kind] == counter.get_total_flops() // 2
    unused = sum(report.unused.values())
    assert report.totals.params + unused == sum(p.numel() for p in kind().parameters())
    assert unused == (148 if kind is Alias else 0)
    names = [layer.name for layer in report.layers]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("kind", list(MACS))
def test_the_class_activation_map_is_that_of_the_last_call_with_maps(kind):
    side = 3 if kind is ManySizes else 12
    assert grad_cam(kind(), torch.rand(SIZE)).values.shape == (side, side)
