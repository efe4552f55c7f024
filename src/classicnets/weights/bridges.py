"""The names that other packages give to the tensors of our networks, and what they keep otherwise.

A source has a table of layers, ours -> theirs, for each family. Keras keeps a convolution as
(h, w, c, n), which is transposed, and gives those of ResNet a bias that batch normalisation takes
away again: it is subtracted from the mean. Its networks read blue, green, red: the first layer is
turned round.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from classicnets.support.errors import first_few, option
from classicnets.support.tensors import is_finite

Rule = tuple[str, str | Callable[[re.Match[str]], str]]  # a pattern, and what takes its place

# the pages of their papers
ALEXNET, VGG, GOOGLENET, RESNET = "alexnet", "vgg", "googlenet", "resnet"

# each rule is applied in turn to the name of a layer, conv3_x.conv3_1.body.conv2 or conv3_1
TORCHVISION_RESNET: Sequence[Rule] = (
    (r"conv(\d)_x\.conv\d_(\d+)\.", lambda m: f"layer{int(m[1]) - 1}.{int(m[2]) - 1}."),
    (r"body\.", ""),
    (r"shortcut\.conv", "downsample.0"),
    (r"shortcut\.bn", "downsample.1"),
)
PYTORCHCV_RESNET: Sequence[Rule] = (
    (r"conv(\d)_x\.conv\d_(\d+)\.", lambda m: f"features.stage{int(m[1]) - 1}.unit{m[2]}."),
    (r"body\.(conv|bn)(\d)$", r"body.conv\2.\1"),
    (r"shortcut\.", "identity_conv."),
    (r"^(conv|bn)1$", r"features.init_block.conv.\1"),
    (r"^fc$", "output"),
)
PYTORCHCV_VGG: Sequence[Rule] = (
    (r"^conv(\d)_(\d)$", r"features.stage\1.unit\2.conv"),
    (r"^fc6$", "output.fc1.fc"),
    (r"^fc7$", "output.fc2.fc"),
    (r"^fc8$", "output.fc3"),
)
KERAS_RESNET: Sequence[Rule] = (
    (r"conv(\d)_x\.conv\d_(\d+)\.", r"conv\1_block\2_"),
    (r"body\.(conv|bn)(\d)$", r"\2_\1"),
    (r"shortcut\.", "0_"),
    (r"^(conv|bn)1$", r"conv1_\1"),
    (r"^fc$", "predictions"),
)
KERAS_VGG: Sequence[Rule] = (
    (r"^conv(\d)_(\d)$", r"block\1_conv\2"),
    (r"^fc6$", "fc1"),
    (r"^fc7$", "fc2"),
    (r"^fc8$", "predictions"),
)
# Caffe's ResNet: res2a_branch2b, bn2a_branch2b, scale2a_branch2b; the blocks of ResNet-50 have
# letters, those in the long stages of 101 and 152 are a, b1, b2, ...
_IN_BLOCK: Sequence[Rule] = (
    (r"(\d\w+)\.body\.(conv|bn)(\d)$", lambda m: f"{m[2]}{m[1]}_branch2{chr(96 + int(m[3]))}"),
    (r"(\d\w+)\.shortcut\.(conv|bn)$", r"\2\1_branch1"),
    (r"^conv(\d[a-z])", r"res\1"),
    (r"^bn1$", "bn_conv1"),
    (r"^fc$", "fc1000"),
)
CAFFE_RESNET: Sequence[Rule] = (
    (r"conv(\d)_x\.conv\d_(\d+)\.", lambda m: f"{m[1]}{chr(96 + int(m[2]))}."),
    *_IN_BLOCK,
)
CAFFE_DEEP_RESNET: Sequence[Rule] = (
    (r"conv([34])_x\.conv\d_1\.", r"\1a."),
    (r"conv([34])_x\.conv\d_(\d+)\.", lambda m: f"{m[1]}b{int(m[2]) - 1}."),
    *CAFFE_RESNET,
)
CAFFE_GOOGLENET: Sequence[Rule] = (
    (r"^conv1$", "conv1/7x7_s2"),
    (r"^conv2(_reduce)?$", r"conv2/3x3\1"),
    (r"^(inception_\w+)\.\w+\.(\w+)$", r"\1/\2"),
    (r"^aux_4a\.", "loss1/"),
    (r"^aux_4d\.", "loss2/"),
    (r"/fc1$", "/fc"),
    (r"/fc2$", "/classifier"),
    (r"^fc$", "loss3/classifier"),
)
# how the networks of Caffe's weights differ from the papers', where no tensor shows it: layer ->
# what it has, and the design that has it
CAFFE_DETAILS = {
    ALEXNET: ("norm1", {"k": 1.0}, "alexnet-bvlc.net"),
    RESNET: ("pool1", {"padding": 0}, "resnet50-msra.net, or 101 or 152"),
}
KERAS_TENSORS = {
    "conv": {"weight": "kernel", "bias": "bias"},
    "bn": {
        "weight": "gamma",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    },
}
KERAS_EPSILON, TORCH_EPSILON = 1.001e-5, 1e-5  # of batch normalisation


def _by_rules(rules: Sequence[Rule]) -> Callable[[str, nn.Module], str]:
    def rename(layer: str, network: nn.Module) -> str:
        for pattern, new in rules:
            layer = re.sub(pattern, new, layer)
        return layer

    return rename


def _numbered(layer: str, network: nn.Module) -> str:
    """torchvision's VGG: `features.N`, `classifier.N`, which count rectifiers, pools, dropout."""
    stages = [name for name, _ in network.named_children()]
    at, flat = stages.index(layer), stages.index("flatten")
    return f"features.{at}" if at < flat else f"classifier.{at - flat - 1}"


