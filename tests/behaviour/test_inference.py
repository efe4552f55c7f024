"""What is shown many pictures at once says what the network says."""

import gc
import weakref
from dataclasses import replace

import pytest
import torch
from torch import nn

import classicnets as cn
from classicnets import catalog
from classicnets.layers.wiring import Network, chain
from classicnets.training.execution import inference
from classicnets.training.execution.execution import Execution, resolve_execution
from classicnets.training.execution.inference import FusedConv, FusedResidual, Inference

NAMES = (  # each way in which layers follow one another
    "lenet5", "alexnet", "googlenet", "resnet18", "resnet50", "resnet20", "plain20"
)  # fmt: skip
FP32, BF16 = Execution("fp32", "channels_last"), Execution("bf16", "channels_last")


def lively(network: nn.Module) -> nn.Module:
    """In evaluation, and normalised by figures that are not those of the beginning."""
    source = torch.Generator().manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            if layer.affine:
                layer.weight.data.uniform_(0.5, 1.5, generator=source)
                layer.bias.data.uniform_(-0.5, 0.5, generator=source)
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.uniform_(-0.2, 0.2, generator=source)
            layer.running_var.uniform_(0.5, 2, generator=source)
    return network.eval()


def far(network: nn.Module, execution: Execution, x: torch.Tensor) -> float:
    """The largest difference, as a share of the largest score."""
    with torch.no_grad():
        wanted = network(x)
    return ((Inference(network, execution)(x) - wanted).abs().max() / wanted.abs().max()).item()


@pytest.fixture(params=["fused", "folded"])
def way(request, monkeypatch):
    """With the operators of oneDNN, and as where torch has none."""
    if request.param == "folded":
        monkeypatch.setattr(inference, "_has_fused", lambda dtype: False)
    else:
        assert inference._has_fused(torch.float32)


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_those_of_the_network(name, way):
    torch.manual_seed(0)
    entry = catalog.find(name)
    network = lively(entry.build(classes=10))
    x = torch.randn(2, *entry.input)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    for precision, allowed in (("fp32", 1e-5), ("bf16", 5e-2)):
        execution = Execution(precision, accumulation_steps=1)
        execution, _ = resolve_execution(execution, network, entry.input, 2)
        assert far(network, execution, x) < allowed
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_normalisation_rectifiers_and_additions_are_taken_along():
    quick = Inference(lively(cn.build("resnet18")), FP32).optimized
    kinds = [type(layer) for layer in quick.modules()]
    assert nn.BatchNorm2d not in kinds
    assert nn.Conv2d not in kinds
    assert kinds.count(FusedConv) == 20  # Table 1, and the three projections
    assert kinds.count(FusedResidual) == 8


@pytest.mark.parametrize("execution", [FP32, BF16])
def test_images_of_other_sizes_and_numbers_may_come(execution):
    network = lively(cn.build("resnet20"))
    ready = Inference(network, execution)
    for n, side in ((4, 32), (1, 32), (3, 48), (2, 32)):
        x = torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(side))
        with torch.no_grad():
            torch.testing.assert_close(ready(x), network(x), atol=0.1, rtol=0.05)


def test_what_is_not_of_a_kind_that_can_be_fused_stays():
    torch.manual_seed(0)
    network = Network(
        conv1=nn.Conv2d(3, 32, 3, padding="same"),  # padded by name
        bn1=nn.BatchNorm2d(32),
        tanh1=nn.Tanh(),
        block=chain(conv=nn.Conv2d(32, 32, 3, bias=False), bn=nn.BatchNorm2d(32, affine=False)),
        flatten=nn.Flatten(),
        fc=nn.Linear(32 * 36, 5),
    )
    assert far(lively(network), FP32, torch.randn(2, 3, 8, 8)) < 1e-5


def test_a_recording_scores_each_batch_as_it_comes(monkeypatch, replayed):
    with pytest.raises(ValueError, match="a CUDA graph needs a CUDA device, not cpu"):
        Inference(cn.build("resnet20"), replace(FP32, graph=True))
    monkeypatch.setattr(inference, "require_graphs", lambda device: None)
    network = lively(cn.build("resnet20"))
    ready = Inference(network, replace(FP32, graph=True))
    for k, n in enumerate((1,) * 5 + (2,) * 5):
        x = torch.randn(n, 3, 32, 32)
        with torch.inference_mode(k == 3), torch.no_grad():  # where it is recorded
            torch.testing.assert_close(ready(x), network(x), atol=1e-4, rtol=1e-4)
    assert replayed == [1, 1, 2, 2]
    gone = weakref.ref(ready)
    gc.disable()
    try:
        del ready
        assert gone() is None  # with its memory on the device
    finally:
        gc.enable()
    own = Inference(lively(Tapped()), replace(FP32, graph=True))
    for _ in range(5):
        own(torch.randn(1, 3, 8, 8))
    assert len(replayed) == 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("name", NAMES)
def test_on_a_gpu_a_recording_scores_as_the_network_does(name):
    entry = catalog.find(name)
    network = lively(entry.build(classes=10)).cuda()
    execution = Execution("fp32", accumulation_steps=1)
    execution, _ = resolve_execution(execution, network, entry.input, 1)
    assert execution.graph
    ready = Inference(network, execution)
    for _ in range(6):
        x = torch.randn(1, *entry.input, device="cuda")
        with torch.no_grad():
            torch.testing.assert_close(ready(x), network(x), atol=1e-3, rtol=1e-2)


class Tapped(nn.Module):
    """A network of one's own that looks into its own chain."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 4, 3), nn.ReLU()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tapped = []
        for layer in self.features:
            x = layer(x)
            tapped.append(x.mean((2, 3)))
        return torch.cat(tapped, 1)


def test_a_network_of_your_own_is_left_as_it_is():
    torch.manual_seed(0)
    assert far(lively(Tapped()), FP32, torch.randn(2, 3, 8, 8)) < 1e-6


def test_images_that_do_not_fit_are_refused_in_the_networks_words():
    network = cn.build("alexnet")
    with pytest.raises(ValueError, match="227") as said:
        network.eval()(torch.zeros(1, 3, 224, 224))
    with pytest.raises(ValueError, match="227") as again:
        Inference(network, FP32)(torch.zeros(1, 3, 224, 224))
    assert str(again.value) == str(said.value)


def test_a_run_is_evaluated_alike_in_either_precision(tmp_path):
    cn.train("lenet5", epochs=1, out=tmp_path / "run").finish()
    errors = [cn.evaluate(tmp_path / "run", precision=p).top1_error for p in ("fp32", "bf16")]
    assert abs(errors[0] - errors[1]) < 1
    with pytest.raises(ValueError, match="precision must be auto, fp32, bf16, not 'int8'"):
        cn.evaluate(tmp_path / "run", precision="int8")
