"""Local response normalisation equals its formula and derivative, in any shape and precision."""

import pytest
import torch
from hypothesis import given, settings, strategies as st

from classicnets.layers.lrn import CONVENTIONS, LocalResponseNorm


def _formula(x: torch.Tensor, layer: LocalResponseNorm) -> torch.Tensor:
    """The printed sum, map by map, in operators that autograd differentiates."""
    maps, half = x.shape[1], layer.size // 2
    rows = []
    for i in range(maps):
        window = x[:, max(0, i - half) : min(maps - 1, i + half) + 1]
        scale = layer.k + layer.alpha * window.square().sum(dim=1)
        rows.append(x[:, i] / scale**layer.beta)
    return torch.stack(rows, dim=1)


layers = st.builds(
    LocalResponseNorm,
    size=st.sampled_from([1, 3, 5, 7, 9]),
    alpha=st.floats(1e-4, 1),
    beta=st.sampled_from([0.75]) | st.floats(0.1, 2),
    k=st.floats(0.5, 3),
    convention=st.sampled_from(list(CONVENTIONS)),
)
# also fewer maps than the window
sizes = st.tuples(st.integers(1, 3), st.integers(1, 8), st.integers(1, 3), st.integers(1, 3))


@given(layers, sizes, st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_values_and_gradients_are_those_of_the_formula(layer, size, seed):
    x = 3 * torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    x.requires_grad_()
    y, expected = layer(x), _formula(x, layer)
    torch.testing.assert_close(y, expected)
    upstream = torch.linspace(-1, 2, x.numel(), dtype=torch.float64).view(size)
    (grad,) = torch.autograd.grad(y, x, upstream)
    (expected_grad,) = torch.autograd.grad(expected, x, upstream)
    torch.testing.assert_close(grad, expected_grad)


@pytest.mark.parametrize("size", [1, 3, 5, 9])
@pytest.mark.parametrize("beta", [0.5, 0.75])
def test_the_backward_pass_is_the_derivative_of_the_forward_pass(size, beta):
    layer = LocalResponseNorm(size, alpha=0.3, beta=beta)
    x = torch.randn(2, 6, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)


# from torch 2.15 on opcheck reads the gradient of a tensor that does not retain it
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_the_operator_passes_opcheck():
    x = torch.randn(2, 6, 3, 3, requires_grad=True)
    torch.library.opcheck(torch.ops.classicnets.lrn.default, (x, 5, 1e-4, 0.75, 2.0))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_memory_layout_is_preserved_forward_and_backward(layout):
    x = torch.randn(2, 8, 5, 5).to(memory_format=layout).requires_grad_()
    y = LocalResponseNorm()(x)
    (grad,) = torch.autograd.grad(y.square().sum(), x)
    assert y.is_contiguous(memory_format=layout)
    assert grad.is_contiguous(memory_format=layout)
    contiguous = x.detach().contiguous().requires_grad_()
    torch.testing.assert_close(y, LocalResponseNorm()(contiguous))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(dtype):
    # 300^2 is beyond float16, and bfloat16 cannot add 1 to 1000
    x = 300 * torch.randn(1, 16, 4, 4).to(dtype)
    layer = LocalResponseNorm(9, alpha=1e-3)
    y = layer(x.requires_grad_())
    exact = x.detach().float().requires_grad_()
    expected = layer(exact)
    assert y.dtype == dtype
    torch.testing.assert_close(y, expected.to(dtype), rtol=torch.finfo(dtype).eps, atol=0)
    (grad,) = torch.autograd.grad(y.sum(), x)
    (expected_grad,) = torch.autograd.grad(expected.sum(), exact)
    assert grad.dtype == dtype
    rtol = 2 * torch.finfo(dtype).eps
    torch.testing.assert_close(grad, expected_grad.to(dtype), rtol=rtol, atol=1e-6)


def test_the_input_is_left_unchanged():
    x = torch.randn(2, 6, 3, 3)
    before = x.clone()
    LocalResponseNorm()(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("size", [0, 2, 4, -1])
def test_an_even_or_empty_window_is_rejected(size):
    with pytest.raises(ValueError, match=f"size must be odd.* not {size}"):
        LocalResponseNorm(size)


def test_an_unknown_convention_is_rejected_with_the_known_ones():
    with pytest.raises(ValueError, match=r"paper, cuda-convnet, caffe, not 'tensorflow'"):
        LocalResponseNorm(convention="tensorflow")
