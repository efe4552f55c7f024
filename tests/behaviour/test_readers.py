"""Many files are looked into by processes, and what they find is what one process finds."""

import os
import signal
import subprocess
import sys
import tarfile
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from classicnets.data import readers
from classicnets.data.decode import read_sizes
from classicnets.data.image_file import image_size
from classicnets.data.tar import Archive, Member
from classicnets.support.files import content_digest
from classicnets.support.progress import progress

LARGE = 80 * 70


@pytest.fixture
def many(monkeypatch) -> list[subprocess.Popen]:
    """The processes that were started, one for each file if there are as many cores."""
    started = []

    def start(*args, **options):
        started.append(subprocess.Popen(*args, **options))
        return started[-1]

    monkeypatch.setattr(readers, "LEAST", 1)
    monkeypatch.setattr(readers, "Popen", start)
    return started


@pytest.fixture
def files(tmp_path) -> list:
    """Images of all kinds, some of which cannot be read, beside each other and in a tar file."""
    paths = [str(tmp_path / f"{k}.png") for k in range(9)]
    for k, path in enumerate(paths):
        Image.new("RGB", (20 + k, 30), (k, 2 * k, 3 * k)).save(path)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (50, 40)).save(tmp_path / "turned.jpg", exif=turned)
    Image.effect_noise((64, 64), 60).save(tmp_path / "half.jpg")
    half = (tmp_path / "half.jpg").read_bytes()[:-200]
    (tmp_path / "half.jpg").write_bytes(half)
    (tmp_path / "no.jpg").write_bytes(b"not an image")
    Image.new("L", (80, 70)).save(tmp_path / "large.png")
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff \xe7\x8b\x90.png")
    Image.new("L", (7, 5)).save(odd, "PNG")
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.add(paths[8], "8.png")
    with tarfile.open(tmp_path / "x.tar") as tar:
        (place,) = tar.getmembers()
    member = Member(Archive(str(tmp_path / "x.tar")), place.offset_data, place.size)
    names = ("turned.jpg", "half.jpg", "no.jpg", "missing.png", "large.png")
    return [*paths, odd, member, *(str(tmp_path / name) for name in names)]


