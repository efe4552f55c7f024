"""Deconvnet as ZFNet's paper describes it (section 2.1), compared with independent computations."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from classicnets.layers.lrn import LocalResponseNorm
from classicnets.layers.wiring import Concat, Residual, chain
from classicnets.models.alexnet import alexnet
from classicnets.models.googlenet import googlenet
from classicnets.models.lenet import lenet5
from classicnets.models.resnet import resnet, resnet_cifar
from classicnets.models.zfnet import zfnet
from classicnets.visualize.deconv import deconv, reconstruct


def convolution(weights: list, **options) -> nn.Conv2d:
    """A convolution with these weights and a bias that must not affect the reconstruction."""
    w = torch.tensor(weights).float()
    layer = nn.Conv2d(w.shape[1] * options.get("groups", 1), w.shape[0], w.shape[2], **options)
    layer.weight.data, layer.bias.data = w, torch.full((len(w),), 0.5)
    return layer


def test_a_reconstruction_worked_out_by_hand():
    network = chain(conv=convolution([[[[1, -1], [2, 0]]]]), relu=nn.ReLU(), pool=nn.MaxPool2d(2))
    image = torch.tensor([[[0.0, 1, 0], [2, 0, 1], [0, 3, 0]]])
    # conv: [0-1+4, 1-0+0; 2-0+0, 0-1+6] + 1/2; the pool takes the 5.5 at the bottom right
    found = deconv(network, image, "pool")
    assert found.values.tolist() == [5.5]
    assert found.positions.tolist() == [[0, 0]]
    by_hand = [[[0, 0, 0], [0, 5.5, -5.5], [0, 11, 0]]]  # 5.5 times the kernel, at the switch
    assert found.reconstructions.tolist() == [by_hand]
    assert found.applied == {"relu": 1, "max_pool2d": 1}


def matrix(layer, shape: tuple[int, ...]) -> Tensor:
    """A linear layer as a matrix, column by column."""
    basis = torch.eye(torch.Size(shape).numel(), dtype=torch.double).view(-1, *shape)
    return layer(basis).flatten(1).T


def switches(maps: Tensor, kernel: int, stride: int, size: int) -> Tensor:
    """The max pool as a matrix of zeros and ones, by searching every window."""
    c, h, w = maps.shape
    found = torch.zeros(c * size * size, c * h * w, dtype=torch.double)
    for m in range(c):
        for i in range(size):
            for j in range(size):
                inside = {
                    (y, x): maps[m, y, x].item()
                    for y in range(i * stride, min(i * stride + kernel, h))
                    for x in range(j * stride, min(j * stride + kernel, w))
                }
                y, x = max(inside, key=lambda place: inside[place])
                found[(m * size + i) * size + j, (m * h + y) * w + x] = 1
    return found


def test_the_reconstruction_is_the_product_of_transposed_matrices():
    network = chain(
        conv1=nn.Conv2d(3, 4, 3, stride=2, padding=1),  # 4@7x7
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(3, stride=2, ceil_mode=True),  # 4@3x3, windows overlap
        conv2=nn.Conv2d(4, 6, 2, groups=2),  # 6@2x2
        relu2=nn.ReLU(),
    ).double()
    image = torch.randn(3, 14, 14, dtype=torch.double)
    conv1, conv2 = network.conv1, network.conv2
    w1 = matrix(lambda x: F.conv2d(x, conv1.weight, stride=2, padding=1), (3, 14, 14))
    w2 = matrix(lambda x: F.conv2d(x, conv2.weight, groups=2), (4, 3, 3))
    pool = switches(network[:2](image[None])[0], 3, 2, 3)
    out = network(image[None])[0]
    for unit in range(6):
        start = torch.zeros_like(out)
        place = divmod(int(out[unit].argmax()), 2)
        start[unit][place] = out[unit][place]
        expected = w1.T @ (pool.T @ (w2.T @ start.flatten().relu())).relu()
        reconstruction, _ = reconstruct(
            network, image[None], "relu2", torch.tensor([unit]), torch.tensor([place])
        )
        torch.testing.assert_close(
            reconstruction.flatten().double(), expected, rtol=1e-5, atol=1e-6
        )


def test_signals_of_overlapping_windows_are_added_or_overwritten():
    network = chain(pool=nn.MaxPool2d(3, stride=2), sum=convolution([[[[1, 1], [1, 1]]]]))
    network.sum.bias.data.zero_()
    image = torch.zeros(1, 5, 5)
    image[0, 2, 2] = 7  # the largest of all four windows
    unit = (network, image, "sum", [0])
    assert deconv(*unit).reconstructions[0, 0, 2, 2] == 4 * 28
    assert deconv(*unit, overwrite=True).reconstructions[0, 0, 2, 2] == 28


def test_among_windows_with_the_same_switch_the_last_overwrites():
    pool = nn.MaxPool2d(3, stride=2, padding=1, return_indices=True)
    x, g = torch.randn(1, 3, 11, 11), torch.rand(3, 6, 6)
    _, places = pool(x)
    expected = torch.zeros(3, 11 * 11)
    for m in range(3):
        for place, value in zip(places[0, m].flatten(), g[m].flatten(), strict=True):
            expected[m, place] = value
    network = chain(pool=nn.MaxPool2d(3, stride=2, padding=1), weigh=nn.Conv2d(3, 1, 6, bias=False))
    network.weigh.weight.data = g[None]
    found = deconv(network, x[0], "weigh", overwrite=True)
    torch.testing.assert_close(found.reconstructions[0].flatten(1) / found.values, expected)


@pytest.mark.parametrize(
    "network",
    [
        Concat({"a": nn.Conv2d(2, 3, 1), "b": nn.Conv2d(2, 2, 3, padding=1)}),
        Residual(nn.Conv2d(2, 2, 3, padding=1), nn.Identity(), nn.Identity()),
        Residual(nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 1), nn.Identity()),
        nn.Sequential(nn.Conv2d(2, 4, 3), nn.AvgPool2d(2), nn.Dropout(0.5)),
        nn.Sequential(nn.Conv2d(2, 4, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)),
    ],
    ids=["concatenation", "addition", "projection", "average", "fully connected"],
)
def test_linear_operators_are_transposed(network):
    layers = nn.Sequential(nn.Identity(), network).eval().double()
    image = torch.randn(2, 6, 6, dtype=torch.double)
    w = matrix(lambda x: layers(x) - layers(torch.zeros_like(x)), (2, 6, 6))
    found = deconv(layers, image, "1")
    out = layers(image[None])[0]
    for i, (number, place) in enumerate(zip(found.maps, found.positions, strict=True)):
        start = torch.zeros_like(out)
        at = (number, *place) if out.ndim == 3 else (number,)
        start[at] = out[at]
        expected = (w.T @ start.flatten()).view(2, 6, 6)
        torch.testing.assert_close(
            found.reconstructions[i].double(), expected, rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("norm", [LocalResponseNorm(), nn.LocalResponseNorm(3)])
def test_local_response_normalisation_is_skipped(norm):
    conv = convolution([[[[1, 2], [3, 4]]], [[[4, 3], [2, 1]]]])
    found = deconv(chain(conv=conv, norm=norm), torch.rand(1, 2, 2), "norm")
    kernels = conv.weight[list(found.maps)].detach()
    torch.testing.assert_close(found.reconstructions, found.values[:, None, None, None] * kernels)
    assert sum(found.applied.values()) == 1


def test_batch_normalisation_is_replaced_by_its_scale():
    conv, norm = convolution([[[[1, 2], [3, 4]]]]), nn.BatchNorm2d(1, eps=0)
    norm.running_mean.fill_(-3)
    norm.running_var.fill_(4)
    norm.weight.data.fill_(6)
    norm.bias.data.fill_(9)
    found = deconv(chain(conv=conv, norm=norm), torch.rand(1, 2, 2), "norm")
    torch.testing.assert_close(found.reconstructions, found.values * 6 / 2 * conv.weight.detach())


class Functional(nn.Module):
    """The same layers, called as functions, one of them in place."""

    def __init__(self, conv1: nn.Conv2d, conv2: nn.Conv2d):
        super().__init__()
        self.conv1, self.conv2 = conv1, conv2

    def forward(self, x):
        x = F.relu(self.conv1(x), inplace=True)
        x = torch.relu_(self.conv2(F.max_pool2d(x, 2)))
        return x.mean((2, 3))


def test_relu_as_a_function_is_treated_like_the_module():
    conv1, conv2 = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3)
    modules = chain(conv1=conv1, relu1=nn.ReLU(inplace=True), pool=nn.MaxPool2d(2), conv2=conv2)
    image = torch.randn(1, 12, 12)
    of_modules = deconv(modules, image, "conv2")
    of_functions = deconv(Functional(conv1, conv2), image, "conv2")
    assert torch.equal(of_functions.reconstructions, of_modules.reconstructions)
    assert of_functions.applied == {"relu": 1, "max_pool2d": 1}
    x = image[None].requires_grad_()
    out = conv2(F.max_pool2d(conv1(x).relu(), 2))[0, of_modules.maps[0]]
    (gradient,) = torch.autograd.grad(out.max() ** 2 / 2, x)
    assert not torch.allclose(of_modules.reconstructions[:1], gradient)


class Gate(nn.Module):
    """A third-party layer."""

    def __init__(self, forward):
        super().__init__()
        self.forward = forward


@pytest.mark.parametrize(
    ("written", "same"),
    [
        (lambda x: F.relu(input=x, inplace=True), lambda x: F.relu(x)),
        (lambda x: x.clone().relu_(), lambda x: F.relu(x)),
        (lambda x: x.clone().add_(x), lambda x: 2 * x),
        (lambda x: torch.zeros(len(x), 2, 3, 3).add_(x), lambda x: x),
        (lambda x: torch.cat([x, torch.zeros_like(x)], 1)[:, :2], lambda x: x),
    ],
    ids=["by keyword", "in place", "added in place", "into a constant", "padded with zeros"],
)
def test_the_spelling_of_a_layer_does_not_matter(written, same):
    conv, last = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 2)
    image = torch.randn(1, 5, 5)
    one, other = (
        deconv(chain(conv=conv, odd=Gate(f), last=last), image, "last") for f in (written, same)
    )
    torch.testing.assert_close(one.reconstructions, other.reconstructions)


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (nn.Sigmoid(), "sigmoid"),
        (nn.GroupNorm(1, 2), "group_norm"),
        (Gate(lambda x: x * x.mean()), "mul"),
        (Gate(lambda x: x * (x > 0)), "mul"),
        (Gate(lambda x: 1 / x), "rdiv|rtruediv|reciprocal"),
        (Gate(lambda x: torch.ones(1) / x), "div"),
        (Gate(lambda x: F.batch_norm(x, None, None, training=True)), "batch_norm"),
        (nn.BatchNorm2d(2, track_running_stats=False), "batch_norm"),
        (Gate(lambda x: torch.where(x > 0, x, 0)), "where"),
    ],
)
def test_an_operator_without_inverse_is_refused_by_name(layer, name):
    network = chain(conv=nn.Conv2d(1, 2, 3), odd=layer, conv2=nn.Conv2d(2, 2, 1))
    with pytest.raises(ValueError, match=f"no inverse for the operator ({name}) "):
        deconv(network, torch.rand(1, 5, 5), "conv2")
    assert deconv(network, torch.rand(1, 5, 5), "conv").maps  # the layers before it are supported


@pytest.mark.parametrize(
    ("network", "size", "layer", "applied"),
    [
        (zfnet(10), (3, 224, 224), "relu5", {"relu": 5, "max_pool2d": 2, "lrn": 2}),
        (alexnet(10), (3, 227, 227), "conv5", {"relu": 4, "max_pool2d": 2, "lrn": 2}),
        (resnet(18, "A", 10), (3, 64, 64), "conv5_x", {"relu": 17, "max_pool2d": 1}),
        (resnet_cifar(20), (3, 32, 32), "conv3_x", {"relu": 13}),
        (lenet5(), (1, 32, 32), "S4", {"tanh": 3}),
    ],
    ids=["zfnet", "alexnet", "resnet18", "resnet20", "lenet5"],
)
def test_every_network_of_the_papers_is_supported(network, size, layer, applied):
    found = deconv(network, torch.rand(size), layer, count=2)
    assert found.reconstructions.shape == (2, *size)
    assert found.applied == applied


def test_the_branches_of_googlenets_modules_are_counted():
    # three in the stem, six in each of 3a and 3b, but for the pooled branch of 3b
    found = deconv(googlenet(10), torch.rand(3, 224, 224), "inception_3a", count=1)
    assert found.applied == {"relu": 3 + 6, "max_pool2d": 2 + 1, "lrn": 2}
