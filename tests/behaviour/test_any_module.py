"""Modules of one's own: what trains, what is kept as it was built, and what is refused."""

import sys
import threading
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrizations, prune

import classicnets as cn
from classicnets.api.train import Training
from classicnets.cli.report import print_introduction
from classicnets.data.synthetic import shapes
from classicnets.recipes.fast import fast
from classicnets.support.modules import copy_network
from classicnets.training.recipe.constraint import FilterRms
from classicnets.training.recipe.init import AsBuilt, Gaussian, HeNormal

DATA = shapes(40, side=12)  # 28 for training
RECIPE = fast(12)
IMAGE = torch.zeros(1, 3, 12, 12)


def body(first: Callable[[nn.Module], nn.Module] = lambda layer: layer) -> nn.Sequential:
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)
    return nn.Sequential(first(nn.Conv2d(3, 4, 5)), nn.ReLU(), *head)


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = body()

    def forward(self, x):
        return self.body(x)


class Keeps(Own):
    """Keeps its features, as for Grad-CAM."""

    def __init__(self):
        super().__init__()
        self.body[0].register_forward_hook(lambda _layer, _args, out: setattr(self, "maps", out))


class Locked(Own):
    def __init__(self):
        super().__init__()
        self.lock, self.nested = threading.Lock(), {"locks": [threading.Lock()]}


class LockedInside(nn.Module):
    """Locks deep inside, beside bound hooks and a helper that knows the module."""

    def __init__(self):
        super().__init__()
        self.inner = nn.ModuleDict({"own": Locked()})
        self.helpers = [self.inner, {"own": (self, threading.Lock(), sys.stderr)}]
        self.inner["own"].register_forward_hook(self.seen)

    def seen(self, *_):
        self.calls = getattr(self, "calls", 0) + 1

    def forward(self, x):
        return self.inner["own"](x)


class Sparse(Own):
    def __init__(self, persistent: bool = False):
        super().__init__()
        self.register_buffer("mix", torch.eye(4).to_sparse(), persistent=persistent)

    def forward(self, x):
        return torch.sparse.mm(self.mix, self.body(x).T).T


class Complex(Own):
    def __init__(self):
        super().__init__()
        self.phase = nn.Parameter(torch.ones(4, dtype=torch.complex64))
        self.register_buffer("shift", torch.ones(4, dtype=torch.complex64))

    def forward(self, x):
        return self.body(x) * self.phase.real + self.shift.real


class Twice(Own):
    """A module under two names, and parameters that no pass uses."""

    def __init__(self):
        super().__init__()
        self.again, self.unused = self.body, nn.Linear(3, 3)


def lazy() -> nn.Sequential:
    return nn.Sequential(
        *(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(4))
    )


COMPUTED = {
    "weight_norm": lambda: body(parametrizations.weight_norm),
    "spectral_norm": lambda: body(parametrizations.spectral_norm),
    "orthogonal": lambda: body(parametrizations.orthogonal),
    "the older weight_norm": lambda: body(torch.nn.utils.weight_norm),
    "the older spectral_norm": lambda: body(torch.nn.utils.spectral_norm),
    "pruned": lambda: body(lambda layer: prune.l1_unstructured(layer, "weight", amount=0.5)),
}
OWN = (Keeps, Locked, LockedInside, Sparse, Complex, Twice, lazy)
KINDS = COMPUTED | {kind.__name__: kind for kind in OWN}


