"""The benchmarks run, write their reports, and reject contenders that compute something else."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
TOO_FAR = 1.001  # times the other output; fp32 allows 1.0001

CONTENDERS = """
from harness import Contender, Unavailable

def returns(value):
    return Contender(lambda: None, lambda: [1.0, value])

def missing():
    raise Unavailable("a package that nobody has")
"""


@pytest.fixture
def harness(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import harness

    return harness


@pytest.fixture
def contenders(harness, monkeypatch, tmp_path):
    """A module that worker processes can import too."""
    (tmp_path / "contenders.py").write_text(CONTENDERS)
    monkeypatch.syspath_prepend(tmp_path)
    import contenders

    yield contenders
    del sys.modules["contenders"]


def run(*args: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "benchmarks/run.py", *args],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_target_names_contenders_of_its_case(harness, device):
    import run

    for benchmark in run.benchmarks(False, device).values():
        for case in benchmark.cases:
            for target in case.targets:
                references = [target.reference] if isinstance(target.reference, str) else []
                known = {*case.contenders, harness.LOWER_BOUND}
                assert {target.contender, *references} <= known, (case.name, target)
                assert harness.LOWER_BOUND not in references or case.cost


@pytest.mark.slow
def test_a_command_is_timed_with_a_run_of_its_own(harness):
    import commands

    compared = commands.on_a_run("compare", "lenet5")
    assert compared.run() > 0.1  # Python alone takes a tenth of it
    with pytest.raises(RuntimeError, match="no run"):
        commands.on_a_run("compare", "alexnet").run()


@pytest.mark.slow
def test_a_quick_benchmark_writes_table_json_and_chart(tmp_path):
    name, cases = "lrn", 3
    done = run(name, "--quick", "--threads", "1", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / f"{name}.md").read_text() in done.stdout
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    data = json.loads((tmp_path / f"{name}.json").read_text())
    assert len(data["cases"]) == cases
    assert data["versions"]["torch"]
    assert data["quick"] is True
    assert data["command"].startswith(f"python benchmarks/run.py {name} --quick")
    for case in data["cases"]:
        for result in case["contenders"].values():
            assert result["status"] == ""
            assert result["rounds"] == [result["median"]]


def test_stored_results_have_the_format_that_is_written_today(harness):
    import report
    import run

    machine = {*report.machine(), "command", "quick", "rounds", "threads", "device"}
    for name, benchmark in run.benchmarks(False).items():
        data = json.loads((BENCHMARKS / f"results/{name}.json").read_text())
        assert data.keys() == {"benchmark", "title", "unit", "cases"} | machine
        assert (data["benchmark"], data["title"]) == (name, benchmark.title)
        for case, stored in zip(benchmark.cases, data["cases"], strict=True):
            assert (case.name, case.not_compared) == (stored["name"], stored["not_compared"])
            assert list(case.contenders) == list(stored["contenders"])
            assert case.targets == tuple(report._target(target) for target in stored["targets"])


@pytest.mark.slow
def test_outputs_that_differ_are_rejected_before_anything_is_timed(harness, contenders):
    def benchmark(value: float):
        factories = {
            "one": partial(contenders.returns, 1.0),
            "two": partial(contenders.returns, value),
        }
        return harness.Benchmark("numbers", "", (harness.Case("two numbers", factories),))

    outcomes = harness.run_interleaved(benchmark(1.00001), rounds=1, threads=1)
    assert outcomes[0].results["two"].rounds
    with pytest.raises(harness.OutputMismatch, match="two differs from one by"):
        harness.run_interleaved(benchmark(TOO_FAR), rounds=1, threads=1)
    with pytest.raises(harness.OutputMismatch):
        harness.run_interleaved(benchmark(float("nan")), rounds=1, threads=1)


@pytest.mark.slow
def test_a_missing_peer_is_reported_and_not_dropped(harness, contenders):
    import report

    factories = {"peer": contenders.missing, "ours": partial(contenders.returns, 1.0)}
    targets = (harness.Target("ours", 1.0, "peer"),)
    case = harness.Case("numbers", factories, targets)
    benchmark = harness.Benchmark("numbers", "", (case,))
    outcomes = harness.run_interleaved(benchmark, rounds=1, threads=1, quick=True)
    table = "\n".join(report.table(benchmark, outcomes) + report.targets(outcomes))
    assert "| numbers | peer | unavailable: a package that nobody has |" in table
    assert "| not measured |" in table


@pytest.mark.slow
def test_an_unknown_benchmark_is_an_error_that_names_the_others():
    done = run("marathon")
    assert done.returncode == 2
    assert "unknown benchmark 'marathon'; choose from steps" in done.stderr


# images a second at 790 TFLOP/s and 4.3 TB/s, worked out by hand from the shapes of the layers
IMAGES_PER_SECOND = {
    "alexnet": (388e3, 138e3),
    "zfnet": (236e3, 84.2e3),
    "vgg_d": (22.7e3, 7.5e3),
    "googlenet": (120e3, 42.3e3),
    "resnet18": (174e3, 49.6e3),
    "resnet50": (59.7e3, 15.0e3),
    "resnet20": (4.39e6, 1.03e6),
    "resnet110": (774e3, 180e3),
}


@pytest.mark.parametrize("name", IMAGES_PER_SECOND)
def test_the_lower_bound_on_a_gpu_follows_from_traffic_and_arithmetic_of_the_layers(harness, name):
    from lower_bounds import inference_layer_costs, training_layer_costs

    peaks = {"matrix product bf16": 790e12, "convolution bf16": 700e12, "copy": 4.3e12}
    costs = inference_layer_costs, training_layer_costs
    for cost, expected in zip(costs, IMAGES_PER_SECOND[name], strict=True):
        case = harness.Case(name, {}, cost=partial(cost, name, 64))
        outcome = harness.Outcome(case, {}, peaks_by_round=[peaks], cost=cost(name, 64))
        assert 64 / outcome.lower_bound("bf16") == pytest.approx(expected, rel=0.01)


def test_without_a_gpu_its_benchmarks_are_an_error_in_one_sentence():
    done = run("--device", "cuda", "lenet")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("needs a GPU, and this torch finds none")
    assert run("--device", "cuda", "--list").stdout.startswith("correctness ")


@pytest.mark.slow
def test_the_correctness_checks_pass_on_a_cpu(harness):
    import correctness

    found = list(correctness.checks(["lenet5", "resnet20"], ["lenet5"]))
    assert [check for check in found if not check.passed] == []
    assert len(found) == 8 + 2 * 4
    assert "wrong" not in correctness.table(found, "this machine")
    wrong = correctness.Check("nothing", float("nan"), 1.0)
    assert "| **wrong** |" in correctness.table([wrong], "this machine")


@pytest.mark.slow
def test_a_few_steps_can_be_trained_for_the_check_of_cuda_graphs(harness):
    import correctness

    weights = correctness.trained("lenet5", graph=False)
    assert weights.isfinite().all()
    assert torch.equal(weights, correctness.trained("lenet5", graph=False))


SCRIPT = """
import sys
import torch

