"""The verb `plan` on the command line."""

import json
from functools import partial

import pytest

from classicnets.measure import roofline
from classicnets.training.execution.memory import MARGIN


@pytest.fixture
def run_cli(run_cli, monkeypatch):
    monkeypatch.setattr(roofline, "BRIEF", roofline.QUICK)
    return partial(run_cli, "plan")


def test_the_parts_add_up_and_the_verdict_follows_from_the_memory_given(run_cli):
    words = ("lenet5", "--batch", 8, "--device", "cpu", "--json", "--time", "1s")
    for memory, verdict in (("2GB", "fits"), ("430MB", "tight"), ("1MB", "does not fit")):
        status, out, err = run_cli(*words, "--memory", memory)
        assert (status, err) == (0, "")
        plan = json.loads(out)
        assert plan["verdict"] == verdict
        for phase in plan["peaks"].values():
            assert phase["total"] == sum(n for name, n in phase.items() if name != "total")
        assert plan["peak_bytes"] == max(phase["total"] for phase in plan["peaks"].values())
        assert plan["peak_range"][1] == round(MARGIN * plan["peak_bytes"])
        assert plan["in_time"] is False
        assert plan["step"]["source"] == "predicted"


def test_what_does_not_fit_comes_with_what_would(run_cli):
    status, out, _ = run_cli("resnet18", "--batch", 256, "--device", "t4", "--memory", "4GB")
    assert status == 0
    assert "does not fit: the peak, of the training step, is predicted as" in out
    assert "train does it by itself" in out
    assert "An estimate for a device that is not here, from the NVIDIA T4" in out
    changes = [line for line in out.splitlines() if "--set batch=" in line]
    assert [line.split()[-1] for line in changes] == ["yes"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("lenet5", "--memory", "8GX"), "memory is a number and a unit, such as 8GB"),
        (("lenet5", "--memory", "-1GB"), "memory must be more than 0, such as 8GB"),
        (("lenet5", "--time", "3w"), "time is a number and a unit, such as 90s"),
        (("lenet5", "--device", "h1000"), "'h1000' cannot be used here; did you mean h100"),
        (("lenet5", "--device", "t4", "--measure"), "t4 is not here, so nothing can be measured"),
        (("lenet5", "--device", "meta"), "cannot be used here; auto and cpu can, and estimates"),
        (("lenet5", "--measure", "--memory", "1MB"), "not one image fits in 976.56 KiB"),
        (("lenet5", "--epochs", 0), "epochs must be a whole number of at least 1, not 0"),
        (("lenet5", "--data", "nowhere"), "unknown data set or path 'nowhere'; choose from"),
        (("lenet5", "--recipe", "slow"), "no recipe 'slow'; choose from paper, fast"),
        (("lenet5", "--lr", "0.1"), "plan has no --lr; `classicnets train` has --lr VALUE"),
        (("lenet5", "--batch", 0), "batch must be a whole number of at least 1, not 0"),
        (("lenet6",), "no network 'lenet6'; of this family there is lenet5"),
        ((), "plan needs a network"),
        (("lenet5", "runs/a"), "plan takes one network, not 2; runs go with --review"),
        (("--review",), "--review needs runs, such as --review runs/*"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_is_legal(run_cli, words, sentence):
    status, out, err = run_cli(*words)
    assert (status, out) == (2, "")
    assert sentence in err
    assert len(err.splitlines()) == 1


def test_help_has_an_example_of_every_way_to_call_it(run_cli):
    out = run_cli("--help").out
    for words in ("--batch-size 64 --memory 8GB", "--data path/to/folder --measure", "--device t4"):
        assert words in out
    assert "classicnets plan --review runs/*" in out


def test_a_folder_is_read_and_reading_is_in_the_time(run_cli, write_folder, tmp_path):
    folder = write_folder(tmp_path / "photos")
    words = ("lenet5", "--data", folder, "--batch", 4, "--device", "cpu")
    _, out, err = run_cli(*words, "--json")
    plan = json.loads(out)
    assert (err, plan["data"]) == ("", str(folder))
    assert plan["images"] + plan["validation"] <= 24
    assert plan["reading"] > 0
    _, out, _ = run_cli(*words, "--measure")
    assert "a batch (measured)" in out
    assert "measured)" in out.partition("an epoch")[0]
    assert not list(tmp_path.glob("runs*"))  # nothing is written


def test_without_data_the_plan_says_that_nothing_is_read(run_cli):
    assert "Reading images is not in it" in run_cli("lenet5", "--device", "cpu").out


def test_runs_are_reviewed_as_a_table_and_as_json(run_cli, run):
    status, out, err = run_cli("--review", run)
    assert (status, err, len(out.splitlines())) == (0, "", 2)
    (row,) = json.loads(run_cli("--review", run, "--json").out)
    assert (row["run"], row["network"]) == (run.name, "lenet5")
    assert row["predicted_peak_bytes"] > 0


def test_what_is_not_there_cannot_be_reviewed(run_cli, tmp_path):
    status, out, err = run_cli("--review", tmp_path / "none")
    assert (status, out) == (2, "")
    assert "no run at" in err


def test_a_design_is_planned_like_a_network_of_the_catalogue(run_cli, tmp_path):
    design = tmp_path / "my.net"
    design.write_text("[32x32x1] input\n[28x28x6] C1: 6 5x5 filters -> relu\n[10] F2: 10 neurons\n")
    _, out, err = run_cli(design, "--device", "cpu", "--batch", 8, "--json")
    assert err == ""
    plan = json.loads(out)
    weights = 6 * 25 + 6 + 28 * 28 * 6 * 10 + 10
    assert plan["peaks"]["training step"]["weights"] == 4 * weights
    assert (plan["images"], plan["data"]) == (1000, "no data set")
    assert "Without data an epoch is taken to have 1,000 images" in plan["notes"][0]
    assert " · 1,000 images assumed · " in " ".join(run_cli(design, "--device", "cpu").out.split())


def test_where_a_recipe_counts_steps_other_batches_see_other_numbers_of_epochs(run_cli):
    # He et al., section 3.4: 600,000 iterations; 1,280,000 images
    for batch, epochs in ((256, 120), (64, 30)):
        out = run_cli("resnet18", "--device", "t4", "--batch-size", batch).out
        assert f"{epochs} epochs, 600,000 steps: " in " ".join(out.split())