def equal(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.filterwarnings("ignore")  # torch's own, on what is new or old in it
@pytest.mark.parametrize("name", KINDS)
def test_it_trains_by_fast_is_resumed_bit_for_bit_and_evaluated_from_its_run(
    tmp_path, stop_after, name
):
    changes = {"batch": "16", "init": "HeNormal()" if name in COMPUTED else "AsBuilt()"}

    def begin(out: str) -> Training:
        torch.manual_seed(1)
        return cn.train(KINDS[name](), DATA, RECIPE, 2, tmp_path / out, overrides=changes)

    whole = begin("whole")
    test = whole.finish()
    stop_after(begin("stopped"), 1)
    resumed = cn.resume(tmp_path / "stopped", KINDS[name](), DATA)
    resumed.finish()
    assert whole.state.average is not None
    assert equal(whole.state.average, resumed.state.average)
    again = cn.evaluate(tmp_path / "whole", DATA.test, network=KINDS[name]())
    assert again.top1_error == test.top1_error


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", COMPUTED)
def test_a_weight_that_is_computed_is_drawn_through_its_parametrization(name):
    network = COMPUTED[name]()
    before = network[0].weight.detach().clone()
    Gaussian(0.01)(network, torch.Generator().manual_seed(3))
    for _ in range(20):  # power iterations; the older ones compute it in the forward pass
        network(IMAGE)
    plain = body()
    Gaussian(0.01)(plain, torch.Generator().manual_seed(3))
    weight, drawn = network[0].weight.detach(), plain[0].weight.detach()
    if "weight_norm" in name:
        torch.testing.assert_close(weight, drawn)
    elif name == "pruned":
        torch.testing.assert_close(weight, drawn * network[0].weight_mask)
    elif name == "orthogonal":
        torch.testing.assert_close(weight @ weight.mT, torch.eye(5).expand(4, 3, 5, 5))
    else:
        largest = torch.linalg.matrix_norm(drawn.flatten(1), 2)
        torch.testing.assert_close(weight, drawn / largest, rtol=0.02, atol=1e-3)
    assert not torch.equal(weight, before)


def test_own_weights_and_statistics_are_kept_also_with_fast_named(tmp_path):
    network = nn.Sequential(body(), nn.BatchNorm1d(4))
    network[0][4].weight.data.fill_(0.125)
    network[1].running_mean.fill_(7)
    for k, recipe in enumerate((None, "fast", "paper")):
        training = cn.train(network, DATA, recipe, out=tmp_path / str(k))
        assert training.recipe.init == AsBuilt()
        assert (training.network[0][4].weight == 0.125).all()
        assert (training.network[1].running_mean == 7).all()
    drawn = cn.train(network, DATA, out=tmp_path / "drawn", overrides={"init": "HeNormal()"})
    assert not (drawn.network[0][4].weight == 0.125).any()
    assert cn.train("lenet5", out=tmp_path / "le", recipe="fast").recipe.init != AsBuilt()
    assert cn.train("resnet20", out=tmp_path / "re", recipe="fast").recipe.init == HeNormal()


def test_frozen_parameters_and_parts_in_evaluation_mode_stay_so(tmp_path):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), body_of(4))
    network[0].requires_grad_(False)
    network[1].eval()
    network[1].running_mean.fill_(0.5)
    frozen = [p.clone() for p in network[0].parameters()]
    recipe = fast(12, init=HeNormal())
    training = cn.train(
        *(network, DATA, recipe, 3, tmp_path / "run"), overrides={"constraint": "FilterRms(1e-6)"}
    )
    modes = [network[1].training for _ in training]
    assert modes.count(True) == 0
    assert all(map(torch.equal, network[0].parameters(), frozen))
    assert (network[1].running_mean == 0.5).all()
    assert not (network[2][0].weight.abs() > 1e-4).any()  # what is trained is constrained


def body_of(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)
    )


def test_a_network_given_in_evaluation_mode_is_trained_as_a_whole(tmp_path):
    training = cn.train(nn.Sequential(body(), nn.BatchNorm1d(4)).eval(), DATA, out=tmp_path / "run")
    next(iter(training))
    assert training.network[1].training


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", KINDS)
def test_its_training_is_planned_and_it_stays_as_it_was(name):
    network = KINDS[name]()
    before = copy_network(network)
    if name == "Sparse":
        with pytest.raises(ValueError, match="cannot be planned: mix is a sparse tensor"):
            cn.plan(network, DATA, RECIPE)
        return
    found = cn.plan(network, DATA, RECIPE, measure=True)
    assert found.step.source == "measured"
    if name == "lazy":
        assert all(is_lazy(p) for p in network.parameters())
        learnt = 4 * 27 + 4 + 2 * 4 + 4 * 400 + 4  # 10x10 maps; beside them a mean and a variance
        assert found.peaks[0].weights == 4 * (learnt + 2 * 4) + 8
    else:
        assert equal(network, before)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", KINDS)
def test_a_copy_shares_no_module_and_no_tensor(name):
    network = KINDS[name]()
    copied = copy_network(network)
    for parts in (nn.Module.modules, nn.Module.parameters, nn.Module.buffers):
        pairs = list(zip(parts(network), parts(copied), strict=True))
        assert not [(a, b) for a, b in pairs if a is b]
    if name != "lazy":
        with torch.no_grad():
            for p in copied.parameters():
                p.zero_()
        assert any(p.any() for p in network.parameters())
    if name == "LockedInside":
        copied(IMAGE)
        assert (copied.calls, hasattr(network, "calls")) == (1, False)
        assert copied.inner["own"].lock is network.inner["own"].lock


REFUSED = {
    "torch.jit": lambda: torch.jit.script(body()),
    "torch.compile": lambda: torch.compile(body()),
    "several devices": lambda: nn.DataParallel(body()),
    "torch.export": lambda: torch.export.export(
        body().eval(), (torch.zeros(1, 3, 12, 12),)
    ).module(),
    r"weights of torch.float64, and images are torch.float32; convert it with \.float\(\)": (
        lambda: body().double()
    ),
    "weights of torch.bfloat16": lambda: body().bfloat16(),
}
NOTHING_TO_LEARN = {
    "without parameters": lambda: nn.Sequential(nn.Flatten(), nn.AdaptiveAvgPool1d(4)),
    "frozen": lambda: body().requires_grad_(False),
}