for part, count in (("train", 128), ("test", 64)):
    data = torch.load(f"cifar10/{part}.pt")
    assert data["images"].shape == (count, 32, 32, 3) and data["images"].dtype == torch.uint8
    assert len(data["labels"]) == count and len(data["classes"]) == 10
row = "|  %s  |  %s  |  %s  |  %s  |".__mod__
print("-" * 9)
print(row(("run   ", "epoch", "tta_val_acc", "total_time_seconds")))
for run in ("warmup", *range(1000)):
    print(row((str(run).rjust(6), "    0", "           ", "            1.0000")))
    accuracy = 0.9405 + run / 10000 if run != "warmup" else 0.1
    print(row(("      ", " eval", "     %.4f" % accuracy, "            2.5000")))
"""


@pytest.mark.slow
def test_an_airbench_script_runs_unchanged_on_our_data_and_is_stopped(
    harness, monkeypatch, tmp_path
):
    import time_to_accuracy

    (tmp_path / "legacy").mkdir()
    (tmp_path / "legacy" / "airbench94_compiled.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time_to_accuracy, "published_splits", time_to_accuracy.noise_splits)
    with pytest.raises(harness.Unavailable, match=r"no legacy/airbench94.*AIRBENCH must be the"):
        time_to_accuracy.airbench("legacy/airbench94_compiled.py")
    monkeypatch.setenv("AIRBENCH", str(tmp_path))
    measured = time_to_accuracy.airbench("legacy/airbench94_compiled.py").run()
    assert measured["seconds"] == [2.5] * time_to_accuracy.TRAININGS
    assert measured["accuracies"][:2] == pytest.approx([94.05, 94.06])


@pytest.mark.slow
def test_a_target_counts_only_with_the_required_accuracy(harness, monkeypatch, tmp_path):
    import report
    import time_to_accuracy

    benchmarks = {b.name: b for b in time_to_accuracy.benchmarks(quick=True)}
    benchmark = benchmarks["time-to-99"]
    monkeypatch.setenv("AIRBENCH", "beside")
    outcomes = time_to_accuracy.run_trainings(benchmark, 2, 1, quick=True)
    assert os.environ["AIRBENCH"] == str(Path("beside").resolve())
    (result,) = outcomes[0].results.values()
    assert result.status == ""
    assert len(result.rounds) == len(result.accuracies) == 2
    assert result.accuracy < 99  # noise has nothing to learn
    conditions = {"command": "", "quick": True, "rounds": 2, "threads": 1, "device": "a GPU"}
    text = report.write(benchmark, outcomes, tmp_path, conditions)
    assert "| classicnets | 1000 ms | 1.00 |" in text
    assert "| missed: accuracy " in text
    assert " %, below 99 % |" in text
    result.accuracies = [98.9, 99.2]
    assert report.verdict(outcomes[0], benchmark.cases[0].targets[0]) in ("met", "missed")
    result.status = "failed: in its third training"
    assert result.status in report.write(benchmark, outcomes, tmp_path, conditions)
    residual = benchmarks["time-to-94"].cases[0].contenders["classicnets, resnet20, 20 epochs"]
    assert residual().precision in ("fp32", "bf16")


def test_six_views_of_an_image_have_the_weights_of_its_scores(harness):
    import time_to_accuracy

    x = torch.randn(3, 2, 8, 8)
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1), "reflect")
    shifted = [padded[:, :, k : k + 8, k : k + 8] for k in (0, 2)]
    views = [(0.5, x), (0.25, shifted[0]), (0.25, shifted[1])]
    weights = torch.randn(2 * 64)
    network = lambda x: x.flatten(1) @ weights[:, None]  # noqa: E731
    expected = sum(weight * (network(v) + network(v.flip(-1))) for weight, v in views)
    torch.testing.assert_close(time_to_accuracy.view_scores(network, x, 6), expected)
    assert torch.equal(time_to_accuracy.view_scores(network, x, 1), network(x))


@pytest.mark.slow
def test_the_contenders_of_a_gpu_benchmark_run_on_a_cpu_too(harness, tmp_path):
    import gpu
    import report

    benchmark = next(b for b in gpu.benchmarks(quick=True) if b.name == "lenet")
    outcomes = harness.run_interleaved(benchmark, rounds=1, threads=1, quick=True)
    conditions = {"command": "", "quick": True, "rounds": 1, "threads": 1, "device": "a GPU"}
    report.write(benchmark, outcomes, tmp_path, conditions)
    report.write_summary(tmp_path)
    summary = (tmp_path / "gpu.md").read_text()
    assert summary.count("| lenet | ") == 2
    assert "a GPU, torch" in summary


def test_the_table_of_fine_tuning_is_that_of_the_results(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import finetuning

    found = json.loads(finetuning.RESULTS.read_text())
    assert finetuning.table(found) in (ROOT / "docs/weights.md").read_text()
    for row in found["rows"]:
        gains = [a - b for a, b in zip(row["anew"], row["tuned"], strict=True)]
        assert row["gain"] == finetuning.interval(gains)
