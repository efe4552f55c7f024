"""Both languages are complete, and nothing is translated that no page says."""

import ast
import json
import re
from pathlib import Path

import classicnets as cn
from classicnets.api.following import DAMAGED, DIVERGED, ENDED, STOPPED, TRAINING
from classicnets.designs.moves import MOVES
from classicnets.web.pages.design import CHINESE as CHINESE_MOVES
from classicnets.web.pages.planned import PARTS, PHASES
from classicnets.web.texts import CHINESE, Text

SOURCES = [
    path for path in (Path(cn.__file__).parent / "web").rglob("*.py") if path.name != "texts.py"
]
TREES = [ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES]


def test_every_text_that_a_page_says_is_in_the_table():
    said = {
        call.args[0].value
        for tree in TREES
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "t"
        and isinstance(call.args[0], ast.Constant)
    }
    assert said - CHINESE.keys() == set()


def test_only_a_fault_is_said_to_have_failed():
    """A refusal is its sentence; `failed` in the shell tells them apart, for all pages."""
    found = [path.name for path in SOURCES if "Something failed" in path.read_text("utf-8")]
    assert found == ["shell.py"]


def test_every_text_of_the_table_is_said():
    constants = {
        node.value for tree in TREES for node in ast.walk(tree) if isinstance(node, ast.Constant)
    }
    states = {TRAINING, STOPPED, ENDED, DIVERGED, DAMAGED}
    assert CHINESE.keys() - constants - states == set()
    assert states <= CHINESE.keys()


def test_both_languages_have_the_same_gaps_and_differ():
    for english, chinese in CHINESE.items():
        assert english.count("{}") == chinese.count("{}"), english
        assert re.search("[\u4e00-\u9fff]", chinese) or english == "中文", english
        assert chinese != english


def test_a_language_that_there_is_not_is_english():
    assert Text("fr")("Networks") == "Networks"
    assert Text("zh")("One image of {}", "3x8x8") == "输入一张 3x8x8 的图像"


def test_every_part_and_phase_of_a_plan_is_said():
    peaks = cn.plan("lenet5", "digits").peaks
    assert tuple(peak.phase for peak in peaks) == PHASES
    assert {tuple(peak.parts) for peak in peaks} == {PARTS}


def test_every_move_is_said_in_chinese_as_its_page_says_it():
    table = Path(__file__).parents[2].joinpath("docs/zh/moves.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \| (.+?) \| (.+?) \|", table, flags=re.MULTILINE)
    written = {name: [claim, source] for name, source, claim in rows}
    said = json.loads(CHINESE_MOVES.read_text(encoding="utf-8"))
    assert set(said) == {move.name for move in MOVES}
    for name, text in said.items():
        claim, _, source = text.removesuffix("\uff09").rpartition("\uff08")  # in parentheses
        assert [claim, source] == written[name]
