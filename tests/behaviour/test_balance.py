"""Imbalanced classes: weights in the loss and a balanced sampler, by hand and against sklearn."""

import json
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from torch.nn import functional as F

import classicnets as cn
from classicnets.data.images import Splits
from classicnets.data.synthetic import shapes
from classicnets.recipes.fast import fast
from classicnets.training.execution.execution import Execution
from classicnets.training.recipe.balance import balanced_order, class_weights
from classicnets.training.recipe.loss import CrossEntropy, MapLoss, PenaltyLoss, WithAuxiliaries
from classicnets.training.recipe.overrides import override
from classicnets.training.run.config import RunConfig
from classicnets.training.run.loop import start, train

BALANCED = {"class_weights": "balanced"}, {"sampler": "balanced"}


def imbalanced() -> Splits:
    """Of the last class an eighth of the training images is left."""
    data = shapes(120, side=16)
    labels = data.train.labels
    kept = (labels < 3) | (torch.arange(len(labels)) % 8 == 0)
    return replace(data, train=data.train.subset(kept.nonzero()[:, 0]))


def net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(196, 4)
    )


def test_weights_are_those_worked_out_by_hand_and_scikit_learns():
    labels = torch.tensor([0, 0, 0, 1, 2, 2])
    found = class_weights(labels, ("a", "b", "c"))
    assert found == pytest.approx((6 / (3 * 3), 6 / (3 * 1), 6 / (3 * 2)))
    oracle = compute_class_weight("balanced", classes=np.arange(3), y=labels.numpy())
    assert found == pytest.approx(tuple(oracle))


def test_a_weighted_loss_is_the_one_worked_out_by_hand():
    scores, labels = torch.zeros(2, 2), torch.tensor([0, 1])  # both losses are log 2
    found = CrossEntropy()(scores, labels, torch.tensor([0.5, 3.0]))
    assert found.item() == pytest.approx((0.5 + 3) / 2 * math.log(2))
    penalties = MapLoss(j=0.0)(scores, labels, torch.tensor([0.5, 3.0]))  # three alike: log 3
    assert penalties.item() == pytest.approx((0.5 + 3) / 2 * math.log(3))


@pytest.mark.parametrize(
    ("loss", "heads"),
    [
        (CrossEntropy(), 1),
        (CrossEntropy(smoothing=0.1), 1),
        (WithAuxiliaries(0.3), 3),
        (WithAuxiliaries(0.3), 1),
        (MapLoss(j=2.0), 1),
        (PenaltyLoss(), 1),
    ],
)
def test_each_image_counts_as_often_as_its_class_weighs(loss, heads):
    labels = torch.tensor([0, 1, 1, 2, 2, 2])
    scores = [torch.randn(6, 3, dtype=torch.double, requires_grad=True) for _ in range(heads)]
    weights = torch.tensor([3.0, 1.0, 0.5], dtype=torch.double)

    def of(rows, *more):
        some = [head[rows] for head in scores]
        return loss(some if heads > 1 else some[0], labels[rows], *more)

    alone = [weights[labels[i]] * of([i]) for i in range(6)]
    whole = of(slice(None), weights)
    torch.testing.assert_close(whole, sum(alone) / 6)
    ours, theirs = (
        torch.autograd.grad(value, scores, retain_graph=True) for value in (whole, sum(alone) / 6)
    )
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)
    # a batch of one is weighted too, and parts of a batch add up
    torch.testing.assert_close(of([0], weights), 3 * of([0]))
    torch.testing.assert_close((of([0, 1], weights) + 2 * of([2, 3, 4, 5], weights)) / 3, whole)
    # equal weights change nothing
    assert of(slice(None), torch.ones(3, dtype=torch.double)).item() == pytest.approx(
        of(slice(None)).item()
    )


def test_balanced_weights_give_the_mean_over_the_classes():
    labels = torch.tensor([0] * 7 + [1] * 2 + [2])
    scores = torch.randn(10, 3)
    weights = torch.tensor(class_weights(labels, "abc"))
    each = F.cross_entropy(scores, labels, reduction="none")
    expected = torch.stack([each[labels == k].mean() for k in range(3)]).mean()
    torch.testing.assert_close(CrossEntropy()(scores, labels, weights), expected)


