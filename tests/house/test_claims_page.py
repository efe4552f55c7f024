"""docs/claims.md is true: what is kept is what the studies find, and the page has all of them.

That the tables are what docs/generate.py makes of the kept data is checked with the others.
"""

import json
import re
import runpy
import xml.etree.ElementTree as ET
from pathlib import Path
from statistics import fmean

import pytest

from classicnets.studies import index
from classicnets.studies.keeping import Kept, chinese, written
from classicnets.studies.study import TRAINING
from classicnets.studies.verdicts import CONFIRMED, CORRECTED
from classicnets.training.recipe.serialization import from_json

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/claims.md").read_text(encoding="utf-8")
KEPT = {
    path.stem: from_json(json.loads(path.read_text(encoding="utf-8")), Kept)
    for path in sorted((ROOT / "benchmarks/results/studies").glob("*.json"))
}
PICTURES = runpy.run_path(str(ROOT / "docs/pictures.py"))["PICTURES"]
AT_ONCE = [one.name for one in index.STUDIES.values() if one.kind != TRAINING]


@pytest.mark.parametrize("name", KEPT)
def test_what_is_kept_is_of_the_study_as_it_is(name):
    study, kept = index.STUDIES[name], KEPT[name]
    for fact in ("family", "kind", "claim", "by", "source", "criterion", "shrunk"):
        assert getattr(kept, fact) == getattr(study, fact), fact
    assert kept.study == name
    assert kept.command.startswith(f"classicnets study {name}")
    assert kept.versions["torch"]


@pytest.mark.parametrize("name", AT_ONCE)
def test_a_study_that_trains_nothing_finds_what_is_kept(name):
    found = index.STUDIES[name].run(None)  # type: ignore[arg-type]
    kept = KEPT[name]
    assert (found.verdict, found.answer) == (kept.verdict, kept.answer)
    assert dict(found.figures) == pytest.approx(kept.figures)


def test_every_study_stands_on_the_page_once():
    for name in index.STUDIES:
        assert len(re.findall(rf"^\|.*\| `{name}` \|$", PAGE, re.MULTILINE)) == 1, name


def test_claims_of_the_text_are_confirmed_and_corrected():
    verdicts = [kept.verdict for kept in KEPT.values() if "case study" in kept.by]
    assert verdicts.count(CORRECTED) >= 15
    assert verdicts.count(CONFIRMED) >= 10


def test_each_page_of_a_paper_links_its_claims():
    for family in ("lenet", "alexnet", "zfnet", "vgg", "googlenet", "resnet"):
        text = (ROOT / f"docs/{family}.md").read_text(encoding="utf-8")
        (anchor,) = re.findall(r"\(claims\.md#([a-z0-9-]+)\)", text)
        assert anchor in [head.lower() for head in re.findall("^## (.*)$", PAGE, re.MULTILINE)]


CHINESE = (ROOT / "docs/zh/claims.md").read_text(encoding="utf-8")


def test_the_chinese_page_answers_every_claim_once():
    rows = re.findall(r"^\| (.*) \| \*\*(\S+)\*\* \| (.*) \| `([a-z0-9-]+)` \|$", CHINESE, re.M)
    assert sorted(row[3] for row in rows) == sorted(index.STUDIES)
    assert all(re.search("[一-鿿]", claim) and answer for claim, _, answer, _ in rows)
    for _, verdict, _, name in rows:
        right = VERDICTS_IN_CHINESE[KEPT[name].verdict if name in KEPT else "not yet run"]
        assert verdict == right, name


VERDICTS_IN_CHINESE = {
    "confirmed": "证实",
    "corrected": "更正",
    "partly": "部分成立",
    "not distinguishable at this scale": "此规模下无法区分",
    "not yet run": "尚未运行",
}


def test_the_two_pages_have_the_same_headings_figures_and_commands():
    def parts(text: str) -> list[str]:
        plain = text.replace("../claims/", "claims/")
        code = re.findall(r"^```.*?^```$", plain, re.MULTILINE | re.DOTALL)
        return [*re.findall(r"!\[.*\]\((.*)\)", plain), *code]

    assert parts(PAGE) == parts(CHINESE)
    assert PAGE.count("\n## ") == CHINESE.count("\n## ")
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)\)", CHINESE):
        assert (ROOT / "docs/zh" / target).is_file(), target


def test_the_numbers_of_the_chinese_answers_are_those_of_the_studies():
    """Numbers with a comma or a decimal point of a row stand in the study's answer or figures."""
    for row in re.findall(r"^\| .* \| `[a-z0-9-]+` \|$", CHINESE, re.MULTILINE):
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        name = cells[-1].strip("`")
        if name not in KEPT:
            continue
        kept = KEPT[name]
        known = f"{kept.answer} {kept.claim} {kept.figures} " + " ".join(
            written(value) for value in kept.figures.values()
        )
        for number in re.findall(r"\d+(?:,\d{3})+|\d+\.\d+", cells[2]):
            assert number in known, (name, number)


def test_the_chinese_criteria_have_the_numbers_of_the_english_ones():
    def numbers(text: str) -> list[str]:
        return sorted(re.findall(r"\d+(?:[.,]\d+)*", text))

    assert set(chinese()) == set(index.STUDIES)
    for name, said in chinese().items():
        study = index.STUDIES[name]
        assert re.search("[一-鿿]", said["claim"]), name
        assert re.search("[一-鿿]", said["criterion"]), name
        assert numbers(said["criterion"]) == numbers(study.criterion), name
        assert numbers(said["shrunk"]) == numbers(study.shrunk), name


def test_the_commands_of_the_page_name_studies():
    commands = re.findall("^classicnets study(.*)$", PAGE, re.MULTILINE)
    assert len(commands) >= 4
    for words in map(str.split, commands):
        assert set(words) - set(index.STUDIES) <= {"--all", "--family", "--kind", "--seeds", "8",
                                                   "vgg", "structure"}  # fmt: skip


def test_what_is_kept_names_no_path_of_a_machine():
    for path in (ROOT / "benchmarks/results/studies").glob("*.json"):
        assert not re.search(r'"/|/tmp|/work|/home', path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_has_a_dot_for_each_run_at_its_height(name):
    drawn = ET.fromstring((ROOT / f"docs/claims/{name}.svg").read_text(encoding="utf-8"))
    svg = "{http://www.w3.org/2000/svg}"
    marks = [m for m in drawn.iter(f"{svg}text") if m.get("text-anchor") == "end"]
    (y0, v0), *_, (y1, v1) = [(float(m.get("y", "")) - 4, float(m.text or "")) for m in marks]
    *dots, _legend = drawn.iter(f"{svg}circle")
    found = sorted(v0 + (float(d.get("cy", "")) - y0) * (v1 - v0) / (y1 - y0) for d in dots)
    values = KEPT[name].runs["values"]
    assert found == pytest.approx(sorted(v for runs in values.values() for v in runs), abs=v1 / 400)
    assert (v0, v1 >= max(found)) == (0, True)
    for page in (PAGE, CHINESE):
        (said,) = re.findall(rf"!\[(.*)\]\(.*claims/{name}\.svg\)", page)
        means = {str(round(fmean(runs))) for runs in values.values()}
        assert means <= set(re.findall(r"\d+", said))
