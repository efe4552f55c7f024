"""Damaged and hostile runs and plans of an experiment are refused; a searching run has ended."""

import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

import classicnets as cn
from classicnets.experiments.outcomes import outcome_of
from classicnets.experiments.plan import read_plan
from classicnets.support.errors import on_command_line
from classicnets.training.run.directory import open_run


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _changed(**fields) -> Callable[[Path], object]:
    return lambda path: path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


DEEP = "[" * 100_000 + "]" * 100_000
HOSTILE = {
    "run.json is damaged: its brackets": ("run.json", lambda path: path.write_text(DEEP)),
    "run.json cannot be read: it is a named pipe": ("run.json", _pipe),
    "metrics.jsonl cannot be read: it is a named pipe": ("metrics.jsonl", _pipe),
    "metrics.jsonl is damaged: its brackets": ("metrics.jsonl", lambda path: path.write_text(DEEP)),
    "ended cannot be 'no'; it takes True or False": ("run.json", _changed(ended="no")),
    "diverged cannot be ['\\x1b']; it takes a string": ("run.json", _changed(diverged=["\x1b"])),
    "test.top1_error must be 0 to 100, not -5": ("run.json", _changed(test={"top1_error": -5})),
    "test.top5_error must be 0 to 100, not 1e+300": (
        "run.json", _changed(test={"top1_error": 5, "top5_error": 1e300}),
    ),
    "another seed; remove it": ("run.json", _changed(seed=7)),
    "another length; remove it": (
        "metrics.jsonl", lambda path: _longer(path.with_name("run.json")),
    ),
}  # fmt: skip


def _longer(path: Path) -> None:
    content = json.loads(path.read_text())
    content["recipe"]["epochs"] += 3
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("message", HOSTILE)
def test_a_hostile_run_of_an_experiment_is_refused_in_one_sentence(
    finished, prepare, tmp_path, message
):
    out = Path(shutil.copytree(finished[0], tmp_path / "exp"))
    name, damage = HOSTILE[message]
    damage(next(out.glob("runs/1-*-seed1")) / name)
    plan = read_plan(out)
    assert plan is not None
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        outcome_of(plan.round(1, [1.0, 1.0])[0], plan, out)
    assert "\n" not in str(error.value)
    assert "seed1" in str(error.value)


def test_a_plan_that_is_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "plan.json")
    with pytest.raises(ValueError, match=r"plan\.json cannot be read: it is a named pipe"):
        read_plan(tmp_path)


def test_a_run_that_searched_has_ended_until_it_is_extended(finished, tmp_path):
    searches = next(finished[0].glob("runs/1-*-lr-x1"))
    searched = open_run(Path(shutil.copytree(searches, tmp_path / "run")))
    assert searched.ended
    assert "test" not in searched.notes
    (row,) = cn.compare(searched.directory).rows
    assert row.ended
    assert cn.evaluate(searched.directory).unfinished == ()
    cn.resume(searched.directory, epochs=3)
    assert not open_run(searched.directory).ended


@pytest.mark.parametrize(
    ("typed", "said"), [(False, "add network='mine.py:net'"), (True, "add --network mine.py:net")]
)
def test_a_process_names_options_as_the_experiment_does(finished, prepare, tmp_path, typed, said):
    out = Path(shutil.copytree(finished[0], tmp_path / "exp"))
    run = next(out.glob("runs/1-*-seed1")) / "run.json"
    _changed(network="mine.py:net", ended=False)(run)
    with (
        on_command_line() if typed else nullcontext(),
        pytest.raises(ValueError, match="a run of your own network") as error,
    ):
        prepare(out, processes=1).finish()
    assert str(error.value).endswith(said)
    assert str(error.value).count(str(run.parent)) == 1
