"""What tests of exported files need: runs without a training; the exporter's table, made once."""

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from onnxscript._framework_apis import torch_2_5
from torch import nn

import classicnets as cn
from classicnets import catalog
from classicnets.data.synthetic import shapes
from classicnets.training.execution.execution import Execution
from classicnets.training.run.config import RunConfig
from classicnets.training.run.directory import create


@pytest.fixture(scope="session", autouse=True)
def _exporter_reads_its_table_once():
    with pytest.MonkeyPatch.context() as patch:
        cached = functools.cache(torch_2_5.get_torchlib_ops)
        patch.setattr(torch_2_5, "get_torchlib_ops", cached)
        yield


def settle(network: nn.Module) -> nn.Module:
    """Lively weights and figures of normalisation, so that layers left out would be seen."""
    source = torch.Generator().manual_seed(0)
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            low, high = (0.5, 1.5) if "running_var" in name or value.ndim == 1 else (-1, 1)
            fan = value[0].numel() ** 0.5 if value.ndim > 1 else 1
            value.copy_(torch.empty(value.shape).uniform_(low, high, generator=source) / fan)
    return network.eval()


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    """LeNet-5 after an epoch on the digits."""
    out = tmp_path_factory.mktemp("runs") / "lenet5"
    cn.train("lenet5", epochs=1, out=out).finish()
    return out


@pytest.fixture(scope="session")
def make_run(tmp_path_factory) -> Callable[..., Path]:
    """A run directory of a network with drawn weights, as if trained on a data set that is gone."""

    def make(name: str, network: nn.Module | None = None, **changes) -> Path:
        entry = catalog.find(name)
        recipe = replace(entry.recipe, **changes)
        data = replace(shapes(40, recipe.side, entry.input[0]), name="/gone/photos")
        execution = Execution("fp32", "channels_first", accumulation_steps=1)
        config = RunConfig.fit(recipe, data, execution, network=entry.name)
        network = network or entry.build(classes=4, channels=entry.input[0])
        run = create(
            tmp_path_factory.mktemp("run") / "made", config, design=entry.design, ended=True
        )
        run.save_weights(settle(network))
        return run.directory

    return make
