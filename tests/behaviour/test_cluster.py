"""Many processes and machines: what they send, the scripts of the page, and one that is killed."""

import os
import re
import signal
import stat
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from threading import Thread

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import classicnets as cn
from classicnets.training.execution import distributed

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


def in_threads(store, count: int) -> list[str]:
    """The names that so many processes agree on by this store."""
    found: dict[int, str] = {}

    def join(number: int) -> None:
        found[number] = distributed._agree(store, number, count)

    threads = [Thread(target=join, args=(number,)) for number in reversed(range(count))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return [found[number] for number in range(count)]


def test_processes_that_start_again_agree_whatever_is_left_in_the_store():
    """And each time on another name: the last start left questions, as if it had been killed."""
    store = dist.HashStore()
    store.set_timeout(timedelta(seconds=10))
    starts = []
    for count in (3, 3, 2, 4, 1):
        names = in_threads(store, count)
        assert len(set(names)) == 1
        starts.append(names[0])
        for number in range(1, 4):
            store.set(f"asking {number}", f"a process that has gone {len(starts)}")
    assert len(set(starts)) == 5
    store.set_timeout(timedelta(seconds=0.1))
    for number in (0, 1):
        with pytest.raises(RuntimeError):
            distributed._agree(store, number, 2)


SCRIPT = """
import os, signal, sys, time
from pathlib import Path
import torch
import classicnets as cn
from classicnets.api import train

root, rank = Path(sys.argv[1]), os.environ["RANK"]
torch.set_num_threads(1)
train.SAVE_EVERY = 0  # after each step
data = f"{root}/shards/train-{{000000..000003}}.tar"
changes = {"batch": "100", "epochs": "2", "crop_sampler": "RandomCrop(whole=True)"}

def new(name):
    return cn.train("lenet5", data, out=root / name, recipe="fast", overrides=changes)

again = (root / "killed/run.json").exists()
training = cn.resume(root / "killed") if again else new("killed")
epoch = training.config.steps_per_epoch
assert again == (epoch < training.state.step < 2 * epoch)
try:
    for record in training:
        if record.step == epoch + 4 and rank == "1" and not again:
            os.kill(os.getpid(), signal.SIGKILL)
except RuntimeError:  # the other has gone; as under NCCL this one waits
    time.sleep(60)
new("whole").finish()
(root / f"restarts of {rank}").write_text(os.environ["TORCHELASTIC_RESTART_COUNT"])
try:
    cn.resume(root / "killed") if rank == "0" else new("other")
except ValueError as error:
    (root / f"error of {rank}").write_text(str(error))
"""


@pytest.mark.slow
def test_two_machines_go_on_when_a_process_is_killed(tmp_path, free_port):
    """Each has a torchrun of its own, and only one counts a restart; they train on shards."""
    pytest.importorskip("webdataset")
    cn.pack("digits", tmp_path / "shards", side=16, channels=1, shards=4)
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
    command += ["--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{free_port}", "--rdzv-id=1"]
    command += ["--local-addr=127.0.0.1", "--max-restarts=1", tmp_path / "script.py", tmp_path]
    machines = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        for machine in machines:
            _, err = machine.communicate(timeout=300)
            assert machine.returncode == 0, err[-3000:]
    finally:
        for machine in machines:
            machine.terminate()  # it ends what it has started
    assert [(tmp_path / f"restarts of {rank}").read_text() for rank in "01"] == ["0", "1"]
    whole, killed = (
        load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "killed")
    )
    assert all(torch.equal(whole[name], killed[name]) for name in whole)
    for rank in "01":
        assert (tmp_path / f"error of {rank}").read_text() == (
            "the processes differ in what to do: a run to resume in process 0, a new run in "
            "process 1; all machines need the same command, data and run directory"
        )
