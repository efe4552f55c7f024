"""The papers' recipes: what each says, and that it can be followed."""

import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from classicnets.data.augment import HorizontalFlip
from classicnets.data.crops import ScaleJitter
from classicnets.data.scaling import Between
from classicnets.data.synthetic import shapes
from classicnets.recipes import alexnet, fast, googlenet, lenet, resnet, vgg, zfnet
from classicnets.recipes.adapt import adapt
from classicnets.training.execution.execution import Execution
from classicnets.training.recipe.init import (
    AsBuilt,
    FromRun,
    Gaussian,
    Glorot,
    HeNormal,
    LecunUniform,
)
from classicnets.training.recipe.loss import (
    CrossEntropy,
    MapLoss,
    PenaltyLoss,
    WithAuxiliaries,
)
from classicnets.training.recipe.optimizers import SGD, LevenbergMarquardt
from classicnets.training.recipe.recipe import ABOUT_PAPER, Recipe, differences
from classicnets.training.recipe.schedules import (
    Constant,
    EpochTable,
    History,
    OneCycle,
    ReduceOnPlateau,
    WarmupUntil,
)
from classicnets.training.recipe.serialization import from_json, to_json
from classicnets.training.run.config import RunConfig
from classicnets.training.run.loop import initialise, start, train

RECIPES = {
    "lenet.MNIST": lenet.MNIST,
    "lenet.DISTORTED": lenet.DISTORTED,
    "lenet.DIGITS": lenet.DIGITS,
    "lenet.FAST": lenet.FAST,
    "alexnet": alexnet.IMAGENET,
    "zfnet": zfnet.IMAGENET,
    "vgg": vgg.IMAGENET,
    "vgg.S384": vgg.S384,
    "vgg.JITTER": vgg.JITTER,
    "googlenet": googlenet.IMAGENET,
    "resnet": resnet.IMAGENET,
    "resnet.CIFAR": resnet.CIFAR,
    "resnet.CIFAR_110": resnet.CIFAR_110,
    "fast": fast.FAST,
}

PLAIN = Recipe(
    cite="none",
    epochs=3,
    batch=16,
    optimizer=SGD(momentum=0.9, weight_decay=1e-4),
    lr=Constant(0.02),
    init=HeNormal(),
    side=20,
    crop=16,
    augment=(HorizontalFlip(),),
    pixels=Between(-1.0, 1.0),
)


EXACT = Execution("fp32", "channels_first", accumulation_steps=1)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_in_small_form_trains(name):
    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(
                nn.AdaptiveAvgPool2d(4), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten()
            )
            self.scores, self.aux = nn.Linear(16, 4), nn.Linear(16, 4)

        def forward(self, x):
            x = self.body(x)
            return (self.scores(x), self.aux(x)) if self.training else self.scores(x)

    recipe = RECIPES[name]
    init = LecunUniform() if isinstance(recipe.init, LecunUniform) else recipe.init
    init = AsBuilt() if isinstance(init, FromRun) else init
    jitter = isinstance(recipe.crop_sampler, ScaleJitter)
    window = ScaleJitter(28, 40) if jitter else recipe.crop_sampler
    rule = SGD() if isinstance(recipe.optimizer, LevenbergMarquardt) else recipe.optimizer
    small = dataclasses.replace(
        recipe, epochs=1, steps=None, batch=14, side=28, crop=24, crop_sampler=window, init=init,
        optimizer=rule,
    )  # fmt: skip
    data = shapes(40, side=28)
    config = RunConfig.fit(small, data, EXACT)
    network = Heads()
    initialise(network, small, 0)
    state = start(network, config)
    before = [p.clone() for p in state.network.parameters()]
    *_, last = train(state, config, data)
    assert last.validation is not None
    moved = [not torch.equal(a, b) for a, b in zip(before, state.network.parameters(), strict=True)]
    heads = 2 if isinstance(small.loss, WithAuxiliaries) else 0
    assert all(moved[: 4 + heads])


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_comes_back_from_its_json(name):
    import json

    content = json.loads(json.dumps(to_json(RECIPES[name])))
    assert from_json(content, Recipe) == RECIPES[name]


def test_json_with_an_unknown_part_is_refused():
    content = to_json(PLAIN)
    content["optimizer"] = {"kind": "Magic"}
    with pytest.raises(ValueError, match="no part 'Magic'"):
        from_json(content, Recipe)


