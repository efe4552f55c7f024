"""The folder behind the pages: names that are offered, the queue, and who trains where."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from classicnets.support.files import lock_directory, lock_holder
from classicnets.web.pages.runs import _rows
from classicnets.web.texts import Text
from classicnets.web.workspace import Workspace, inside


@pytest.fixture
def desk(tmp_path) -> Workspace:
    return Workspace.open(tmp_path, [])


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../a", "a/b", "/etc/passwd", ".hidden", "a\\b", "a\0b", "link"]
)
def test_a_name_leads_nowhere_else(tmp_path, name):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "link").symlink_to("/etc")
    with pytest.raises(ValueError, match=r"is not (a name )?in runs"):
        inside(tmp_path / "runs", name)


def test_only_the_data_that_were_named_are_offered(tmp_path):
    for name in ("photos", "data/birds"):
        (tmp_path / name).mkdir(parents=True)
    desk = Workspace.open(tmp_path, [tmp_path / "photos"])
    assert desk.data_names()[:3] == ["photos", "birds", "digits"]
    assert desk.dataset("birds") == str(tmp_path / "data/birds")
    for wrong in ("/etc", "hf:owner/name", "imagenet:/data", "../photos"):
        with pytest.raises(ValueError, match="choose from photos, birds, digits"):
            desk.dataset(wrong)
    with pytest.raises(ValueError, match="two data sets are named photos; rename a folder"):
        Workspace.open(tmp_path, [tmp_path / "photos"] * 2)
    with pytest.raises(ValueError, match="nowhere is not a folder"):
        Workspace.open(tmp_path, [Path("nowhere")])


def test_one_training_runs_at_a_time_and_the_others_wait_in_a_file(desk, monkeypatch):
    began: list[str] = []
    busy = [False]
    monkeypatch.setattr(Workspace, "_start", lambda self, name, words: began.append(name))
    monkeypatch.setattr(Workspace, "busy", lambda self: busy[0])
    desk.queue("a", ["train"])
    busy[0] = True
    for name in ("b", "c", "d"):
        desk.queue(name, ["train"])
    desk.withdraw("c")
    again = Workspace.open(desk.folder, [])  # as after the server has ended
    assert [job["name"] for job in again.waiting()] == ["b", "d"]
    assert again.free_name("/x/b.net", "digits") == "b-digits-1"
    busy[0] = False
    again.begin_next()
    again.begin_next()
    again.begin_next()
    assert began == ["a", "b", "d"]


def test_a_training_is_in_the_list_from_its_start_though_its_run_is_not_written_yet(
    desk, monkeypatch
):
    def begin(self, words, out, errors=-1):
        return subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1)

    monkeypatch.setattr(Workspace, "begin", begin)
    for name in ("a", "b"):
        desk.queue(name, ["train", "/x/own.net", "--data=/x/photos"])
    rows = _rows(Text("en"), desk)
    assert [(row["name"], row["state"]) for row in rows] == [("a", "training"), ("b", "Waiting")]
    assert {(row["network"], row["data"], row["epoch"]) for row in rows} == {
        ("own.net", "photos", 0)
    }
    desk.started["a"].communicate(timeout=20)
    assert [row["name"] for row in _rows(Text("en"), desk)] == ["b"]


def test_what_waits_or_runs_is_not_queued_again_and_stop_withdraws_it(desk, monkeypatch):
    monkeypatch.setattr(Workspace, "busy", lambda self: True)
    desk.queue("a", ["train", "--resume", "a"])
    with pytest.raises(ValueError, match="a waits or is being trained already"):
        desk.queue("a", ["train", "--resume", "a"])
    assert desk.stop("a") is False
    assert desk.waiting() == []
    desk.started["a"] = process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1)
    with pytest.raises(ValueError, match="a waits or is being trained already"):
        desk.queue("a", ["train", "--resume", "a"])
    assert desk.stop("a") is True
    process.communicate(timeout=20)
    assert not desk.begun("a")
    desk.queue("a", ["train", "--resume", "a"])
    assert desk.waits("a")


def test_a_run_in_training_is_not_thrown_away_and_its_process_is_known(desk):
    run = desk.runs / "run"
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}")
    assert lock_holder(run) == 0
    lock_directory(run)
    assert lock_holder(run) == os.getpid()
    assert desk.busy()
    with pytest.raises(ValueError, match="stop it first"):
        desk.trash("run", "now")
    assert run.is_dir()
