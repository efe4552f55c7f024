"""The package is in order: short files; a model, recipe, test and page for every paper."""

import subprocess
import sys
from pathlib import Path

import pytest

from classicnets import catalog

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PAPERS = sorted({entry.paper.page for entry in catalog.CATALOG.values() if entry.paper})


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_no_file_has_more_than_400_lines():
    files = [*SOURCES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    assert {path.name: _lines(path) for path in files if _lines(path) > 400} == {}


def test_no_file_of_studies_has_more_than_300_lines():
    files = [path for path in SOURCES if path.parent.name == "studies"]
    assert len(files) >= 7
    assert {path.name: _lines(path) for path in files if _lines(path) > 300} == {}


def test_the_package_keeps_to_its_budget():
    assert sum(map(_lines, SOURCES)) <= 47_000


def test_no_annotation_is_deferred():
    # shapes in types must be objects to be checked
    deferred = "from __future__ import " + "annotations"
    assert [path.name for path in SOURCES if deferred in path.read_text()] == []


@pytest.mark.parametrize("paper", PAPERS)
def test_every_paper_has_a_model_a_recipe_a_test_and_a_page(paper):
    for place in (
        f"src/classicnets/models/{paper}.py",
        f"src/classicnets/recipes/{paper}.py",
        f"tests/papers/test_{paper}.py",
        f"docs/{paper}.md",
    ):
        assert (ROOT / place).is_file(), place


def test_every_model_file_is_a_paper():
    files = {
        package: {p.stem for p in (ROOT / "src/classicnets" / package).glob("[!_]*.py")}
        for package in ("models", "recipes")
    }
    assert files["models"] == set(PAPERS)
    assert files["recipes"] == {*PAPERS, "fast", "finetune", "adapt"}


def test_generated_tables_and_names_are_up_to_date():
    command = [sys.executable, "docs/generate.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize("name", catalog.names())
def test_every_network_has_a_recipe_a_paper_and_its_choices(name):
    entry = catalog.find(name)
    assert entry.name == name
    assert entry.recipe.cite
    assert entry.paper
    assert entry.paper.choices
    assert 1980 <= entry.paper.year <= 2026