def _numbered_with_head(layer: str, network: nn.Module) -> str:
    """timm's VGG: the convolutions as torchvision's; fc6 and fc7 are convolutions there."""
    last = {"fc6": "pre_logits.fc1", "fc7": "pre_logits.fc2", "fc8": "head.fc"}
    return last.get(layer) or _numbered(layer, network)


@dataclass(frozen=True)
class Bridge:
    """A package, a family, and the name of a layer there.

    `stride` is the layer of a bottleneck block that has it there, "" where either is found: the
    tensors look alike, and the answers of the wrong network are wrong without a sign of it.
    """

    source: str
    family: str
    rename: Callable[[str, nn.Module], str]
    stride: str = ""

    def names(self, network: nn.Module) -> Iterator[tuple[str, str]]:
        """Each tensor of the state dict with its name there."""
        for name in network.state_dict():
            layer, _, tensor = name.rpartition(".")
            if self.source != "keras":
                there = self.rename(layer, network)
                scale = self.source == "caffe" and tensor in ("weight", "bias")
                there = re.sub("^bn", "scale", there) if scale else there
                yield name, f"{there}.{tensor}"
            elif tensor != "num_batches_tracked":
                kind = "bn" if isinstance(network.get_submodule(layer), nn.BatchNorm2d) else "conv"
                yield name, f"{self.rename(layer, network)}/{KERAS_TENSORS[kind][tensor]}"


BRIDGES = (
    Bridge("torchvision", RESNET, _by_rules(TORCHVISION_RESNET), "conv2"),  # and timm
    Bridge("torchvision", VGG, _numbered),
    Bridge("timm", VGG, _numbered_with_head),
    Bridge("pytorchcv", RESNET, _by_rules(PYTORCHCV_RESNET)),
    Bridge("pytorchcv", VGG, _by_rules(PYTORCHCV_VGG)),
    Bridge("keras", RESNET, _by_rules(KERAS_RESNET), "conv1"),
    Bridge("keras", VGG, _by_rules(KERAS_VGG)),
    Bridge("caffe", ALEXNET, _by_rules(())),
    Bridge("caffe", VGG, _by_rules(())),
    Bridge("caffe", GOOGLENET, _by_rules(CAFFE_GOOGLENET)),
    Bridge("caffe", RESNET, _by_rules(CAFFE_RESNET), "conv1"),
    Bridge("caffe", RESNET, _by_rules(CAFFE_DEEP_RESNET), "conv1"),
)


def translate(
    network: nn.Module, family: str, found: Mapping[str, Tensor]
) -> tuple[str, dict[str, Tensor]]:
    """The package that names its tensors so, and the state dict for the network.

    `network` may be on the meta device. Raises a ValueError for a family without a bridge, and for
    tensors that are missing, left over, of another shape or not finite.
    """
    bridge, names = _choose(network, family, found)
    taken, used = {}, set(names.values())
    for own, there in names.items():
        if there not in found:
            if own.endswith("num_batches_tracked"):  # older files lack it; nothing depends on it
                continue
            raise ValueError(_unlike(bridge, names, found))
        taken[own] = found[there]
    _require_stride(network, bridge)
    _require_details(network, bridge)
    if bridge.source == "keras":
        taken, folded = _from_keras(network, names, taken, found)
        used |= folded
    elif bridge.source == "caffe":  # which reads blue, green, red
        first = next(iter(taken))
        taken[first] = taken[first].flip(1)
    if left := sorted(found.keys() - used):
        raise ValueError(f"the network has no place for {first_few(left)} of the file")
    return bridge.source, _fitting(network, names, taken)


def count_classes(network: nn.Module, family: str, found: Mapping[str, Tensor]) -> int | None:
    """The classes of the weights for a network like this one: the length of the last tensor.

    None where that is missing. Raises a ValueError for a family without a bridge.
    """
    _, names = _choose(network, family, found)
    last = found.get(list(names.values())[-1])
    return None if last is None else last.numel()