def test_what_a_recipe_assumes_must_be_a_field_of_it():
    with pytest.raises(ValueError, match="'momentum' is cited or assumed but is not a field"):
        dataclasses.replace(PLAIN, assumed={"momentum": "a guess"})


@pytest.mark.parametrize(
    ("field", "value"),
    [("epochs", 0), ("batch", -1), ("crop", 21)],
)
def test_a_recipe_that_cannot_be_followed_is_refused(field, value):
    with pytest.raises(ValueError, match=f"{value}"):
        dataclasses.replace(PLAIN, **{field: value})


def test_differences_name_what_was_changed_and_nothing_else():
    changed = dataclasses.replace(resnet.CIFAR, batch=64, cite="mine")
    assert differences(changed, resnet.CIFAR) == {"batch": (64, 128)}


def test_the_papers_schedules_give_the_papers_rates():
    cifar = resnet.CIFAR.lr
    rates = [cifar(step / 64_000) for step in (0, 31_999, 32_000, 47_999, 48_000, 63_999)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
    by_epoch = [lenet.MNIST.lr(done / 20) for done in range(20)]
    printed = [5e-4] * 2 + [2e-4] * 3 + [1e-4] * 3 + [5e-5] * 4 + [1e-5] * 8
    assert by_epoch == pytest.approx(printed)
    google = googlenet.IMAGENET.lr
    assert google(7.9 / 250) == 0.01
    assert google(16 / 250) == pytest.approx(0.01 * 0.96**2)


def test_one_cycle_rises_to_its_peak_and_ends_at_nothing():
    cycle = OneCycle(2.0, warmup=0.25)
    values = [cycle(i / 100) for i in range(101)]
    assert max(values) == values[25] == 2.0
    assert values[:26] == sorted(values[:26])
    assert values[25:] == sorted(values[25:], reverse=True)
    assert values[-1] == 0


def test_a_table_keeps_its_last_learning_rate_at_the_end():
    assert EpochTable(((1, 3.0), (2, 1.0)))(1.0) == 1.0


def test_equation_9_equals_what_the_paper_prints():
    y = torch.tensor([[3.0, 0.5, 7.0], [1.0, 2.0, 0.1]])  # penalties
    d, j = (1, 0), 4.0
    printed = [
        y[p, d[p]].item() + math.log(math.exp(-j) + sum(math.exp(-v) for v in y[p].tolist()))
        for p in (0, 1)
    ]
    assert MapLoss(j)(-y, torch.tensor(d)).item() == pytest.approx(sum(printed) / 2, rel=1e-6)


def test_equation_8_is_the_mean_penalty_of_the_right_class():
    y = torch.tensor([[3.0, 0.5, 7.0], [1.0, 2.0, 0.1]])
    assert PenaltyLoss()(-y, torch.tensor([2, 0])).item() == (7 + 1) / 2


def test_auxiliary_heads_count_three_tenths_in_training_only():
    heads = tuple(torch.randn(5, 4) for _ in range(3))
    labels = torch.tensor([0, 1, 2, 3, 0])
    main, one, two = (F.cross_entropy(head, labels) for head in heads)
    loss = WithAuxiliaries(0.3)
    assert torch.isclose(loss(heads, labels), main + 0.3 * one + 0.3 * two)
    assert torch.equal(loss(heads[0], labels), main)


def test_smoothing_moves_its_share_to_all_classes():
    scores, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    log = scores.log_softmax(1)
    target = F.one_hot(labels, 4) * 0.9 + 0.1 / 4
    expected = -(target * log).sum(1).mean()
    assert torch.isclose(CrossEntropy(0.1)(scores, labels), expected)


def test_initial_values_have_the_spread_the_papers_give():
    generator = torch.Generator().manual_seed(0)
    layer = nn.Conv2d(50, 80, 3)
    network = nn.Sequential(layer)
    Gaussian(0.01, bias_layers=("0",))(network, generator)
    assert layer.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert layer.bias is not None
    assert (layer.bias == 1).all()
    HeNormal()(network, generator)
    assert layer.weight.var().item() == pytest.approx(2 / 450, rel=0.03)
    assert (layer.bias == 0).all()
    Glorot(bias=0.2)(network, generator)
    assert layer.weight.var().item() == pytest.approx(2 / (450 + 720), rel=0.03)
    LecunUniform()(network, generator)
    assert layer.weight.abs().max().item() == pytest.approx(2.4 / 450, rel=0.01)
    before = layer.weight.clone()
    AsBuilt()(network, generator)
    assert torch.equal(before, layer.weight)


def test_every_parameter_of_lenet_starts_in_its_papers_range():
    from classicnets.models.lenet import lenet5

    network = lenet5()
    initialise(network, lenet.MNIST, 0)
    largest = {name: p.abs().max().item() for name, p in network.named_parameters()}
    ranges = {"C1": 0.096, "C3": 0.032, "C5": 0.006, "F6": 2.4 / 120}  # papers' 2.4 / fan-in
    for layer, bound in ranges.items():
        assert 0.85 * bound < largest[f"{layer}.weight"] <= bound
        assert largest[f"{layer}.bias"] == 0
    assert 0.2 < largest["S4.coefficient"] <= 0.6
    kernels = network.get_parameter("C3.weight").abs().amax((1, 2))
    assert kernels[18:54].max() <= 0.024
    assert kernels[54:].max() <= 0.016


def test_biases_and_normalisation_can_be_spared_the_decay():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 4))
    groups = SGD(weight_decay=0.1, decay_bias_and_norm=False).build(network).param_groups
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    assert [len(group["params"]) for group in groups] == [2, 4]