@pytest.mark.parametrize("name", NOTHING_TO_LEARN)
def test_a_network_that_cannot_learn_is_neither_trained_nor_planned(tmp_path, name):
    for verb in (partial(cn.train, out=tmp_path / "run"), cn.plan):
        with pytest.raises(ValueError, match="Sequential has no parameters to train"):
            verb(NOTHING_TO_LEARN[name](), DATA, RECIPE)
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_trained_is_refused_in_the_same_words_by_every_verb(tmp_path, words):
    network = REFUSED[words]()
    cn.train(body(), DATA, RECIPE, 1, tmp_path / "run").finish()
    verbs = {
        "train": lambda: cn.train(network, DATA, RECIPE, out=tmp_path / "new"),
        "resume": lambda: cn.resume(tmp_path / "run", network, DATA),
        "evaluate": lambda: cn.evaluate(tmp_path / "run", DATA.test, network=network),
        "see": lambda: cn.see(tmp_path / "run", network=network),
        "speed": lambda: cn.speed(network, (3, 12, 12)),
        "plan": lambda: cn.plan(network, DATA, RECIPE),
    }
    if "float" not in words:
        verbs["show"] = lambda: cn.show(network, (3, 12, 12))
    for verb in verbs.values():
        with pytest.raises(ValueError, match=words):
            verb()
    assert not (tmp_path / "new").exists()


def test_what_training_starts_from_is_printed(tmp_path, capsys):
    network = nn.Sequential(body(), nn.BatchNorm1d(4), nn.BatchNorm1d(4))
    network[0].requires_grad_(False)
    network[1].eval()
    changes = {"batch": "9"}
    training = cn.train(network, DATA, RECIPE, 1, tmp_path / "run", overrides=changes)
    print_introduction(training)
    drawn = capsys.readouterr().out
    assert "initial values: drawn by HeNormal, the recipe's init" in drawn
    assert "frozen: 0.0.weight, 0.0.bias, 0.4.weight, 0.4.bias\n" in drawn
    assert "in evaluation mode throughout: 1\n" in drawn
    assert "last batch: 10 images, with the 1 left over; a batch needs 2\n" in drawn
    print_introduction(cn.train(body(), DATA, out=tmp_path / "kept"))
    kept = capsys.readouterr().out
    assert "initial values: as the builder left them\n" in kept
    assert "frozen" not in kept
    training.finish()
    network[1].eval()
    print_introduction(cn.resume(tmp_path / "run", network, DATA))
    resumed = capsys.readouterr().out
    assert (
        "weights: those of step 3, the last; nothing is left to train (epochs=2 trains on)"
        in resumed
    )


class Extra(Own):
    def get_extra_state(self):
        return {"calls": 1}

    def set_extra_state(self, state):
        pass


class Squeezed(Own):
    def forward(self, x):
        return self.body(x).squeeze()


@pytest.mark.parametrize(
    ("network", "changes", "words"),
    [
        (
            lambda: Sparse(True),
            {},
            "mix is torch.sparse_coo, which weights.safetensors cannot",
        ),
        (Extra, {}, "_extra_state is a dict, which weights.safetensors cannot hold"),
        (Squeezed, {}, r"gives \(4,\) for one image of 4 classes; it should give \(1, 4\)"),
        (
            lambda: nn.Sequential(body(), nn.BatchNorm1d(4)),
            {"batch": "1"},
            "leave 1 for the smallest, but the network cannot be trained on a single one; choose a "
            "batch of at least 2",
        ),
        (
            COMPUTED["weight_norm"],
            {"constraint": "FilterRms(0.1)"},
            r"constraint=FilterRms\(limit=0.1\) cannot scale 0.weight, which is computed",
        ),
    ],
)
def test_what_would_fail_later_is_refused_before_anything_is_written(
    tmp_path, network, changes, words
):
    with pytest.raises(ValueError, match=words):
        cn.train(network(), DATA, RECIPE, out=tmp_path / "run", overrides=changes)
    assert not (tmp_path / "run").exists()


class Fixed(nn.Module):
    """A parametrization that nothing can be assigned through."""

    def forward(self, x):
        return x * 2


def test_a_parametrization_without_an_inverse_is_named():
    network = body()
    torch.nn.utils.parametrize.register_parametrization(network[0], "weight", Fixed())
    with pytest.raises(ValueError, match=r"assigned to 0\.weight, .* keep those it has with init="):
        HeNormal()(network, torch.Generator())
    with pytest.raises(ValueError, match=r"cannot scale 0\.weight"):
        FilterRms()(network)


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
