"""ZFNet's layers: where planted objects lie, and measures of filters worked out by hand."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import classicnets as cn
from classicnets.data.images import Images
from classicnets.data.published import digits
from classicnets.data.sets import open_data
from classicnets.experiments.outcomes import Outcome
from classicnets.experiments.plan import Member
from classicnets.layers.wiring import Network
from classicnets.studies import zfnet_layers
from classicnets.studies.lab import Lab
from classicnets.studies.zfnet_layers import (
    OBJECT,
    SHOWN,
    SIDE,
    hides_most,
    planted,
    projected,
)
from classicnets.training.run.directory import Run

OUTCOME = Outcome(Member("x", 0, 1), 0.0, 0.0, 1, 0.0, ())


def a_run(**config: Any) -> Run:
    run = object.__new__(Run)
    run.directory, run.config = Path(), SimpleNamespace(**config)  # type: ignore[assignment]
    return run


def test_each_digit_is_where_it_was_planted_and_all_else_is_noise():
    splits, corners = planted()
    source = digits(OBJECT, 1).test
    assert isinstance(source, Images)
    assert isinstance(splits.test, Images)
    assert len(corners) == len(splits.test) == len(source)
    assert corners.min() == 0
    assert corners.max() == SIDE - OBJECT
    for image, digit, (y, x) in zip(
        splits.test.pixels[:, 0].clone(), source.pixels[:, 0], corners.tolist(), strict=True
    ):
        square = image[y : y + OBJECT, x : x + OBJECT]
        assert (square >= digit).all()
        assert (square[digit >= 64] == digit[digit >= 64]).all()
        square.zero_()
        assert image.max() < 64
    assert len(splits.train) == 2 * len(digits(OBJECT, 1).train)
    assert torch.equal(splits.test.labels, source.labels)


def test_the_file_has_the_planted_images_and_is_written_once(tmp_path, monkeypatch):
    opened = []

    def trained(lab: Lab, *given: Any, **how: Any) -> None:
        path = Path(lab.data)
        opened.append((open_data(path, SIDE, 1), path.stat().st_mtime_ns))
        raise InterruptedError

    monkeypatch.setattr(Lab, "trained", trained)
    for _ in range(2):
        with pytest.raises(InterruptedError):
            cn.study("zfnet-planted", tmp_path)
    (first, before), (_, after) = opened
    assert before == after
    found, ours = first.test, planted()[0].test
    assert isinstance(found, Images)
    assert isinstance(ours, Images)
    assert torch.equal(found.pixels, ours.pixels)


class Looks(nn.Module):
    """Gives class 1 where one square of the image is bright."""

    def __init__(self, y: int, x: int):
        super().__init__()
        self.square = slice(y, y + 3), slice(x, x + 3)
        self.conv = nn.Conv2d(1, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        seen = self.conv(images)[:, 0, *self.square].mean((1, 2))
        return torch.stack([-seen, seen], 1)


@pytest.mark.parametrize(("y", "x"), [(1, 1), (13, 3), (8, 16)])
def test_the_square_that_hides_what_a_network_looks_at_is_found(y, x):
    network = Looks(y, x).eval()
    nn.init.ones_(network.conv.weight)
    found = hides_most(network, torch.ones(1, SIDE, SIDE), 1)
    assert found.sum() == 1
    ((row, column),) = found.nonzero().tolist()
    # the square of 5x5 around it covers all of the 3x3, or as much as its places allow
    assert abs(row - (y + 1)) <= 1
    assert abs(column - (x + 1)) <= 1


def test_what_is_projected_back_lies_where_the_activation_was():
    conv5 = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    nn.init.constant_(conv5.weight, 2.0)
    network = Network(conv5=conv5, flatten=nn.Flatten(), fc=nn.Linear(SIDE**2, 10)).eval()
    image = torch.zeros(1, SIDE, SIDE)
    image[0, 4:7, 9:12] = 1.0
    # the strongest activation is 9 x 2, in the middle; each weight gives (18 x 2)^2 of energy
    expected = torch.zeros(SIDE, SIDE)
    expected[4:7, 9:12] = 36.0**2
    torch.testing.assert_close(projected(network, image, 0), expected)


def test_the_share_on_the_object_counts_what_lies_on_it(monkeypatch):
    run = a_run(scaling=Tensor.float)
    monkeypatch.setattr(zfnet_layers, "load", lambda directory: nn.Identity())

    def ink(network: nn.Module, image: Tensor, label: int) -> Tensor:
        return (image[0] >= 64).float()  # brighter than any noise

    assert zfnet_layers._share(ink, 0)(OUTCOME, run) == pytest.approx(100)
    corners = planted()[1][:SHOWN].tolist()
    area = [
        max(0, OBJECT - abs(a - c)) * max(0, OBJECT - abs(b - d)) / OBJECT**2
        for (a, b), (c, d) in zip(corners, [*corners[1:], corners[0]], strict=True)
    ]

    def whole(network: nn.Module, image: Tensor, label: int) -> Tensor:
        return zfnet_layers._at(corners[next(counted)], torch.ones(OBJECT, OBJECT))

    counted = iter(range(SHOWN))
    overlap = zfnet_layers._share(whole, 1)(OUTCOME, run)
    assert overlap == pytest.approx(100 * sum(area) / SHOWN)


def test_high_frequencies_of_filters_whose_spectrum_is_known(monkeypatch):
    run = a_run()
    conv1 = nn.Conv2d(3, 2, 7)
    monkeypatch.setattr(zfnet_layers, "load", lambda directory: Network(conv1=conv1))
    delta = torch.zeros(2, 3, 7, 7)
    delta[..., 3, 3] = 1.0  # all frequencies alike: 17 of 32 are at most a quarter, on each axis
    conv1.weight = nn.Parameter(delta)
    assert zfnet_layers._high(OUTCOME, run) == pytest.approx(100 * (1 - (17 / 32) ** 2))
    wave = torch.arange(32) * 2 * torch.pi / 32
    for cycles, share in ((4, 0.0), (8, 0.0), (9, 100.0), (16, 100.0)):  # of 32 pixels
        conv1.weight = nn.Parameter((wave * cycles).cos().repeat(2, 3, 32, 1))
        assert zfnet_layers._high(OUTCOME, run) == pytest.approx(share, abs=1e-3)


def test_filters_that_hardly_vary_are_dead(monkeypatch):
    conv1 = nn.Conv2d(3, 4, 1)
    nn.init.zeros_(conv1.weight)
    with torch.no_grad():
        for k, weight in enumerate((1.0, 0.2, 0.09, 0.0)):  # of which two are below a tenth
            conv1.weight[k, 0] = weight
    images = Images(torch.randint(256, (300, 3, 32, 32)).byte(), torch.arange(300) % 10)
    run = a_run(scaling=lambda x: x.float() / 64, data="", classes=())
    monkeypatch.setattr(zfnet_layers, "load", lambda directory: Network(conv1=conv1))
    monkeypatch.setattr(zfnet_layers, "open_test", lambda *given: SimpleNamespace(images=images))
    assert zfnet_layers._dead(OUTCOME, run) == 50.0
