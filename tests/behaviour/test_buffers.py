"""Buffers of every kind, in the average of the weights and in a run."""

import pytest
import torch
from torch import Tensor, nn

import classicnets as cn
from classicnets.api.train import Training
from classicnets.data.synthetic import shapes
from classicnets.recipes.fast import fast
from classicnets.training.recipe.averaging import Ema, Polyak

DATA = shapes(40, side=12)
CONSTANTS = {
    "causal": torch.full((4, 4), -torch.inf).triu(1),
    "hole": torch.tensor([torch.nan, 1.0]),
    "far": torch.tensor([complex(torch.inf, 1)]),
    "narrow": torch.tensor([1.5, torch.inf], dtype=torch.float16),
    "eighth": torch.tensor([1.5, torch.nan]).to(torch.float8_e4m3fn),
    "index": torch.arange(3, dtype=torch.int32),
    "table": torch.arange(3, dtype=torch.uint8),
    "flag": torch.tensor([True, False]),
    "nothing": torch.empty(0),
}


class Constants(nn.Module):
    """Buffers that no step changes, and a count of the steps."""

    def __init__(self):
        super().__init__()
        for name, value in CONSTANTS.items():
            self.register_buffer(name, value.clone())
        self.register_buffer("steps", torch.tensor(0))
        self.body = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 4))

    def forward(self, x):
        self.steps += self.training
        return (torch.ones(4, 4) + self.causal).softmax(1).mean() * self.body(x)


def same(a: Tensor, b: Tensor) -> bool:
    """Whether type and values are the same, NaN like NaN."""
    wide = torch.complex128 if a.is_complex() else torch.float64
    return a.dtype == b.dtype and torch.allclose(a.to(wide), b.to(wide), 0, 0, equal_nan=True)


@pytest.mark.parametrize("average", [Polyak(), Ema(0.9)])
def test_an_average_keeps_constant_buffers_and_takes_the_newest_count(average):
    network = Constants()
    averaged, bias = average.build(network), network.body[2].bias.detach()
    for value in (1.0, 2.0, 6.0):
        network(DATA.train.pixels[:2].float())
        bias.fill_(value)
        averaged.update_parameters(network)
    for name, value in CONSTANTS.items():
        assert same(averaged.module.get_buffer(name), value), name
    assert averaged.module.steps == 3
    weights = [1 / 2, 1 / 3] if isinstance(average, Polyak) else [1 - 2 / 11, 1 - 3 / 12]
    mean = 1.0
    for value, weight in zip((2.0, 6.0), weights, strict=True):
        mean += weight * (value - mean)
    torch.testing.assert_close(averaged.module.body[2].bias.detach(), torch.full((4,), mean))


@pytest.mark.parametrize("first", [torch.nan, torch.inf])
def test_what_was_not_finite_before_the_first_step_leaves_the_average(first):
    network = Constants()
    network.causal.fill_(first)  # as in memory that nothing was written to
    averaged = Ema(0.9).build(network)
    for _ in range(3):
        network.causal.fill_(2)
        averaged.update_parameters(network)
    assert (averaged.module.causal == 2).all()


def test_a_run_with_such_buffers_is_resumed_bit_for_bit_and_evaluated(tmp_path, stop_after):
    def begin(out: str) -> Training:
        torch.manual_seed(1)
        changes = {"batch": "16"}
        return cn.train(Constants(), DATA, fast(12), 2, tmp_path / out, overrides=changes)

    whole = begin("whole")
    test = whole.finish()
    stop_after(begin("stopped"), 1)
    resumed = cn.resume(tmp_path / "stopped", Constants(), DATA)
    resumed.finish()
    assert whole.state.average is not None
    assert resumed.state.average is not None
    ends = [training.state.average.state_dict().values() for training in (whole, resumed)]
    assert all(map(same, *ends))
    again = cn.evaluate(tmp_path / "whole", DATA.test, network=Constants())
    assert again.top1_error == test.top1_error


def test_a_weight_that_is_not_finite_in_a_file_is_still_refused(tmp_path):
    network = Constants()
    training = cn.train(network, DATA, fast(12), 1, tmp_path / "run")
    training.finish()
    for name in ("causal", "eighth", "body.2.bias"):
        damaged = Constants()
        damaged.load_state_dict(network.state_dict())
        damaged.state_dict()[name].view(-1)[0] = torch.nan
        training.run.save_weights(damaged)
        with pytest.raises(ValueError, match=name):
            cn.evaluate(tmp_path / "run", DATA.test, network=Constants())
