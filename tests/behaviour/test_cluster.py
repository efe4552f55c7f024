"""Many processes and machines: what they send, the scripts of the page, and one that is killed."""

import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import nn
from torch.nn.parallel import DistributedDataParallel

ROOT = Path(__file__).parents[2]


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import cluster

    return cluster


def test_each_gpu_sends_twice_the_gradients_but_for_its_own_part(cluster):
    """By hand: ResNet-50 has 25,557,032 parameters (torchvision's has as many)."""
    size = cluster.gradient_bytes("resnet50")
    assert size == 4 * 25_557_032
    assert cluster.sent(size, 8) == 2 * 7 / 8 * size
    assert cluster.exchange_seconds(size, 8, cluster.SLOW) == 2 * 7 / 8 * size / 450e9
    assert cluster.exchange_seconds(size, 16, cluster.SLOW) == 2 * 15 / 16 * size / 12.5e9
    assert cluster.efficiency(3.0, 1.0) == "75% to 100%"
    assert cluster.efficiency(1.0, 4.0) == "20% to 25%"


def test_ddp_sends_four_bytes_for_each_parameter(tmp_path):
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(288, 5))
    sent = []

    def hook(state, bucket):
        sent.append(bucket.buffer().numel() * bucket.buffer().element_size())
        done = torch.futures.Future()
        done.set_result(bucket.buffer())
        return done

    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/x", rank=0, world_size=1)
    try:
        model = DistributedDataParallel(network)
        model.register_comm_hook(None, hook)
        for _ in range(2):
            model(torch.rand(2, 3, 8, 8)).sum().backward()
    finally:
        dist.destroy_process_group()
    assert sum(sent) == 2 * 4 * sum(p.numel() for p in network.parameters())


@pytest.mark.slow
def test_the_table_is_that_of_the_script(cluster):
    for language, page in cluster.PAGES.items():
        assert cluster.BEGIN + cluster.table(language) + cluster.END in page.read_text()


def stand_in(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_the_slurm_script_starts_resumes_and_is_queued_again(tmp_path):
    """With stand-ins for srun and scontrol, which write down how they are called."""
    script = re.search(
        r"```bash\n(#!/bin/bash\n#SBATCH.*?)```", (ROOT / "docs/machines.md").read_text(), re.DOTALL
    )[1]
    (tmp_path / "job.sh").write_text(script)
    for line in script.splitlines():
        if line.startswith("#SBATCH"):
            assert all(re.fullmatch(r"--[a-z-]+=\S+", word) for word in line.split()[1:])
    said = 'echo "$(basename "$0") $*" >> "$HOME/calls"'
    stand_in(tmp_path, "srun", f"{said}\ntrap 'echo stopped >> $HOME/calls; exit 1' TERM\n"
                               "for _ in {1..200}; do sleep 0.05; done")  # fmt: skip
    stand_in(tmp_path, "scontrol", f'{said}\n[ "$1" = show ] && echo "node7\nnode8"')
    slurm = {"SLURM_JOB_NODELIST": "node[7-8]", "SLURM_NNODES": "2", "SLURM_JOB_ID": "42"}
    environment = {**os.environ, **slurm, "HOME": str(tmp_path)}
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    calls = tmp_path / "calls"
    for resumes in (False, True):
        job = subprocess.Popen(["bash", str(tmp_path / "job.sh")], env=environment)
        deadline = time.monotonic() + 30
        while "srun" not in (calls.read_text() if calls.exists() else ""):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        job.send_signal(signal.SIGTERM)
        job.wait(30)
        started, *after = [line for line in calls.read_text().splitlines() if "show" not in line]
        assert after == ["stopped", "scontrol requeue 42"]
        run = f"{tmp_path}/runs/r50"
        asked = (
            f"--resume {run}" if resumes else f"resnet50 --data imagenet:/data/imagenet --out {run}"
        )
        assert started == (
            "srun torchrun --nnodes 2 --nproc-per-node gpu --rdzv-backend c10d --rdzv-endpoint "
            f"node7:29500 --rdzv-id 42 -m classicnets train {asked}"
        )
        from torch.distributed.run import parse_args

        taken = parse_args(started.split()[2:])
        assert (taken.nnodes, taken.training_script) == ("2", "classicnets")
        calls.unlink()
        Path(run).mkdir(parents=True, exist_ok=True)
        (Path(run) / "run.json").touch()


SCRIPT = """
import os, signal, sys
from pathlib import Path
import torch
import classicnets as cn
from classicnets.data.synthetic import shapes

out, kills = Path(sys.argv[1]), sys.argv[2] == "kill"
torch.set_num_threads(1)
data = shapes(150, channels=1)
if (out / "run.json").exists():
    training = cn.resume(out, data=data)
else:
    changes = {"batch": "15", "epochs": "3"}
    training = cn.train("lenet5", data, out=out, recipe="fast", overrides=changes)
for record in training:
    if kills and os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        if record.step == record.steps // 2:
            os.kill(os.getpid(), signal.SIGKILL)
"""


def test_torchrun_goes_on_when_a_process_is_killed(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    for name, restarts in (("whole", "0"), ("kill", "1")):
        done = subprocess.run(
            [*command, f"--max-restarts={restarts}", str(tmp_path / "script.py"),
             str(tmp_path / name), name],
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
    whole, killed = (
        load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "kill")
    )
    assert all(torch.equal(whole[name], killed[name]) for name in whole)