def test_a_network_without_parameters_cannot_be_trained():
    with pytest.raises(ValueError, match="no parameters to train"):
        PLAIN.optimizer.build(nn.Sequential(nn.Flatten()))


@pytest.mark.parametrize("name", [name for name in RECIPES if "fast" not in name.lower()])
def test_every_value_of_a_paper_is_cited_or_assumed(name):
    recipe = RECIPES[name]
    said = {f.name: getattr(recipe, f.name) for f in dataclasses.fields(recipe)}
    silent = [key for key, value in said.items() if value in (None, ()) or key in ABOUT_PAPER]
    unsaid = set(said) - set(silent) - {*recipe.cited, *recipe.assumed}
    assert unsaid == set()


def test_a_stalled_validation_lowers_the_learning_rate_three_times_at_most():
    plateau = ReduceOnPlateau(0.01, factor=0.1, times=3, patience=0.1)  # two epochs of twenty
    histories = ((), (50, 40), (50, 40, 41), (50, 40, 41, 40), (50, 40, 41, 40, 39), (1,) * 19)
    seen = [plateau(0.5, History(epochs=20, validation=errors)) for errors in histories]
    assert seen == pytest.approx([0.01, 0.01, 0.01, 0.001, 0.001, 1e-5])


def test_110_layers_warm_up_until_the_training_error_is_below_80_percent():
    rate = resnet.CIFAR_110.lr
    assert isinstance(rate, WarmupUntil)
    assert rate(0.001, History(lowest=80.0)) == 0.01
    assert rate(0.001, History(lowest=79.9)) == 0.1
    assert rate(0.6, History(lowest=20.0)) == pytest.approx(0.01)


def test_a_length_is_given_in_epochs_or_in_steps():
    assert resnet.CIFAR.steps_per_epoch(45_000) == 352
    assert resnet.CIFAR.total_steps(45_000) == 64_000
    assert alexnet.IMAGENET.steps_per_epoch(1_200_000) == 9375
    assert alexnet.IMAGENET.total_steps(1_200_000) == 90 * 9375
    with pytest.raises(ValueError, match="either epochs or steps"):
        dataclasses.replace(PLAIN, steps=10)


def test_a_recipe_is_fitted_to_other_data_by_stated_rules():
    few = dataclasses.replace(shapes(40, channels=1), name="mnist")
    recipe, reasons = adapt(resnet.IMAGENET, few)
    assert (recipe.epochs, recipe.steps) == (120, None)  # 600,000 steps of 256 in 1.28 million
    assert recipe.batch == len(few.train)
    assert recipe.augment == ()
    assert set(reasons) == {"epochs", "batch", "augment", "paper_images"}
    assert "not mirrored" in reasons["augment"]
    assert "no colours" in reasons["augment"]
    assert adapt(PLAIN, shapes(40)) == (PLAIN, {})
