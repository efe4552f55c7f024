"""Batches of one image, and scores that are not numbers, with modules of one's own."""

import pytest
import torch
from torch import nn

import classicnets as cn
from classicnets.data.synthetic import shapes
from classicnets.recipes.fast import fast

DATA = shapes(40, side=12)  # 28 for training
RECIPE = fast(12)


def body() -> nn.Sequential:
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)
    return nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU(), *head)


def equal(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_last_batch_of_one_joins_the_one_before_and_resumes_bit_for_bit(tmp_path, stop_after):
    def network() -> nn.Module:
        torch.manual_seed(1)
        return nn.Sequential(body(), nn.BatchNorm1d(4))

    changes = {"batch": "9", "lr": "Constant(0.01)"}  # 28 images: 9 + 9 + 10
    whole = cn.train(network(), DATA, RECIPE, 2, tmp_path / "whole", overrides=changes)
    assert whole.config.batches() == [9, 9, 10]
    assert [record.images for record in whole] == [9, 18, 28] * 2
    stopped = cn.train(network(), DATA, RECIPE, 2, tmp_path / "stopped", overrides=changes)
    stop_after(stopped, 2)
    resumed = cn.resume(tmp_path / "stopped", network(), DATA)
    assert resumed.config.batches() == [9, 9, 10]
    resumed.finish()
    assert equal(whole.state.network, resumed.state.network)


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = body()

    def forward(self, x):
        return self.body(x)


class Undefined(Own):
    def forward(self, x):
        return super().forward(x) * (1.0 if self.training else float("nan"))


def test_scores_that_are_not_numbers_are_refused_by_evaluate(tmp_path):
    cn.train(Own(), DATA, RECIPE, 1, tmp_path / "run").finish()
    with pytest.raises(ValueError, match="scores are not numbers for 8 of 8 images"):
        cn.evaluate(tmp_path / "run", DATA.test, network=Undefined())


def test_no_training_of_one_image_is_timed_where_the_network_needs_two():
    timed = cn.speed(nn.Sequential(body(), nn.BatchNorm1d(4)), (3, 12, 12), (1, 2), seconds=0.01)
    rows = {(row.mode, row.batch) for row in timed.rows}
    assert rows == {("inference", 1), ("inference", 2), ("training", 2)}
    assert (
        "Cannot train at batch 1, on one value per map: 1; use a batch of at least 2"
        in timed.notes[0]
    )
