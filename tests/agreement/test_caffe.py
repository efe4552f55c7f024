"""AlexNet and GoogLeNet against functions written from the layer lists of their Caffe models.

The functions use torch's functional operators and nothing of ours but the weights.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from classicnets.models.alexnet import alexnet
from classicnets.models.googlenet import googlenet

pytestmark = pytest.mark.agreement


def caffe_alexnet(x, w):
    """bvlc_alexnet, deploy.prototxt; the normalisation with the paper's constants, not Caffe's."""

    def conv(x, name, stride=1, pad=0, group=1):
        return F.relu(F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], stride, pad, 1, group))

    def lrn(x):  # Caffe divides alpha by local_size: 5e-4 is the paper's 1e-4
        return F.local_response_norm(x, size=5, alpha=5e-4, beta=0.75, k=2)

    def linear(x, name):
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    x = F.max_pool2d(lrn(conv(x, "conv1", stride=4)), 3, 2)
    x = F.max_pool2d(lrn(conv(x, "conv2", pad=2, group=2)), 3, 2)
    x = conv(x, "conv3", pad=1)
    x = conv(x, "conv4", pad=1, group=2)
    x = F.max_pool2d(conv(x, "conv5", pad=1, group=2), 3, 2)
    x = F.relu(linear(x.reshape(len(x), -1), "fc6"))
    x = F.relu(linear(x, "fc7"))
    return linear(x, "fc8")


def caffe_googlenet(x, w):
    """bvlc_googlenet, train_val.prototxt, without dropout: loss3, loss1 and loss2/classifier."""

    def conv(x, name, stride=1, pad=0):
        return F.relu(F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], stride, pad))

    def linear(x, name):
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def lrn(x):
        return F.local_response_norm(x, size=5, alpha=1e-4, beta=0.75, k=1)

    def pool(x):
        return F.max_pool2d(x, 3, 2, ceil_mode=True)

    def inception(x, name):
        n = f"inception_{name}"
        one = conv(x, f"{n}.1x1.1x1")
        three = conv(conv(x, f"{n}.3x3.3x3_reduce"), f"{n}.3x3.3x3", pad=1)
        five = conv(conv(x, f"{n}.5x5.5x5_reduce"), f"{n}.5x5.5x5", pad=2)
        pooled = conv(F.max_pool2d(x, 3, 1, padding=1), f"{n}.pool.pool_proj")
        return torch.cat([one, three, five, pooled], dim=1)

    def loss(x, name):
        x = conv(F.avg_pool2d(x, 5, 3), f"{name}.conv")
        return linear(F.relu(linear(x.reshape(len(x), -1), f"{name}.fc1")), f"{name}.fc2")

    x = lrn(pool(conv(x, "conv1", stride=2, pad=3)))
    x = pool(lrn(conv(conv(x, "conv2_reduce"), "conv2", pad=1)))
    x = pool(inception(inception(x, "3a"), "3b"))
    x = inception(x, "4a")
    loss1 = loss(x, "aux_4a")
    x = inception(inception(inception(x, "4b"), "4c"), "4d")
    loss2 = loss(x, "aux_4d")
    x = pool(inception(x, "4e"))
    x = F.avg_pool2d(inception(inception(x, "5a"), "5b"), 7, 1)
    return linear(x.reshape(len(x), -1), "fc"), loss1, loss2


def _with_large_weights(network: nn.Module) -> nn.Module:
    """The network without dropout, with weights so large that normalisation matters everywhere."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.normal_(layer.bias, 0, 0.1)
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    return network


def _assert_equal(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * theirs.abs().max().item())


@torch.no_grad()
def test_alexnet_equals_its_layer_list():
    network, images = _with_large_weights(alexnet()), 50 * torch.randn(1, 3, 227, 227)
    _assert_equal(network.eval()(images), caffe_alexnet(images, network.state_dict()))


@torch.no_grad()
def test_googlenet_and_its_heads_equal_their_layer_list():
    network, images = _with_large_weights(googlenet()), 50 * torch.randn(1, 3, 224, 224)
    scores, loss1, loss2 = caffe_googlenet(images, network.state_dict())
    outputs = network.train()(images)
    _assert_equal(outputs.scores, scores)
    _assert_equal(outputs.aux_4a, loss1)
    _assert_equal(outputs.aux_4d, loss2)
    _assert_equal(network.eval()(images), scores)
