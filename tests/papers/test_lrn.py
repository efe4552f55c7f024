"""Local response normalisation against the formula of AlexNet, section 3.3, and its conventions."""

import pytest
import torch
from torch.nn import functional as F

from classicnets.layers.lrn import LocalResponseNorm


def _as_printed(a: list[float], k: float, n: int, alpha: float, beta: float) -> list[float]:
    """b_i = a_i / (k + alpha * sum from max(0, i - n/2) to min(N - 1, i + n/2) of a_j^2)^beta."""
    return [
        a[i] / (k + alpha * sum(a[j] ** 2 for j in range(max(0, i - n // 2),
                                                         min(len(a) - 1, i + n // 2) + 1))) ** beta
        for i in range(len(a))
    ]  # fmt: skip


@pytest.fixture
def maps() -> torch.Tensor:
    return 100 * torch.randn(2, 12, 3, 3, dtype=torch.float64)


def test_it_is_the_printed_formula(maps):
    got = LocalResponseNorm()(maps)
    for image in range(2):
        for y in range(3):
            for x in range(3):
                expected = _as_printed(maps[image, :, y, x].tolist(), 2, 5, 1e-4, 0.75)
                assert got[image, :, y, x].tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("convention", "alpha", "k"),
    # torch divides alpha by the window of 5
    [("paper", 5e-4, 2), ("cuda-convnet", 1e-4, 2), ("caffe", 1e-4, 1)],
)
def test_each_convention_equals_torchs_layer_with_its_constants(maps, convention, alpha, k):
    got = LocalResponseNorm(convention=convention)(maps)
    torch.testing.assert_close(
        got, F.local_response_norm(maps, 5, alpha, 0.75, k), rtol=1e-12, atol=0
    )


def test_torchs_layer_with_the_printed_constants_is_another_function():
    tens = torch.full((1, 5, 1, 1), 10.0)
    ours, theirs = LocalResponseNorm()(tens), F.local_response_norm(tens, 5, 1e-4, 0.75, 2)
    # by hand: 10 / (2 + 1e-4 * 500)^0.75, and with 2e-5 in place of 1e-4
    assert round(ours[0, 2].item(), 4) == 5.8369
    assert round(theirs[0, 2].item(), 4) == 5.9238


def test_k_defaults_to_the_conventions():
    assert LocalResponseNorm(convention="caffe").k == 1
    assert LocalResponseNorm(convention="caffe", k=2.0).k == 2
