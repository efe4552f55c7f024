"""Tests that every network of the catalogue passes."""

import copy
import functools
import json
import shutil
import subprocess
import sys
from collections import Counter

import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from classicnets import catalog
from classicnets.api.design import design
from classicnets.designs.build import build
from classicnets.designs.reader import read
from classicnets.models.lenet import Squash

SMALL = ("lenet5", "googlenet", "resnet20", "plain20")


def _names(*, quick: tuple[str, ...] = SMALL, leave: tuple[str, ...] = ()):
    """The catalogue, with all but the quick networks marked slow."""
    return [
        pytest.param(name, marks=[] if name in quick else [pytest.mark.slow])
        for name in catalog.names()
        if name not in leave
    ]


DEEP = {"resnet101", "resnet152", "resnet110", "resnet1202", "plain110"}
EVERY = _names(quick=tuple(set(catalog.names()) - DEEP))


def _small_input(name: str) -> tuple[int, int, int]:
    """A small legal image; networks with fully connected layers on maps take only their own."""
    channels, side, _ = catalog.find(name).input
    if name.startswith(("resnet", "plain")) or name == "vgg_d_gap":
        side //= 4
    return channels, side, side


# --- without values: the whole catalogue, without allocating


@pytest.mark.parametrize("name", EVERY)
def test_it_builds_without_allocating(on_meta, name):
    network = on_meta(catalog.find(name).build)
    assert {value.device.type for value in network.state_dict().values()} == {"meta"}


@pytest.mark.parametrize("name", EVERY)
def test_it_supports_any_number_of_channels_and_classes(on_meta, name):
    network = on_meta(catalog.find(name).build, classes=7, channels=4)
    _, side, _ = catalog.find(name).input
    images = torch.empty(3, 4, side, side, device="meta")
    assert network.eval()(images).shape == (3, 7)
    outputs = network.train()(images)
    heads = outputs if isinstance(outputs, tuple) else (outputs,)
    assert {tuple(scores.shape) for scores in heads} == {(3, 7)}


@pytest.mark.parametrize("name", EVERY)
def test_no_layer_or_weight_is_shared(on_meta, name):
    network = on_meta(catalog.find(name).build)
    layers = [id(m) for _, m in network.named_modules(remove_duplicate=False)]
    weights = [id(p) for _, p in network.named_parameters(remove_duplicate=False)]
    assert len(layers) == len(set(layers))
    assert len(weights) == len(set(weights))


@pytest.mark.parametrize("name", EVERY)
def test_every_non_linearity_is_a_separate_module_and_not_in_place(on_meta, name):
    network = on_meta(catalog.find(name).build)
    assert not any(getattr(layer, "inplace", False) for layer in network.modules())
    assert _hidden_non_linearities(network, catalog.find(name).input) == []


NON_LINEAR = ("relu", "tanh", "sigmoid", "threshold", "clamp", "elu", "gelu", "silu", "hardtanh")


def _hidden_non_linearities(network: nn.Module, size: tuple[int, ...]) -> list[str]:
    """Non-linear operators that are not alone in a module that is called once."""
    inside: list[nn.Module] = []
    alone: Counter[nn.Module] = Counter()
    hidden: list[str] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            operator = func.overloadpacket.__name__
            if operator.startswith(NON_LINEAR):
                if operator.endswith("_") or not isinstance(inside[-1], nn.ReLU | Squash):
                    hidden.append(operator)
                alone[inside[-1]] += 1
            return func(*args, **(kwargs or {}))

    for layer in network.modules():
        layer.register_forward_pre_hook(lambda layer, _args: inside.append(layer))
        layer.register_forward_hook(lambda _layer, _args, _out: inside.pop() and None)
    with Watch():
        network.train()(torch.empty(2, *size, device="meta"))
    return hidden + [type(layer).__name__ for layer, calls in alone.items() if calls > 1]


def test_functional_shared_and_in_place_non_linearities_would_be_found(on_meta):
    class Functional(nn.Module):
        def forward(self, x):
            return F.relu(x)

    assert _hidden_non_linearities(Functional(), (1, 2, 2)) == ["relu"]
    shared = nn.ReLU()
    assert _hidden_non_linearities(nn.Sequential(shared, shared), (1, 2, 2)) == ["ReLU"]
    assert _hidden_non_linearities(nn.Sequential(nn.ReLU(inplace=True)), (1, 2, 2)) == ["relu_"]


# --- with values: one network in memory at a time


@pytest.fixture(scope="module")
def network(request):
    torch.manual_seed(0)
    return catalog.find(request.param).build().eval()