def _choose(
    network: nn.Module, family: str, found: Mapping[str, Tensor]
) -> tuple[Bridge, dict[str, str]]:
    """The bridge that knows most of these names, and its name of each tensor of the network."""
    tables = {b: dict(b.names(network)) for b in BRIDGES if b.family == family}
    if not tables:
        raise ValueError(f"there are no published weights for {family} that fit it")
    return max(tables.items(), key=lambda one: len(found.keys() & set(one[1].values())))


def _require_stride(network: nn.Module, bridge: Bridge) -> None:
    """Raises a ValueError for a network whose bottleneck blocks have their stride elsewhere."""
    if not bridge.stride:
        return
    body = network.get_submodule("conv3_x.conv3_1.body")
    if hasattr(body, "conv3") and body.get_submodule(bridge.stride).stride != (2, 2):
        window, others = ("3x3", "named") if bridge.stride == "conv2" else ("1x1", "without")
        raise ValueError(
            f"the weights of {bridge.source} have the stride in the {window} of a bottleneck "
            f"block; they fit those {others} _v15"
        )


def _require_details(network: nn.Module, bridge: Bridge) -> None:
    """Raises a ValueError for the paper's network where Caffe's differs without a sign of it."""
    if bridge.source != "caffe" or bridge.family not in CAFFE_DETAILS:
        return
    layer, values, design = CAFFE_DETAILS[bridge.family]
    own = network.get_submodule(layer)
    for name, value in values.items():
        if getattr(own, name) != value:
            raise ValueError(
                f"Caffe's network has {name} {value:g} in {layer}, and this one "
                f"{getattr(own, name):g}; its weights fit {design}"
            )


def _unlike(bridge: Bridge, names: Mapping[str, str], found: Mapping[str, Tensor]) -> str:
    missing = [there for there in names.values() if there not in found]
    if len({*names} & {*found}) > len(names) - len(missing):
        return (
            "its tensors have the names of this package, whose weights are read from their run, "
            f"which knows pixels and classes: {option('init_from', 'RUN')} starts from it"
        )
    if len(missing) == len(names):
        some = first_few(sorted(found))
        return f"no known package names the tensors of {bridge.family} like those in it: {some}"
    return f"it lacks {first_few(missing)}, by the names of {bridge.source}"


def _fitting(
    network: nn.Module, names: Mapping[str, str], taken: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    state = {}
    for own, here in network.state_dict().items():
        if own not in taken:
            state[own] = torch.zeros(here.shape, dtype=here.dtype)
            continue
        tensor, shape = taken[own], tuple(here.shape)
        # a fully connected layer that is kept as a convolution of the whole map
        if len(shape) == 2 and tensor.ndim == 4 and tensor.shape[0] == shape[0]:
            tensor = tensor.flatten(1)
        if tuple(tensor.shape) != shape:
            there = tuple(tensor.shape)
            raise ValueError(f"{names[own]} is {there} in the file, and {own} is {shape}")
        if not is_finite(tensor):
            raise ValueError(f"{names[own]} holds NaN or infinite values")
        state[own] = tensor.to(here.dtype).contiguous()
    return state


def _from_keras(
    network: nn.Module,
    names: Mapping[str, str],
    taken: Mapping[str, Tensor],
    found: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], set[str]]:
    """The tensors in torch's order, and the names of the biases that went into the means."""
    state, folded, maps = {}, set(), 0
    for own, tensor in taken.items():
        layer, _, kind = own.rpartition(".")
        if kind == "weight" and tensor.ndim == 4:
            first = not state
            tensor, maps = tensor.permute(3, 2, 0, 1), tensor.shape[3]
            tensor = tensor.flip(1) if first else tensor
        elif kind == "weight" and tensor.ndim == 2:
            tensor, maps = _dense(tensor, maps), 0
        elif kind == "running_var":
            tensor = tensor + (KERAS_EPSILON - TORCH_EPSILON)
        elif kind == "running_mean":
            bias = names[f"{layer}.running_mean"].replace("_bn/moving_mean", "_conv/bias")
            if bias in found:  # bn(x + b) has the mean of x less by b
                tensor = tensor - found[bias]
                folded.add(bias)
        state[own] = tensor
    return state, folded


def _dense(kernel: Tensor, maps: int) -> Tensor:
    """(h w c, n) -> (n, c h w) for the layer after maps, (m, n) -> (n, m) for the others."""
    rows, n = kernel.shape
    if maps and rows > maps and rows % maps == 0:
        pixels = rows // maps
        return kernel.reshape(pixels, maps, n).permute(2, 1, 0).reshape(n, rows)
    return kernel.T
