"""The papers' update rules, step by step, against the formulas in plain Python."""

import pytest
import torch
from torch import nn

from classicnets.training.recipe.constraint import FilterRms
from classicnets.training.recipe.optimizers import SGD, CaffeSGD, LevenbergMarquardt


class OneWeight(nn.Module):
    def __init__(self, w: float):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([w], dtype=torch.float64))


def course(rule, rates, gradients, w=1.0):
    """The weight after each step."""
    network = OneWeight(w)
    optimizer = rule.build(network)
    after = []
    for rate, gradient in zip(rates, gradients, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        network.w.grad = torch.full_like(network.w, gradient)
        optimizer.step()
        after.append(network.w.item())
    return after


def test_alexnets_rule_by_hand():
    # v = -0.1, w = 0.9; then the rate drops: v = 0.5 (-0.1) - 0.01 = -0.06, w = 0.84
    assert course(CaffeSGD(0.5), (0.1, 0.01), (1.0, 1.0)) == pytest.approx([0.9, 0.84])
    # torch's: v = 1, w = 0.9; v = 1.5, w = 0.9 - 0.015
    assert course(SGD(0.5), (0.1, 0.01), (1.0, 1.0)) == pytest.approx([0.9, 0.885])


def test_the_decay_is_multiplied_by_the_rate():
    # v = -0.2 * 0.5 * 2 = -0.2, w = 1.8; v = 0.9 (-0.2) - 0.1 * 0.5 * 1.8 = -0.27
    rule = CaffeSGD(momentum=0.9, weight_decay=0.5)
    assert course(rule, (0.2, 0.1), (0.0, 0.0), w=2.0) == pytest.approx([1.8, 1.53])


def test_learning_rate_inside_and_outside_agree_until_it_drops():
    gradients = [0.3, -1.2, 0.7, 0.1, -0.4, 0.9]
    rates = [0.1] * 3 + [0.01] * 3
    inside = course(CaffeSGD(0.9, 5e-4), rates, gradients)
    outside = course(SGD(0.9, 5e-4), rates, gradients)
    assert inside[:3] == pytest.approx(outside[:3], rel=1e-12)
    assert all(abs(a - b) > 1e-3 for a, b in zip(inside[3:], outside[3:], strict=True))


def test_alexnets_rule_agrees_with_a_loop_over_scalars():
    torch.manual_seed(3)
    network = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 4)).double()
    optimizer = CaffeSGD(momentum=0.9, weight_decay=0.01).build(network)
    weights = [w for p in network.parameters() for w in p.flatten().tolist()]
    velocities = [0.0] * len(weights)
    for rate in (0.1, 0.1, 0.02, 0.3):
        gradients = torch.randn(len(weights), dtype=torch.float64)
        parts = gradients.split([p.numel() for p in network.parameters()])
        for p, part in zip(network.parameters(), parts, strict=True):
            p.grad = part.view_as(p)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        for i, g in enumerate(gradients.tolist()):
            velocities[i] = 0.9 * velocities[i] - 0.01 * rate * weights[i] - rate * g
            weights[i] += velocities[i]
    ours = [w for p in network.parameters() for w in p.flatten().tolist()]
    assert ours == pytest.approx(weights, rel=1e-12)


def test_a_parameter_without_a_gradient_stays_and_does_not_decay():
    network = nn.ModuleList([OneWeight(1.0), OneWeight(2.0)])
    optimizer = CaffeSGD(0.9, weight_decay=0.1).build(network)
    optimizer.param_groups[0]["lr"] = 0.1
    network[0].w.grad = torch.ones_like(network[0].w)
    optimizer.step()
    assert network[0].w.item() == pytest.approx(1 - 0.1 * 0.1 - 0.1)
    assert network[1].w.item() == 2.0


def test_levenberg_and_marquardt_divide_each_learning_rate_by_mu_and_the_curvature():
    # one unit, cross entropy of two classes at p = 1/2: h = x^2 p (1 - p) = 4 / 4 = 1
    network = nn.Linear(1, 2, bias=False)
    nn.init.zeros_(network.weight)
    optimizer = LevenbergMarquardt(mu=0.25).build(network)
    optimizer.estimate_curvature(network, torch.tensor([[2.0]]))
    optimizer.param_groups[0]["lr"] = 0.5
    network.weight.grad = torch.tensor([[1.0], [-2.0]])
    optimizer.step()
    assert network.weight.flatten().tolist() == pytest.approx([-0.5 / 1.25, 1.0 / 1.25])