def _images(name: str, n: int = 1) -> torch.Tensor:
    return torch.randn(n, *_small_input(name), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def images(request):
    return _images(request.node.callspec.params["network"])


def _scores(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return network(images)


def _distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """The difference relative to the spread of the scores."""
    return ((a.float() - b).norm() / (b - b.mean()).norm()).item()


@pytest.mark.parametrize("name", _names())
def test_every_parameter_gets_a_finite_gradient(name):
    # all layers, with fewer maps: backward of the widest takes ten seconds
    network, images = build(read(design(name, width="1/4"))), _images(name, n=2)
    outputs = network.train()(images)
    heads = outputs if isinstance(outputs, tuple) else (outputs,)
    sum(F.cross_entropy(scores, torch.tensor([0, 1])) for scores in heads).backward()
    grads = {name: p.grad for name, p in network.named_parameters()}
    assert [name for name, grad in grads.items() if grad is None] == []
    assert [name for name, grad in grads.items() if not grad.isfinite().all()] == []
    assert [name for name, grad in grads.items() if not grad.any()] == []


@pytest.mark.parametrize("network", _names(), indirect=True)
def test_a_second_instance_with_its_weights_gives_the_same_scores(
    request, network, images, on_meta
):
    # without values of its own, so that what the state dict lacks would be found
    twin = on_meta(catalog.find(request.node.callspec.params["network"]).build)
    twin.load_state_dict(network.state_dict(), assign=True)
    assert torch.equal(_scores(twin.eval(), images), _scores(network, images))


@pytest.mark.parametrize("network", _names(), indirect=True)
def test_safetensors_restores_the_weights_exactly(network):
    state = network.state_dict()
    back = safetensors.torch.load(safetensors.torch.save(state))
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], value) for name, value in state.items())


@pytest.mark.parametrize("network", _names(), indirect=True)
def test_it_works_in_channels_last(network, images):
    expected = _scores(network, images)
    network.to(memory_format=torch.channels_last)
    got = _scores(network, images.to(memory_format=torch.channels_last))
    network.to(memory_format=torch.contiguous_format)
    assert _distance(got, expected) < 1e-4


@pytest.mark.parametrize("name", _names(leave=("resnet1202",)))
def test_it_works_in_bfloat16(name):
    # all layers, with fewer maps: many CPUs compute in bfloat16 a hundred times as slowly
    network, images = build(read(design(name, width="1/8"))).eval(), _images(name)
    expected = _scores(network, images)
    got = _scores(copy.deepcopy(network).bfloat16(), images.bfloat16())
    assert got.dtype == torch.bfloat16
    assert _distance(got, expected) < 0.2


@pytest.mark.parametrize("network", _names(leave=("resnet1202",)), indirect=True)
def test_it_can_be_exported(network, images):
    program = torch.export.export(network, (images,))
    torch.testing.assert_close(_scores(program.module(), images), _scores(network, images))


@pytest.fixture(scope="module")
def compiled():
    """What came of compiling networks, in a process without the shape checks of this one, which
    the compiler cannot trace."""

    @functools.cache
    def run(backend: str, *names: str) -> dict[str, str]:
        command = [sys.executable, "-c", COMPILED, backend, *names]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


COMPILED = """
import json
import sys
import traceback
import torch
from classicnets import catalog

def compile(name, backend):
    torch._dynamo.reset()
    entry = catalog.find(name)
    network, image = entry.build().eval(), torch.randn(1, *entry.input)
    compiled = torch.compile(network, backend=backend, fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(image), network(image), rtol=1e-3, atol=1e-4)
    outputs = compiled.train()(torch.randn(2, *entry.input))
    heads = outputs if isinstance(outputs, tuple) else (outputs,)
    sum(scores.sum() for scores in heads).backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())

results = {}
backend, *names = sys.argv[1:]
for name in names:
    try:
        compile(name, backend)
        results[name] = "compiled"
    except Exception:
        results[name] = traceback.format_exc()
print(json.dumps(results))
"""
COMPILING = ("lenet5", "alexnet", "googlenet", "resnet20")  # every kind of layer


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPILING)
def test_it_compiles_without_graph_breaks(name, compiled):
    assert compiled("aot_eager", *COMPILING)[name] == "compiled"


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch compiles for the CPU with g++")
@pytest.mark.parametrize("name", ["lenet5"])
def test_it_compiles_to_machine_code(name, compiled):
    assert compiled("inductor", name)[name] == "compiled"
