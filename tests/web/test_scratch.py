"""What gathers in a hidden folder is whole or gone, however many gather at once or are killed."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from classicnets.web import intake
from classicnets.web.intake import Intake
from classicnets.web.scratch import PREFIX, Scratch, remove_leftovers
from classicnets.web.workspace import Workspace

GATHERS = """
import sys, time
from pathlib import Path
from classicnets.web.scratch import Scratch
scratch = Scratch(Path(sys.argv[1]))
(scratch.make() / "half").write_text("so far")
print("there", flush=True)
time.sleep(600)
"""
ANSWERS = "import sys, time; print(sys.argv[2:]); sys.exit(int(sys.argv[1]))"


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Workspace:
    """A folder with a run, in which commands print their words and end with `desk.status`."""
    (tmp_path / "runs" / "run").mkdir(parents=True)
    (tmp_path / "runs" / "run" / "run.json").write_text("{}")
    for name in ("own", "a b", "a-b"):
        (tmp_path / "data" / name).mkdir(parents=True)
    status = ["0"]

    def begin(self, words, out, errors=subprocess.STDOUT):
        command = [sys.executable, "-c", ANSWERS, status[0], *words]
        return subprocess.Popen(command, stdout=out, stderr=errors)

    monkeypatch.setattr(Workspace, "begin", begin)
    desk = Workspace.open(tmp_path, [])
    monkeypatch.setattr(desk, "status", status, raising=False)
    return desk


def hidden(folder: Path) -> list[Path]:
    return list(folder.rglob(f"{PREFIX}*"))


def test_what_a_killed_server_left_is_removed_and_what_a_running_one_takes_is_not(desk):
    place = desk.runs / "run" / "evaluations"
    for parent in (place, desk.folder / "data", desk.runs / "run" / "exports"):
        command = [sys.executable, "-c", GATHERS, str(parent)]
        other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert other.stdout
        with other.stdout:
            assert other.stdout.readline() == "there\n"
        try:
            desk.remove_leftovers()
            assert [one.parent for one in hidden(desk.folder)] == [parent]
        finally:
            other.kill()
            other.wait()
        assert hidden(desk.folder)
        desk.remove_leftovers()
        assert hidden(desk.folder) == []


def test_a_folder_without_a_lock_and_a_file_of_such_a_name_do_no_harm(tmp_path):
    (tmp_path / f"{PREFIX}old" / "sent").mkdir(parents=True)
    (tmp_path / f"{PREFIX}file").write_text("not ours")
    remove_leftovers(tmp_path)
    remove_leftovers(tmp_path / "nowhere")
    assert [one.name for one in tmp_path.iterdir()] == [f"{PREFIX}file"]


def test_two_that_come_in_at_once_do_not_mix(tmp_path):
    first, second = Intake(tmp_path), Intake(tmp_path)
    for one, content in ((first, b"first"), (second, b"second")):
        one.take("photos/cat/1.png", 0, content[:2])
    for one, content in ((second, b"second"), (first, b"first")):
        one.take("photos/cat/1.png", 2, content[2:])
    places = [one.adopt(one.unpacked() / "photos", []) for one in (first, second)]
    assert [place.name for place in places] == ["photos", "photos-2"]
    assert [(p / "cat" / "1.png").read_bytes() for p in places] == [b"first", b"second"]
    assert hidden(tmp_path) == []


def test_two_of_one_name_that_are_adopted_at_once_have_two_names(tmp_path, monkeypatch):
    def slowly(name, taken, free=intake._free):
        found = free(name, taken)
        time.sleep(0.1)
        return found

    monkeypatch.setattr(intake, "_free", slowly)
    both = [Intake(tmp_path), Intake(tmp_path)]
    for one in both:
        one.take("photos/cat/1.png", 0, b"content")
    with ThreadPoolExecutor(2) as threads:
        made = threads.map(lambda one: one.adopt(one.unpacked() / "photos", []).name, both)
        assert sorted(made) == ["photos", "photos-2"]


def test_two_evaluations_at_once_write_into_places_of_their_own(desk):
    ends = [desk.evaluate("run", "single", ""), desk.evaluate("run", "single", "")]
    assert len({*hidden(desk.folder)}) == 2
    kept = desk.runs / "run" / "evaluations" / "single.json"
    assert not kept.exists()
    assert [end() for end in ends] == ["", ""]
    assert "protocol=single" in kept.read_text()
    assert [one.name for one in kept.parent.iterdir()] == ["single.json"]


def test_an_evaluation_that_fails_leaves_what_there_was(desk):
    desk.evaluate("run", "single", "")()
    kept = desk.runs / "run" / "evaluations" / "single.json"
    before = kept.read_bytes()
    desk.status[0] = "1"
    assert "protocol=single" in desk.evaluate("run", "single", "")()
    assert kept.read_bytes() == before
    assert hidden(desk.folder) == []


def test_evaluations_on_any_data_are_told_apart(desk):
    """A set may be named like the run's own test part, and two like one as the name of a file."""
    for data in ("", "own", "a b", "a-b"):
        desk.evaluate("run", "single", data)()
    assert len(list((desk.runs / "run" / "evaluations").glob("*.json"))) == 4


def test_two_exports_at_once_keep_the_whole_of_one_log(desk):
    ends = [desk.export("run", "onnx", ".onnx", "fp32", whole) for whole in (True, True)]
    assert [end() for end in ends] == ["", ""]
    log = desk.runs / "run" / "exports" / "run-fp32-bytes.onnx.log"
    assert log.read_text().count("--with-preprocessing") == 1
    assert hidden(desk.folder) == []


def test_a_folder_is_there_from_when_it_is_needed_until_it_is_removed(tmp_path):
    scratch = Scratch(tmp_path / "data")
    assert not scratch.place.exists()
    assert scratch.make() == scratch.make() == scratch.place
    scratch.remove()
    assert list((tmp_path / "data").iterdir()) == []
    assert scratch.make().is_dir()  # again
    scratch.remove()