@pytest.mark.parametrize("counts", [(50, 9, 4), (5, 5, 5), (1, 100, 3), (2, 1, 1)])
def test_an_epoch_has_each_class_and_within_it_each_image_equally_often(counts):
    labels = torch.cat([torch.full((n,), k) for k, n in enumerate(counts)])
    labels = labels[torch.randperm(len(labels))]
    orders = [
        balanced_order(labels, "abc", torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    ]
    assert torch.equal(orders[0], orders[1])
    for order in orders:
        assert len(order) == len(labels)
        seen = torch.bincount(labels[order], minlength=3)
        assert seen.max() - seen.min() <= 1
        often = torch.bincount(order, minlength=len(labels))
        for k in range(3):
            assert often[labels == k].max() - often[labels == k].min() <= 1
    if len(labels) > 20:
        assert not torch.equal(orders[0], orders[2])


def test_a_class_without_images_cannot_be_balanced():
    for balance in (class_weights, lambda y, names: balanced_order(y, names, torch.Generator())):
        with pytest.raises(ValueError, match="class 'b' has no images for training, so nothing"):
            balance(torch.tensor([0, 0]), ("a", "b"))


@dataclass(frozen=True)
class Focal(CrossEntropy):
    """A loss of one's own that takes no weights."""

    def __call__(self, scores, labels):
        return F.cross_entropy(scores, labels)


@dataclass(frozen=True)
class Weighted(CrossEntropy):
    def __call__(self, scores, labels, weights=None):
        return F.cross_entropy(scores, labels, weights)


def test_what_cannot_be_balanced_is_refused_by_name():
    recipe = fast(16)
    for name in ("class_weights", "sampler"):
        with pytest.raises(ValueError, match=f"^{name} must be balanced or None, not 'equal'$"):
            override(recipe, {name: "equal"})
        assert override(recipe, {name: "balanced"}) == replace(recipe, **{name: "balanced"})
        assert override(replace(recipe, **{name: "balanced"}), {name: "None"}) == recipe
    with pytest.raises(ValueError, match="class_weights and sampler are both balanced, which"):
        replace(recipe, class_weights="balanced", sampler="balanced")
    with pytest.raises(ValueError, match=r"cannot be balanced with the loss Focal"):
        replace(recipe, class_weights="balanced", loss=Focal())
    assert replace(recipe, class_weights="balanced", loss=Weighted()).class_weights == "balanced"


@pytest.mark.parametrize("changes", BALANCED)
def test_every_image_of_an_epoch_is_trained_on_as_often_as_it_is_drawn(changes):
    """The mean training loss of an untrained network is that over the classes."""
    data = imbalanced()
    recipe = replace(
        fast(16), epochs=8, batch=len(data.train), lr=cn.training.recipe.Constant(0.0),
        loss=CrossEntropy(), augment=(), crop_sampler=cn.data.crops.CentreCrop(), **changes,
    )  # fmt: skip
    network = net()
    network[3] = nn.Identity()
    config = RunConfig.fit(recipe, data, Execution("fp32", accumulation_steps=1))
    state = start(network, config)
    losses = [record.loss for record in train(state, config, data)]
    with torch.no_grad():
        each = F.cross_entropy(
            network(config.scaling(data.train.pixels)), data.train.labels, reduction="none"
        )
    labels = data.train.labels
    expected = torch.stack([each[labels == k].mean() for k in range(4)]).mean().item()
    assert losses[0] == pytest.approx(expected, rel=0.03 if changes.get("sampler") else 1e-5)
    assert sum(losses) / 8 == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("changes", BALANCED)
def test_a_balanced_run_is_stopped_and_resumed_bit_for_bit(tmp_path, stop_after, changes):
    data = imbalanced()
    words = {"data": data, "recipe": replace(fast(16), epochs=3, batch=16, **changes)}
    whole = cn.train(network(), out=tmp_path / "whole", **words)
    whole.finish()
    stop_after(cn.train(network(), out=tmp_path / "stopped", **words), 6)
    resumed = cn.resume(tmp_path / "stopped", network(), data)
    resumed.finish()
    name = "weights.safetensors"
    weights = [(tmp_path / run / name).read_bytes() for run in ("whole", "stopped")]
    assert weights[0] == weights[1]
    stored = json.loads((tmp_path / "stopped" / "run.json").read_text())
    assert stored["recipe"] == stored["recipe"] | changes
    expected = class_weights(data.train.labels, data.classes) if "class_weights" in changes else ()
    assert tuple(stored["class_weights"]) == expected


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return net()


def test_class_weights_of_another_number_of_classes_are_damage(tmp_path):
    data = imbalanced()
    recipe = replace(fast(16), epochs=1, batch=64, class_weights="balanced")
    cn.train(network(), data, recipe, out=tmp_path / "run").finish()
    path = tmp_path / "run" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"class_weights": [1.0]}))
    with pytest.raises(ValueError, match="class_weights cannot be 1 numbers; they are one for"):
        cn.load(tmp_path / "run", network())


def test_lenets_curvature_is_that_of_the_balanced_error():
    """The images that it is estimated on are drawn from each class equally often."""
    from classicnets.training.run.loop import _draw_images

    data = imbalanced()
    for changes in BALANCED:
        config = RunConfig.fit(replace(fast(16), **changes), data, Execution())
        drawn = _draw_images(config, data, 0, len(data.train))
        of_last = data.train.pixels[data.train.labels == 3]
        copies = sum(
            torch.allclose(x, config.scaling(y[None])[0], atol=1e-5) for x in drawn for y in of_last
        )
        assert abs(copies - len(data.train) / 4) <= 1