def test_the_curvature_is_frozen_until_the_next_pass():
    network = nn.Linear(1, 2, bias=False)
    nn.init.zeros_(network.weight)
    optimizer = LevenbergMarquardt(mu=1.0).build(network)
    moves = []
    for x in (2.0, None, 4.0):  # h = 1, still 1, then with scores still equal 16 / 4 = 4
        if x:
            nn.init.zeros_(network.weight)
            optimizer.estimate_curvature(network, torch.tensor([[x]]))
        before = network.weight[0].item()
        optimizer.param_groups[0]["lr"] = 1.0
        network.weight.grad = torch.ones(2, 1)
        optimizer.step()
        moves.append(before - network.weight[0].item())
    assert moves == pytest.approx([1 / 2, 1 / 2, 1 / 5])


def test_no_step_without_curvature():
    network = nn.Linear(1, 2)
    optimizer = LevenbergMarquardt().build(network)
    with pytest.raises(AssertionError, match="estimate_curvature"):
        optimizer.step()


@pytest.mark.parametrize("rule", [CaffeSGD(0.9, 5e-4), LevenbergMarquardt()])
def test_a_loaded_optimizer_resumes_bit_for_bit(rule, tmp_path):
    x = torch.randn(8, 3)

    def some_steps(network, optimizer, count):
        for _ in range(count):
            optimizer.zero_grad()
            optimizer.param_groups[0]["lr"] = 0.01
            nn.functional.cross_entropy(network(x), torch.arange(8) % 2).backward()
            optimizer.step()

    network = nn.Linear(3, 2)
    optimizer = rule.build(network)
    if isinstance(rule, LevenbergMarquardt):
        optimizer.estimate_curvature(network, x)
    some_steps(network, optimizer, 3)
    torch.save([network.state_dict(), optimizer.state_dict()], tmp_path / "state")
    some_steps(network, optimizer, 3)

    again = nn.Linear(3, 2)
    weights, state = torch.load(tmp_path / "state", weights_only=True)
    again.load_state_dict(weights)
    resumed = rule.build(again)
    resumed.load_state_dict(state)
    some_steps(again, resumed, 3)
    assert torch.equal(again.weight, network.weight)
    assert torch.equal(again.bias, network.bias)


@pytest.mark.parametrize("rule", [SGD(), CaffeSGD(0.9), LevenbergMarquardt()])
def test_a_network_without_parameters_is_refused(rule):
    with pytest.raises(ValueError, match="Flatten has no parameters to train"):
        rule.build(nn.Flatten())


def test_filters_beyond_the_radius_are_brought_back_to_it():
    # four weights each: RMS 0.2, 0.05, 0 and exactly 0.1
    network = nn.Sequential(nn.Conv2d(1, 4, 2), nn.Flatten(), nn.Linear(4, 2))
    values = torch.tensor([[0.4, 0, 0, 0], [0.05, -0.05, 0.05, 0.05], [0] * 4, [0.1, -0.1] * 2])
    network[0].weight.data = values.view(4, 1, 2, 2).clone()
    network[0].bias.data.fill_(5)
    network[2].weight.data.fill_(5)
    FilterRms(0.1)(network)
    expected = values * torch.tensor([[0.5], [1], [1], [1]])
    torch.testing.assert_close(network[0].weight.view(4, 4), expected)
    assert torch.equal(network[0].weight[1:].view(3, 4), values[1:])
    assert (network[0].bias == 5).all()
    assert (network[2].weight == 5).all()


def test_the_radius_is_over_all_the_maps_that_a_filter_reads():
    network = nn.Conv2d(8, 2, 3)
    nn.init.normal_(network.weight, std=3)
    direction = nn.functional.normalize(network.weight.detach().flatten(1))
    FilterRms(0.1)(network)
    rms = network.weight.detach().flatten(1).square().mean(1).sqrt()
    assert rms.tolist() == pytest.approx([0.1, 0.1])
    torch.testing.assert_close(nn.functional.normalize(network.weight.flatten(1)), direction)


def test_a_radius_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="limit must be positive, not 0"):
        FilterRms(0.0)
