"""Adam and AdamW against their equations and against torch, resumed bit for bit."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from classicnets.data.synthetic import shapes
from classicnets.measure import measure
from classicnets.recipes.resnet import CIFAR
from classicnets.training.execution import execution, memory
from classicnets.training.execution.execution import Execution, resolve_execution
from classicnets.training.execution.step import make_graphable
from classicnets.training.recipe.init import HeNormal
from classicnets.training.recipe.optimizers import SGD, Adam, AdamW, CaffeSGD, LevenbergMarquardt
from classicnets.training.recipe.overrides import override
from classicnets.training.recipe.serialization import from_json, to_json
from classicnets.training.run import checkpoint, loop
from classicnets.training.run.config import RunConfig

RULES = (
    Adam(),
    Adam((0.8, 0.95), eps=1e-3, weight_decay=0.1),
    AdamW(),
    AdamW((0.8, 0.95), eps=1e-3, weight_decay=0.1),
)
TORCH = {Adam: torch.optim.Adam, AdamW: torch.optim.AdamW}
EXACT = Execution("fp32", "channels_first", accumulation_steps=1)


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(4, 4),
    )  # fmt: skip


def twenty_steps(network: nn.Module, optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    for number in range(20):
        for group in optimizer.param_groups:
            group["lr"] = 0.01 / (1 + number)
        x = torch.rand(8, 3, 8, 8, generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), torch.arange(8) % 4).backward()
        optimizer.step()
    return [p.detach() for p in network.parameters()]


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_twenty_steps_equal_torchs(rule):
    network, reference = net(), net()
    theirs = TORCH[type(rule)](
        reference.parameters(),
        lr=0.01,
        betas=rule.betas,
        eps=rule.eps,
        weight_decay=rule.weight_decay,
        fused=True,
    )
    ours = twenty_steps(network, rule.build(network))
    for one, other in zip(ours, twenty_steps(reference, theirs), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("rule", [Adam, AdamW])
def test_the_defaults_are_torchs(rule):
    theirs = TORCH[rule]([nn.Parameter(torch.ones(1))]).defaults
    ours = rule()
    assert ours.betas == theirs["betas"]
    assert (ours.eps, ours.weight_decay) == (theirs["eps"], theirs["weight_decay"])


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_steps_follow_the_equations_of_the_papers(rule):
    weight = nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(weight.weight, 0.7)
    optimizer = rule.build(weight)
    (b1, b2), w, m, v = rule.betas, 0.7, 0.0, 0.0
    for t, (rate, g) in enumerate([(0.1, 0.3), (0.1, -2.0), (0.02, 1e-4), (0.3, 0.5)], start=1):
        optimizer.param_groups[0]["lr"] = rate
        weight.weight.grad = torch.full((1, 1), g, dtype=torch.float64)
        optimizer.step()
        if isinstance(rule, AdamW):
            w -= rate * rule.weight_decay * w
        else:
            g += rule.weight_decay * w
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        w -= rate * (m / (1 - b1**t)) / (math.sqrt(v / (1 - b2**t)) + rule.eps)
        assert weight.weight.item() == pytest.approx(w, rel=1e-12)


@pytest.mark.parametrize("rule", [SGD, Adam, AdamW])
def test_biases_and_normalisation_are_spared_where_the_recipe_says_so(rule):
    network = net()
    optimizer = rule(weight_decay=0.5, decay_bias_and_norm=False).build(network)
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    found = {name: decay[id(p)] for name, p in network.named_parameters()}
    weights = {"0.weight": 0.5, "5.weight": 0.5}
    assert found == {**dict.fromkeys(found, 0.0), **weights}
    assert rule(weight_decay=0.5).build(net()).param_groups[0]["weight_decay"] == 0.5


@pytest.mark.parametrize("rule", [AdamW(weight_decay=0.1, decay_bias_and_norm=False), Adam()])
def test_a_training_that_is_resumed_ends_with_the_same_bits(rule, tmp_path):
    recipe = dataclasses.replace(
        CIFAR, optimizer=rule, epochs=3, steps=None, batch=16, side=20, crop=16, init=HeNormal()
    )
    data = shapes(60, side=20)
    config = RunConfig.fit(recipe, data, EXACT)

    def steps(state, last):
        for record in loop.train(state, config, data):
            if record.step >= last:
                break
        return state

    whole = steps(loop.start(net(), config), 9)
    checkpoint.save(steps(loop.start(net(), config), 4), tmp_path / "last.pt", config.fixed())
    resumed = loop.start(net(), config)
    checkpoint.restore(resumed, tmp_path / "last.pt", config.fixed())
    steps(resumed, 9)
    for one, other in zip(
        whole.network.state_dict().values(), resumed.network.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)
    for mine, yours in zip(
        whole.optimizer.state.values(), resumed.optimizer.state.values(), strict=True
    ):
        assert set(mine) == {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(mine[name], yours[name]) for name in mine)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.clear(),
        lambda state: state.pop("exp_avg"),
        lambda state: state.update(exp_avg=torch.zeros(())),
        lambda state: state.update(step=torch.zeros(3)),
        lambda state: state.update(step=torch.tensor(-1.0)),
        lambda state: state.update(exp_avg_sq=-torch.ones_like(state["exp_avg_sq"])),
        lambda state: state.update(exp_avg_sq=state["exp_avg_sq"] * math.nan),
    ],
)
def test_a_damaged_state_is_refused(change, tmp_path):
    recipe = dataclasses.replace(
        CIFAR, optimizer=AdamW(), epochs=1, steps=None, batch=16, side=20, crop=16
    )
    data = shapes(60, side=20)
    config = RunConfig.fit(recipe, data, EXACT)
    state = loop.start(net(), config)
    next(loop.train(state, config, data))
    path = tmp_path / "last.pt"
    checkpoint.save(state, path, config.fixed())
    content = torch.load(path, weights_only=True)
    change(content["optimizer"]["state"][0])
    torch.save(content, path)
    with pytest.raises(ValueError, match="is damaged, or the state of another optimizer"):
        checkpoint.restore(loop.start(net(), config), path, config.fixed())


@pytest.mark.parametrize(
    ("rule", "copies"),
    [
        (SGD(), 0),
        (SGD(0.9), 1),
        (CaffeSGD(0.9), 1),
        (LevenbergMarquardt(), 1),
        (Adam(), 2),
        (AdamW(), 2),
    ],
)
def test_the_memory_of_a_step_counts_the_values_that_the_optimizer_keeps(rule, copies, monkeypatch):
    network = net()
    report = measure(network, (3, 64, 64), optimizer_copies=rule.copies)
    one = report.training_memory
    assert one.optimizer == copies * one.gradients
    assert f"({copies} value{'s' * (copies != 1)} per weight)" in report.text().replace("\n", " ")
    ten, eleven = (memory.step_peak(network, (3, 64, 64), n, rule.copies) for n in (10, 11))
    assert ten.optimizer == one.optimizer
    room = memory.MARGIN * (0.4 * ten.total + 0.6 * eleven.total - ten.runtime)
    monkeypatch.setattr(execution, "free_memory", lambda device: float(room))
    _, why = resolve_execution(Execution("fp32"), network, (3, 64, 64), 64, rule)
    assert "; the largest batch that fits is 10)" in why


def test_a_recorded_step_reads_learning_rate_and_count_on_the_device(monkeypatch):
    monkeypatch.setattr("classicnets.training.execution.step.require_graphs", lambda device: None)
    optimizer = AdamW().build(net())
    make_graphable(optimizer, torch.device("cpu"))
    (group,) = optimizer.param_groups
    assert (group["capturable"], group["lr"].shape) == (True, torch.Size())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"optimizer": "AdamW()"}, AdamW()),
        ({"optimizer": "AdamW((0.9, 0.95), weight_decay=0.05)"}, AdamW((0.9, 0.95), 1e-8, 0.05)),
        ({"optimizer": "Adam", "optimizer.betas": "(0.5, 0.999)"}, Adam((0.5, 0.999))),
        ({"optimizer.eps": "1e-6", "optimizer": "AdamW"}, AdamW(eps=1e-6)),
    ],
)
def test_a_recipe_takes_them_and_gives_them_back_from_json(change, expected):
    recipe = override(CIFAR, change)
    assert recipe.optimizer == expected
    assert from_json(to_json(recipe), type(recipe)) == recipe
    assert override(CIFAR, {"optimizer": repr(expected)}).optimizer == expected


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (
            "AdamW(betas=(0.9, 1.0))",
            "betas of AdamW must be at least 0 and below 1, not (0.9, 1.0)",
        ),
        ("Adam((-0.1, 0.9))", "betas of Adam must be at least 0 and below 1"),
        ("AdamW(eps=-1)", "eps of AdamW must be at least 0, not -1"),
        ("Adam(weight_decay=-1)", "weight_decay of Adam must be at least 0, not -1"),
        (
            "AdamW(betas=0.9)",
            "optimizer.betas cannot be 0.9; it takes a tuple (a number, a number)",
        ),
        ("AdamW(momentum=0.9)", "AdamW has no 'momentum'; it has betas, eps, weight_decay"),
        (
            "RMSprop()",
            "optimizer cannot be 'RMSprop'; it takes SGD(momentum, weight_decay, nesterov, "
            "decay_bias_and_norm), CaffeSGD(momentum, weight_decay), ",
        ),
    ],
)
def test_what_they_do_not_take_is_refused(value, sentence):
    with pytest.raises(ValueError, match=r".") as refused:
        override(CIFAR, {"optimizer": value})
    assert sentence in str(refused.value)
