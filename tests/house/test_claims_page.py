"""docs/claims.md is true: what is kept is what the studies find, and the page has all of them.

That the tables are what docs/generate.py makes of the kept data is checked with the others.
"""

import json
import re
from pathlib import Path

import pytest

from classicnets.studies import index
from classicnets.studies.keeping import Kept
from classicnets.studies.study import TRAINING
from classicnets.studies.verdicts import CONFIRMED, CORRECTED
from classicnets.training.recipe.serialization import from_json

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/claims.md").read_text(encoding="utf-8")
KEPT = {
    path.stem: from_json(json.loads(path.read_text(encoding="utf-8")), Kept)
    for path in sorted((ROOT / "benchmarks/results/studies").glob("*.json"))
}
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


def test_what_is_kept_names_no_path_of_a_machine():
    for path in (ROOT / "benchmarks/results/studies").glob("*.json"):
        assert not re.search(r'"/|/tmp|/work|/home', path.read_text(encoding="utf-8"))
