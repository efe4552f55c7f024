"""Starting from learnt weights: the head first, frozen stages, and what holds back nothing."""

import re
import subprocess
import sys
from dataclasses import replace
from itertools import islice

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import classicnets as cn
from classicnets.api.recipes import choose_recipe, resolve_network
from classicnets.data.scaling import Normalise
from classicnets.data.synthetic import shapes
from classicnets.recipes.finetune import fine_tune
from classicnets.training.execution.memory import step_peak
from classicnets.training.recipe import FromRun, HeadFirst
from classicnets.training.recipe.overrides import override
from classicnets.training.run.directory import open_run
from classicnets.training.run.stages import freeze

PIXELS = Normalise(mean=(120.0, 110.0, 100.0), std=(60.0, 60.0, 60.0))
BODY = ("stem", "norm", "conv", "fc")


def tiny(classes, channels=3):
    """Batch normalisation, a stage of two layers, and a head."""
    network = nn.Sequential()
    network.stem = nn.Conv2d(channels, 4, 3, bias=False)
    network.norm = nn.BatchNorm2d(4)
    network.conv = nn.Sequential(nn.Conv2d(4, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    network.flat = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network.fc = nn.Linear(4, classes)
    return network


def begin(out, start=None, data=None, **options):
    options = {"epochs": 4, "overrides": {"average": None}, **options}
    data = shapes(60, seed=1, side=16) if data is None else data
    return cn.train(tiny, data, out=out, init_from=start, **options)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """The run of an epoch at 16 pixels, with pixels of its own scale."""
    out = tmp_path_factory.mktemp("runs") / "learnt"
    begin(out, epochs=1, overrides={"size": 16, "pixels": PIXELS}).finish()
    return out


@pytest.fixture(scope="module")
def whole(learnt, tmp_path_factory):
    """A fine-tuning from its beginning to its end, half of it the head's alone."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    begin(out, learnt, overrides=HALVES).finish()
    return out


HALVES = {"freeze": "norm", "layer_rates": "HeadFirst(0.5, first=0.1)", "average": "Ema(0.5)"}


def network_of(run):
    return torch.load(run / "last.pt", weights_only=True)["network"]


def test_weights_choose_the_recipe_their_size_and_their_pixels(learnt, tmp_path):
    recipe = begin(tmp_path / "run", learnt).recipe
    assert (recipe.side, recipe.crop, recipe.pixels) == (18, 16, PIXELS)
    assert isinstance(recipe.layer_rates, HeadFirst)
    assert recipe.cite.startswith("no paper")
    other = begin(tmp_path / "fast", learnt, recipe="fast").recipe
    assert (other.layer_rates, other.pixels) == (None, PIXELS)


def test_networks_without_batch_normalisation_learn_more_slowly_below_the_head():
    for name, rates in (("resnet20", HeadFirst()), ("vgg_a", HeadFirst(first=0.01, last=0.1))):
        target = resolve_network(name, "photos")
        assert choose_recipe(target, "fine-tune", "photos").layer_rates == rates
    assert choose_recipe(target, None, "photos") == target.recipe


def test_every_value_of_the_recipe_is_stated_as_a_choice():
    for crop, normalised in ((32, True), (224, False)):
        tuned = fine_tune(crop, crop, normalised=normalised)
        changed = {name for name, *_ in tuned.rows() if name not in ("init", "protocol")}
        assert changed == set(tuned.assumed)


def test_as_many_but_other_classes_have_a_new_head_and_the_same_ones_keep_it(learnt, tmp_path):
    same = begin(tmp_path / "same", learnt)
    assert same.recipe.init == FromRun(str(learnt))
    assert same.recipe.layer_rates == HeadFirst(until=0.0)  # no layer is new, so none is first
    said = str(same)
    assert "learning rates: all stages: stem at 0.1 times its rate, conv at 1" in said
    assert "  adapted layer_rates: the classes are those of the weights" in said
    assert "a new one" not in said
    data = shapes(60, seed=1, side=16)
    other = begin(tmp_path / "other", learnt, replace(data, classes=tuple("abcd")))
    assert (other.recipe.init.new, other.recipe.layer_rates) == (("fc",), HeadFirst())


def test_first_the_head_learns_alone_and_then_each_stage_at_its_rate(learnt, tmp_path):
    """Factors by hand: 0.01, 0.1, 1 in geometric steps for stem, norm, conv; 1 for the head."""
    rates = {"layer_rates": "HeadFirst(0.5, first=0.01)", "average": None, "lr": "Constant(0.1)"}
    training = begin(tmp_path / "run", learnt, overrides=rates)
    before = {name: t.clone() for name, t in training.network.state_dict().items()}
    assert "learning rates: fc alone for 2 epochs, then all stages: stem at 0.01 times" in str(
        training
    )
    seen = []
    for record in training:
        lrs = [group["lr"] for group in training.state.optimizer.param_groups]
        stages = [group["stage"] for group in training.state.optimizer.param_groups]
        seen.append({BODY[stage]: lr for stage, lr in zip(stages, lrs, strict=True)})
        if record.step == record.steps // 2:
            half = {name: t.clone() for name, t in training.network.state_dict().items()}
    assert seen[0] == {"stem": 0, "norm": 0, "conv": 0, "fc": 0.1}
    assert seen[-1] == pytest.approx({"stem": 0.001, "norm": 0.01, "conv": 0.1, "fc": 0.1})
    changed = {n.partition(".")[0] for n in before if not torch.equal(before[n], half[n])}
    assert changed == {"fc"}  # not even the statistics of batch normalisation
    after = training.network.state_dict()
    assert {n for n in before if torch.equal(half[n], after[n])} == set()


def test_what_is_frozen_stays_with_its_statistics(learnt, whole):
    before, after = load_file(learnt / "weights.safetensors"), network_of(whole)
    kept = {n.partition(".")[0] for n in before if torch.equal(before[n], after[n])}
    assert kept == {"stem", "norm"}
    assert all(torch.equal(before[n], after[n]) for n in before if n.partition(".")[0] in kept)
    best = load_file(whole / "weights.safetensors")
    assert torch.equal(best["stem.weight"], before["stem.weight"])


@pytest.mark.parametrize("steps", [1, 6, 7])
def test_resuming_in_either_phase_is_exact(steps, learnt, whole, tmp_path):
    training = begin(tmp_path / "run", learnt, overrides=HALVES)
    assert training.config.total_steps == 12
    list(islice(training, steps))
    training.save()
    cn.resume(tmp_path / "run", tiny, shapes(60, seed=1, side=16)).finish()
    ours, theirs = network_of(tmp_path / "run"), network_of(whole)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_the_recipe_is_stored_in_the_run(whole):
    stored = open_run(whole).config.recipe
    assert (stored.freeze, stored.layer_rates) == ("norm", HeadFirst(0.5, 0.1))


def test_a_stage_freezes_all_before_it_in_every_family():
    recipe = cn.find("resnet18").recipe
    for name, last, kept in (
        ("resnet20", "conv3_x", "conv4_x.conv4_1.body.conv1.weight"),
        ("vgg_a", "conv5_2", "fc6.weight"),
        ("googlenet", "inception_4e", "inception_5a.1x1.1x1.weight"),
        ("alexnet", "conv5", "fc6.weight"),
    ):
        with torch.device("meta"):
            network = cn.find(name).build()
        freeze(network, override(recipe, {"freeze": last}))
        learning = [n for n, p in network.named_parameters() if p.requires_grad]
        assert learning[0] == kept
        normal = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
        assert all(m.training == m.weight.requires_grad for m in normal)
        assert network.training


def test_frozen_layers_keep_no_activations_in_the_plan():
    networks = [tiny(4), tiny(4)]
    freeze(networks[1], override(cn.find("resnet18").recipe, {"freeze": "conv"}))
    free, frozen = (step_peak(network, (3, 16, 16), 8) for network in networks)
    assert frozen.activations < free.activations / 10
    assert frozen.optimizer == 4 * (4 * 4 + 4)  # fc alone
    plan = cn.plan("resnet20", batch=8, overrides={"freeze": "conv4_x"}, device="cpu")
    assert plan.peaks[0].optimizer == 4 * (64 * 10 + 10)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            ("--freeze", "conv3_x"),
            "freeze cannot be 'conv3_x' without weights to start from: it holds back layers that "
            "have learnt nothing, since HeNormal draws them; --init-from RUN gives them",
        ),
        (("--recipe", "fine-tune"), "layer_rates cannot be HeadFirst.* without weights to start"),
        (
            ("--freeze", "conv3x", "--set", "init=AsBuilt()"),
            "freeze cannot be 'conv3x', since the network has no such layer; did you mean conv3_x?",
        ),
        (
            ("--freeze", "12", "--set", "init=AsBuilt()"),
            "freeze cannot be '12', since the network has no such layer; choose from conv1, bn1",
        ),
        (
            ("--freeze", "fc", "--set", "init=AsBuilt()"),
            "freeze cannot be 'fc': nothing would be left to train; the last layer is fc, and any",
        ),
        (("--freeze", "bn1", "--set", "freeze=bn1"), "--freeze and --set freeze exclude each"),
    ],
)
def test_what_cannot_be_frozen_is_one_sentence(run_cli, write_folder, tmp_path, words, reason):
    data = write_folder(tmp_path / "two")
    done = run_cli("train", "resnet20", "--data", data, "--out", tmp_path / "run", *words)
    assert (done.status, done.out) == (2, "")
    assert re.search(reason, done.err), done.err
    assert len(done.err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


SCRIPT = """
import sys
import torch
from torch import nn
import classicnets as cn
from classicnets.data.synthetic import shapes

def tiny(classes, channels=3):
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, classes),
    )

