"""Training: it learns, it is repeatable, and stopping changes nothing."""

import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from classicnets.data.augment import Flip, RandomCrop
from classicnets.data.images import Images, Splits
from classicnets.data.pixels import Between
from classicnets.data.synthetic import shapes
from classicnets.recipes import alexnet, fast, googlenet, lenet, resnet, vgg, zfnet
from classicnets.training import checkpoint
from classicnets.training.description import describe, from_description
from classicnets.training.init import AsBuilt, Gaussian, Glorot, HeNormal, LecunUniform
from classicnets.training.loop import judge, start, train
from classicnets.training.loss import CrossEntropy, MapLoss, WithAuxiliaries
from classicnets.training.optim import SGD
from classicnets.training.rates import Constant, Drops, OneCycle, Table
from classicnets.training.recipe import Recipe, differences

RECIPES = {
    "lenet.MNIST": lenet.MNIST,
    "lenet.DIGITS": lenet.DIGITS,
    "alexnet": alexnet.IMAGENET,
    "zfnet": zfnet.IMAGENET,
    "vgg": vgg.IMAGENET,
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
    optimizer=SGD(momentum=0.9, decay=1e-4),
    rate=Drops(0.02, at=(0.5,), by=0.1),
    init=HeNormal(),
    side=20,
    crop=16,
    augment=(RandomCrop(16), Flip()),
    pixels=Between(-1.0, 1.0),
)


