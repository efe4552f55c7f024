"""Several processes train as one: started by torchrun, over gloo."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from classicnets.training.execution import distributed

# no batch normalisation and no dropout: these see a process's own part
SCRIPT = """
import sys
import classicnets as cn
from classicnets.data.synthetic import shapes

training = cn.train("lenet5", shapes(150, channels=1), out=sys.argv[1], epochs=2,
                    recipe="fast",
                    overrides={"batch": "15", "lr": "Constant(1e-3)", "init": "LecunUniform()"})
test = training.finish()
print(len(training.splits.train), test.images)
"""


def run(tmp_path: Path, processes: int) -> Path:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    several = [*launch, f"--nproc-per-node={processes}"] if processes > 1 else [sys.executable]
    out = tmp_path / f"run{processes}"
    done = subprocess.run(
        [*several, str(script), str(out)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
def test_two_processes_give_the_result_of_one_within_rounding(tmp_path):
    one, two = run(tmp_path, 1), run(tmp_path, 2)
    rows = [
        [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        for out in (one, two)
    ]
    for alone, together in zip(*rows, strict=True):
        for name in ("step", "lr", "train_loss", "validation_loss", "validation_top1_error"):
            assert together[name] == pytest.approx(alone[name], rel=1e-4), name
    weights = [load_file(out / "weights.safetensors") for out in (one, two)]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-3, atol=1e-5)
    tests = [json.loads((out / "run.json").read_text())["test"] for out in (one, two)]
    assert tests[0]["confusion"] == tests[1]["confusion"]


def test_a_process_that_stands_alone_has_everything():
    whole = torch.arange(5)
    assert distributed.shard(whole) is not None
    assert torch.equal(distributed.shard(whole), whole)
    assert distributed.broadcast("anything") == "anything"
    assert (distributed.rank(), distributed.world_size()) == (0, 1)


def test_a_batch_too_small_for_all_processes_is_refused(monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 4)
    distributed.require_full_batches(100, 25)
    with pytest.raises(ValueError, match=r"101 images in batches of 25 leave 1 for the last"):
        distributed.require_full_batches(101, 25)