cn.train(
    tiny, shapes(150, side=16), "fine-tune", 4, sys.argv[1],
    overrides={"batch": 16, "layer_rates": "HeadFirst(0.5)", "freeze": "0", "augment": ()},
).finish()
"""


@pytest.mark.slow
def test_two_processes_fine_tune_as_one(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    one = [sys.executable]
    two = [*one, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    for command, out in ((one, "one"), (two, "two")):
        done = subprocess.run(
            [*command, str(tmp_path / "script.py"), str(tmp_path / out)],
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    ours, theirs = (load_file(tmp_path / out / "weights.safetensors") for out in ("one", "two"))
    for name, value in ours.items():
        torch.testing.assert_close(theirs[name], value, rtol=1e-3, atol=1e-5)


NARROW = """every conv: relu

[16x16x1] input
[4x4x3]   conv1: 3 5x5 filters at stride 4, pad 2
[10]      fc2: 10 neurons
"""


@pytest.mark.slow
def test_an_experiment_starts_all_variants_from_the_weights(tmp_path):
    (tmp_path / "narrow.net").write_text(NARROW)
    network, start = str(tmp_path / "narrow.net"), tmp_path / "start"
    cn.train(network, recipe="fast", epochs=1, out=start, overrides={"size": 16}).finish()
    found = cn.experiment(
        network, overrides={"freeze": ["None", "conv1"]}, init_from=start, seeds=2, epochs=1,
        processes=1, search_lr=False, out=tmp_path / "experiment",
    )  # fmt: skip
    assert [row.variant for row in found.finish().rows] == found.plan.names
    learnt = load_file(start / "weights.safetensors")["conv1.weight"]
    for run in (tmp_path / "experiment/runs").iterdir():
        recipe = open_run(run).config.recipe
        assert (recipe.init.run, recipe.init.new) == (str(start), ())
        kept = torch.equal(load_file(run / "weights.safetensors")["conv1.weight"], learnt)
        assert kept == (recipe.freeze == "conv1")