def net() -> nn.Sequential:
    """Everything that carries state or draws by chance: batch normalisation and dropout."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(32, 4),
    )


def run(recipe: Recipe, splits: Splits, steps: float = math.inf, state=None, seed: int = 0):
    """The state after so many steps, from a state or from the seed."""
    if state is None:
        torch.manual_seed(seed)
        state = start(net(), recipe, seed)
    for record in train(state, recipe, splits, recipe.pixels.fit(splits.train)):
        if record.step >= steps:
            break
    return state


def bits(state) -> list[torch.Tensor]:
    buffers = [b for s in state.optimizer.state.values() for b in s.values() if b is not None]
    return [*state.network.state_dict().values(), *buffers]


def equal(one, other) -> bool:
    return all(torch.equal(a, b) for a, b in zip(bits(one), bits(other), strict=True))


def test_one_batch_is_learnt_by_heart():
    splits = shapes(24, side=20)
    recipe = dataclasses.replace(
        PLAIN, epochs=150, batch=24, crop=20, augment=(), rate=Constant(0.05)
    )
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 256, 4))
    *_, last = train(start(network, recipe, 0), recipe, splits, recipe.pixels.fit(splits.train))
    assert last.error == 0
    assert last.loss < 0.05


def test_two_runs_with_one_seed_are_equal_and_another_seed_differs():
    splits = shapes(80, side=20)
    assert equal(run(PLAIN, splits), run(PLAIN, splits))
    assert not equal(run(PLAIN, splits), run(PLAIN, splits, seed=1))


@pytest.mark.parametrize("stop_after", [1, 4, 6, 8])  # four steps an epoch
def test_a_stopped_run_goes_on_as_if_it_had_not(tmp_path, stop_after):
    splits = shapes(80, side=20)
    whole = run(PLAIN, splits)
    stopped = run(PLAIN, splits, steps=stop_after)
    checkpoint.save(stopped, tmp_path / "last.pt")
    torch.manual_seed(99)
    fresh = start(net(), PLAIN, seed=99)
    checkpoint.restore(fresh, tmp_path / "last.pt")
    assert fresh.step == stop_after
    resumed = run(PLAIN, splits, state=fresh)
    assert equal(whole, resumed)
    assert torch.equal(whole.totals, resumed.totals)
    assert whole.best == resumed.best


def test_a_checkpoint_with_code_in_it_is_refused_and_not_run(tmp_path):
    ran = tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return ran.touch, ()

    torch.save({"network": Trap()}, tmp_path / "last.pt")
    with pytest.raises(ValueError, match="damaged"):
        checkpoint.restore(start(net(), PLAIN, 0), tmp_path / "last.pt")
    assert not ran.exists()


def test_a_damaged_or_foreign_checkpoint_is_refused_in_a_sentence(tmp_path):
    path = tmp_path / "last.pt"
    checkpoint.save(start(net(), PLAIN, 0), path)
    with pytest.raises(ValueError, match="of another network"):
        checkpoint.restore(start(nn.Sequential(nn.Linear(3, 4)), PLAIN, 0), path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="damaged"):
        checkpoint.restore(start(net(), PLAIN, 0), path)
    with pytest.raises(ValueError, match="there is no"):
        checkpoint.restore(start(net(), PLAIN, 0), tmp_path / "none.pt")


def test_every_picture_is_seen_once_an_epoch_and_validation_comes_last():
    splits = shapes(80, side=20)  # 56 for training
    records = list(train(start(net(), PLAIN, 0), PLAIN, splits, PLAIN.pixels.fit(splits.train)))
    assert [record.step for record in records] == list(range(1, 13))
    assert {record.steps for record in records} == {12}
    assert [record.epoch for record in records] == [1] * 4 + [2] * 4 + [3] * 4
    assert [record.images for record in records[:4]] == [16, 32, 48, 56]
    assert [record.validation is not None for record in records] == [False, False, False, True] * 3
    assert records[3].best


def test_a_loss_that_is_no_number_ends_in_a_sentence():
    splits = shapes(80, side=20)
    recipe = dataclasses.replace(PLAIN, rate=Constant(1e30))
    with pytest.raises(ValueError, match=r"no longer finite at step 4, with a rate of 1e\+30"):
        run(recipe, splits)


def test_a_judgement_equals_counting_by_hand():
    logits = torch.tensor([[5.0, 1, 2, 3, 4, 0], [0, 9, 1, 2, 3, 4], [9, 1, 2, 3, 4, 0]])
    pixels = torch.zeros(3, 1, 1, 6, dtype=torch.uint8)
    pixels[:, 0, 0] = logits.to(torch.uint8)
    images = Images(pixels[..., :6].expand(-1, -1, 6, -1), torch.tensor([0, 2, 5]))
    network = nn.Sequential(nn.AvgPool2d((6, 1)), nn.Flatten())
    recipe = dataclasses.replace(PLAIN, side=6, crop=6, pixels=Between(0.0, 255.0), augment=())
    judgement = judge(network, recipe, images, recipe.pixels.fit(images))
    assert judgement.top1_error == pytest.approx(200 / 3)
    assert judgement.top5_error == pytest.approx(100 / 3)  # 5 is the least likely of the third
    byhand = [math.log(sum(map(math.exp, row))) - row[k]
              for row, k in zip(logits.tolist(), (0, 2, 5), strict=True)]  # fmt: skip
    assert judgement.loss == pytest.approx(sum(byhand) / 3, rel=1e-5)


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
    crops = tuple(RandomCrop(24) if isinstance(a, RandomCrop) else a for a in recipe.augment)
    small = dataclasses.replace(
        recipe, epochs=1, batch=14, side=28, crop=24, augment=crops, init=init
    )
    splits = shapes(40, side=28)
    state = start(Heads(), small, 0)
    before = [p.clone() for p in state.network.parameters()]
    *_, last = train(state, small, splits, small.pixels.fit(splits.train))
    assert last.validation is not None
    moved = [not torch.equal(a, b) for a, b in zip(before, state.network.parameters(), strict=True)]
    heads = 2 if isinstance(small.loss, WithAuxiliaries) else 0
    assert all(moved[: 4 + heads])


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_comes_back_from_its_description(name):
    import json

    description = json.loads(json.dumps(describe(RECIPES[name])))
    assert from_description(description) == RECIPES[name]


def test_a_description_with_an_unknown_part_is_refused():
    description = describe(PLAIN)
    description["optimizer"] = {"kind": "Magic"}
    with pytest.raises(ValueError, match="no part 'Magic'"):
        from_description(description)


def test_what_a_recipe_assumes_must_be_a_field_of_it():
    with pytest.raises(ValueError, match="'momentum', which is no field"):
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
    cifar = resnet.CIFAR.rate
    rates = [cifar(step / 64_000) for step in (0, 31_999, 32_000, 47_999, 48_000, 63_999)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
    passes = [lenet.MNIST.rate(done / 20) * lenet.CURVATURE for done in range(20)]
    printed = [5e-4] * 2 + [2e-4] * 3 + [1e-4] * 3 + [5e-5] * 4 + [1e-5] * 8
    assert passes == pytest.approx(printed)
    google = googlenet.IMAGENET.rate
    assert google(7.9 / 250) == 0.01
    assert google(16 / 250) == pytest.approx(0.01 * 0.96**2)


def test_one_cycle_rises_to_its_peak_and_ends_at_nothing():
    cycle = OneCycle(2.0, warm=0.25)
    values = [cycle(i / 100) for i in range(101)]
    assert max(values) == values[25] == 2.0
    assert values[:26] == sorted(values[:26])
    assert values[25:] == sorted(values[25:], reverse=True)
    assert values[-1] == 0


def test_a_table_keeps_its_last_rate_at_the_end():
    assert Table(((1, 3.0), (2, 1.0)))(1.0) == 1.0


def test_equation_9_equals_what_the_paper_prints():
    y = torch.tensor([[3.0, 0.5, 7.0], [1.0, 2.0, 0.1]])  # penalties
    d, j = (1, 0), 4.0
    printed = [
        y[p, d[p]].item() + math.log(math.exp(-j) + sum(math.exp(-v) for v in y[p].tolist()))
        for p in (0, 1)
    ]
    assert MapLoss(j)(-y, torch.tensor(d)).item() == pytest.approx(sum(printed) / 2, rel=1e-6)


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
    Gaussian(0.01, ones=("0",))(network, generator)
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

    network = start(lenet5(), lenet.MNIST, 0).network
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
    groups = SGD(decay=0.1, decay_all=False).build(net()).param_groups
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    assert [len(group["params"]) for group in groups] == [2, 4]


def test_a_network_without_parameters_cannot_be_trained():
    with pytest.raises(ValueError, match="no parameters to train"):
        start(nn.Sequential(nn.Flatten()), PLAIN, 0)
