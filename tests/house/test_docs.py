"""The pages of docs/ are true: examples run, quotations, tables and commands stand."""

import re
import runpy
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from classicnets import catalog

ROOT = Path(__file__).parents[2]
VERBS = (
    *("list", "show", "weights", "design", "diff", "suggest", "speed", "plan", "recipe"),
    *("train", "experiment", "study", "evaluate", "predict", "compare", "see", "export", "push"),
    *("pack", "serve", "web"),
)
PAGES = sorted((ROOT / "docs").glob("*.md"))
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def blocks(page: Path, language: str) -> list[tuple[str, int, str]]:
    """The fenced blocks of a language: what stands after it, the line, and what is inside."""
    text = page.read_text(encoding="utf-8")
    fences = re.finditer(rf"^```{language}\b *(.*)\n((?:.*\n)*?)```$", text, re.MULTILINE)
    return [(f[1], text.count("\n", 0, f.start(2)), f[2]) for f in fences]


def tables(page: Path) -> list[list[list[str]]]:
    text = page.read_text(encoding="utf-8")
    runs = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    return [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in run.splitlines()]
        for run in runs
    ]


@each_page
def test_the_examples_of_a_page_run_one_after_another(page):
    variables: dict = {"__name__": page.stem}
    for of, line, code in blocks(page, "python"):
        if not of:
            exec(compile("\n" * line + code, str(page), "exec"), variables)


@each_page
def test_quoted_code_stands_in_the_file_it_is_quoted_from(page):
    for of, _, code in blocks(page, "python"):
        if of:
            file = (ROOT / of.removeprefix("of ")).read_text(encoding="utf-8")
            lines = [line.strip() for line in file.splitlines()]
            quoted = [line.strip() for line in code.splitlines()]
            starts = range(len(lines) - len(quoted) + 1)
            assert any(lines[i : i + len(quoted)] == quoted for i in starts), code


@each_page
def test_a_table_headed_by_a_network_says_what_the_network_has(page, measured):
    for (name, *columns), _, *rows in tables(page):
        if name not in catalog.CATALOG:
            continue
        report = measured(name).folded()
        layers = {layer.name: layer for layer in report.layers} | {"total": report.totals}
        for row in rows:
            layer = layers[row[0]]
            maps, *sides = map(str, layer.output)
            expected = {
                "output": maps + ("@" + "x".join(sides)) * bool(sides),
                "parameters": f"{layer.params:,}",
                "multiply-adds": f"{layer.macs:,}",
            }
            for column, cell in zip(columns, row[1:], strict=True):
                assert cell == expected.get(column, cell), f"{name}, {row[0]}, {column}"


@each_page
def test_commands_name_verbs_and_networks_that_exist(page):
    for _, _, lines in blocks(page, "sh"):
        for line in lines.splitlines():
            program, verb, *words = line.split()
            assert program == "classicnets"
            assert verb in VERBS
            named = verb in ("show", "speed", "plan", "recipe", "train") and words[0][:2] != "--"
            if named and ".py:" not in words[0] and not words[0].endswith(".net"):
                catalog.find(words[0])


def test_what_is_to_be_installed_is_an_extra_there_is_in_quotes():
    """Some shells take the brackets of a word without them for a pattern."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [*(ROOT / "src").rglob("*.py"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("README*")]
    found = [
        named
        for text in texts
        for named in re.findall(r"pip install [^\n]*?(\S*\[\w+\]\S?)", text.read_text("utf-8"))
    ]
    assert len(found) > 20
    legal = {f"'{name}[{extra}]'" for name in ("classicnets", ".")
             for extra in project["optional-dependencies"]}  # fmt: skip
    assert {*found} <= legal


def test_every_page_can_be_reached_from_the_index():
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if f"({page.name})" not in index] == ["index.md"]


def test_the_figures_are_what_the_script_draws():
    figures = ROOT / "docs/figures"
    drawn = runpy.run_path(str(figures / "draw.py"))["FIGURES"]
    assert sorted(drawn) == sorted(file.name for file in figures.glob("*.svg"))
    for name, draw in drawn.items():
        picture = draw()
        assert (figures / name).read_text(encoding="utf-8") == picture
        assert ET.fromstring(picture).tag == "{http://www.w3.org/2000/svg}svg"