@pytest.mark.parametrize("channels", [0, 3])
def test_processes_find_the_sizes_and_the_reasons_that_one_finds(
    files, many, monkeypatch, channels
):
    monkeypatch.setenv("CLASSICNETS_MAX_PIXELS", str(LARGE))  # for all processes together
    reported: list[tuple[str, int, int]] = []
    token = progress.set(lambda *what: reported.append(what))
    alone = read_sizes(files, channels, "reading", cores=1)
    assert not many
    together = read_sizes(files, channels, "reading", cores=3)
    progress.reset(token)
    assert len(many) == 3
    assert together[0].equal(alone[0])
    assert list(together[1].items()) == list(alone[1].items())
    assert len(alone[1]) == 2 + bool(channels)
    assert alone[0][:12].tolist() == [*([30, 20 + k] for k in range(9)), [5, 7], [30, 28], [50, 40]]
    done = [(of, total) for name, of, total in reported if name == "reading"]
    assert done[-1] == (len(files), len(files))
    assert done == done[: len(done) // 2] * 2 == sorted(done[: len(done) // 2]) * 2


def look_into(files: list, look, channels: int | None, cores: int) -> dict:
    """Index -> what is found, where that is possible."""
    found = {}
    with readers.asking(files, channels, cores) as ask:
        readers.for_each(lambda i: look(files[i]), found.__setitem__, len(files), cores, ask=ask)
    return found


def test_only_what_a_process_cannot_read_is_read_here(files, many, monkeypatch):
    """Two have half of the room for pixels each."""
    monkeypatch.setenv("CLASSICNETS_MAX_PIXELS", str(LARGE))
    here = []

    def look(file):
        here.append(Path(str(file)).name)
        return image_size(file)

    found = look_into(files, look, 0, 2)
    assert sorted(here) == ["half.jpg", "large.png", "missing.png", "no.jpg"]
    assert len(found) == len(files) - 2


def test_processes_that_do_not_start_or_are_killed_are_done_without(files, many, monkeypatch):
    expected = look_into(files, image_size, 0, 1)
    for program in ("/bin/false", "/no such program"):
        with monkeypatch.context() as changed:
            changed.setattr(sys, "executable", program)
            assert look_into(files, image_size, 0, 2) == expected
    many.clear()
    with readers.asking(files, 0, 2) as ask:
        assert ask(range(1)) == [(30, 20)]
        for process in many:
            process.kill()
            process.wait()
        assert ask(range(2)) == [None, None]


def test_digests_are_those_of_hashlib(files, many):
    paths = [path for path in files if isinstance(path, str) and "missing" not in path]
    found = look_into(paths, content_digest, None, 2)
    assert len(many) == 2
    assert [found[i] for i in range(len(paths))] == [
        sha256(Path(path).read_bytes()).hexdigest() for path in paths
    ]
    with pytest.raises(FileNotFoundError):
        look_into([*paths, files[-2]], content_digest, None, 2)


UNGUARDED = """
import multiprocessing, sys
from classicnets.data import readers
from classicnets.data.decode import read_sizes

readers.LEAST = 1
multiprocessing.set_start_method("spawn")
print("run", flush=True)
started = []
popen = readers.Popen
readers.Popen = lambda *args, **options: started.append(popen(*args, **options)) or started[-1]

def work():
    sizes, reasons = read_sizes(sys.argv[1:], 3, cores=2)
    print(len(started), sizes.tolist(), reasons, flush=True)

work()
started.clear()
daemon = multiprocessing.get_context("fork").Process(target=work, daemon=True)
daemon.start()
daemon.join()
"""


def test_a_script_without_a_guard_runs_once_and_a_daemon_may_start_processes(files):
    paths = [path for path in files if isinstance(path, str)][:6]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", UNGUARDED, *paths],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    line = f"2 {[[30, 20 + k] for k in range(6)]} {{}}"
    assert done.stdout.splitlines() == ["run", line, line], done.stderr
    assert done.stderr == ""


INTERRUPTED = """
import sys
import torch
from classicnets.data import readers
from classicnets.data.decode import read_sizes
from classicnets.support.progress import progress

popen, started = readers.Popen, []
readers.Popen = lambda *args, **options: started.append(popen(*args, **options)) or started[-1]
progress.set(lambda name, done, total: print(done, flush=True))
sizes = torch.zeros(1_000_000, 2, dtype=torch.long)
try:
    read_sizes(sys.argv[1:] * 1_000_000, 3, "reading", sizes, cores=2)
except KeyboardInterrupt:
    print("read", int((sizes[:, 0] == 30).sum()), *[process.pid for process in started])
"""


def test_ctrl_c_ends_the_processes_and_keeps_what_they_have_read(files):
    reading = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, files[0]],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert reading.stdout
    reading.stdout.readline()  # it has begun
    os.killpg(reading.pid, signal.SIGINT)  # as a terminal does
    began = time.monotonic()
    out, err = reading.communicate(timeout=60)
    assert time.monotonic() - began < 10
    assert err == ""
    word, count, *started = out.splitlines()[-1].split()
    assert word == "read"
    assert 0 < int(count) < 1_000_000
    assert len(started) == 2
    for process in started:
        with pytest.raises(ProcessLookupError):
            os.kill(int(process), 0)


def test_sizes_are_kept_in_the_array_that_is_given(files, many):
    sizes = read_sizes(files[:4])[0]
    given = sizes.clone().zero_()
    assert read_sizes(files[:4], sizes=given, cores=2)[0] is given
    assert np.array_equal(given.numpy(), sizes.numpy())
