"""The Chinese edition, docs/zh and README.zh-CN.md, is complete and says what the English one says.

Words are for readers to compare. Compared here are headings, code, tables and the figures in them,
images, links with the headings they lead to, and the figures in the text of each section. The code
is the same, so that the tests which run the commands of the English pages vouch for both.
"""

import itertools
import os
import re
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TWINS = {
    page: DOCS / "zh" / page.name
    for page in sorted(DOCS.glob("*.md"))
    if page.name != "reference.md"  # made of the docstrings, which are English
}
READMES = (ROOT / "README.md", ROOT / "README.zh-CN.md")
# answers the claims of one lecture text, with rows of its own: test_claims_page.py compares them
SHORTER = "claims.md"
ENGLISH_OF = {chinese: page for page, chinese in (*TWINS.items(), READMES)}

MARKDOWN = MarkdownIt("commonmark").enable("table")
FIGURE = re.compile(r"(\d+(?:[.,]\d+)*)(?:\s?(thousand|million|万|亿))?")
UNITS = {"thousand": 10**3, "million": 10**6, "万": 10**4, "亿": 10**8}


def parsed(page: Path) -> list[Token]:
    return _parsed(page.read_text(encoding="utf-8"))


@cache
def _parsed(text: str) -> list[Token]:
    return MARKDOWN.parse(text)


def inline(page: Path, kind: str) -> Iterator[Token]:
    """The parts of a kind in the text of a page, such as images and links."""
    for token in parsed(page):
        yield from (part for part in token.children or () if part.type == kind)


def words(token: Token) -> str:
    """The text of a heading, cell or paragraph, without its marks."""
    return "".join(
        "\n" if part.type == "softbreak" else part.content for part in token.children or ()
    )


def headings(page: Path) -> list[tuple[str, str]]:
    """The level and text of each heading."""
    tokens = parsed(page)
    pairs = itertools.pairwise(tokens)
    return [(head.tag, words(text)) for head, text in pairs if head.type == "heading_open"]


def anchors(page: Path) -> list[str]:
    """What follows `#` in a link to each heading, as GitHub makes it."""
    made: list[str] = []
    for _, text in headings(page):
        name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        made.append(f"{name}-{made.count(name)}" if name in made else name)
    return made


def code(page: Path) -> list[tuple[str, str]]:
    blocks = [(token.info, token.content) for token in parsed(page) if token.type == "fence"]
    if page in READMES:  # whose comments are in its language
        return [(info, re.sub(r" *# .*", "", content)) for info, content in blocks]
    return blocks


def tables(page: Path) -> list[list[list[str]]]:
    """Table -> row -> cell."""
    found: list[list[list[str]]] = []
    for before, token in zip([None, *parsed(page)], parsed(page), strict=False):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif before and before.type in ("th_open", "td_open"):
            found[-1][-1].append(words(token))
    return found


def figures(text: str) -> list[str]:
    """The numbers in a text: 1.2 million and 120 万 are both 1200000."""
    return [_value(*found) for found in FIGURE.findall(text)]


def _value(number: str, unit: str) -> str:
    plain = re.sub(r"(?<=\d),(?=\d{3}\b)", "", number)
    if plain.count(".") + plain.count(",") > 1 or "," in plain:
        return plain  # a version
    return f"{(Decimal(plain) * UNITS.get(unit, 1)).normalize():f}"


def sections(page: Path) -> list[str]:
    """The text below each heading, without code and tables."""
    texts, within = [""], False
    for before, token in zip([None, *parsed(page)], parsed(page), strict=False):
        if token.type in ("table_open", "table_close"):
            within = token.type == "table_open"
        if token.type == "heading_open":
            texts.append("")
        elif token.type == "inline" and not within and before and before.type != "heading_open":
            texts[-1] += words(token) + "\n"
    return texts


def images(page: Path) -> list[Path]:
    found = (str(image.attrs["src"]) for image in inline(page, "image"))
    return [Path(os.path.normpath(page.parent / source)) for source in found]


def links(page: Path) -> Iterator[tuple[str, str]]:
    """The target of each link and the anchor in it, as they are written."""
    for link in inline(page, "link_open"):
        target, _, anchor = unquote(str(link.attrs["href"])).partition("#")
        yield target, anchor


def leads_to(page: Path) -> set[tuple[str, int]]:
    """What is linked: the English page, and the number of the heading there."""
    found = set()
    for target, anchor in links(page):
        if target.startswith("https://"):
            found.add((f"{target}#{anchor}", 0))
        else:
            there = Path(os.path.normpath(page.parent / target)) if target else page
            number = anchors(there).index(anchor) + 1 if anchor and anchor in anchors(there) else 0
            found.add((str(ENGLISH_OF.get(there, there)) if target else "", number))
    return found


def differences(english: Path, chinese: Path) -> list[str]:
    """What one page has and the other has not."""
    pairs = [
        ("levels of headings", *([tag for tag, _ in headings(p)] for p in (english, chinese))),
        ("code", code(english), code(chinese)),
        ("images", images(english), images(chinese)),
    ]
    if english.name != SHORTER:
        pairs += [
            ("comments", *([t.content for t in parsed(p) if t.type == "html_block"]
                           for p in (english, chinese))),
            ("links", sorted(leads_to(english)), sorted(leads_to(chinese))),
        ]  # fmt: skip
    found = [f"{what}: {_first(one, other)}" for what, one, other in pairs if one != other]
    if english.name == SHORTER:
        return found
    return [*found, *_in_tables(english, chinese), *_in_text(english, chinese)]


def _first(one: list, other: list) -> str:
    """The first place where two lists differ."""
    for a, b in zip(one, other, strict=False):
        if a != b:
            return f"{a!r}, {b!r}"
    return f"{len(one)}, {len(other)}; {[*one, *other][min(len(one), len(other))]!r}"


def _in_tables(english: Path, chinese: Path) -> list[str]:
    one, other = tables(english), tables(chinese)
    shapes = [[[len(row) for row in table] for table in found] for found in (one, other)]
    if shapes[0] != shapes[1]:
        return [f"tables: {_first(*shapes)}"]
    cells = [[cell for table in found for row in table for cell in row] for found in (one, other)]
    return [
        f"figures: {a!r}, {b!r}"
        for a, b in zip(*cells, strict=True)
        if sorted(figures(a)) != sorted(figures(b))
    ]


def _in_text(english: Path, chinese: Path) -> list[str]:
    """Figures of a section with three digits or more, or a decimal point, that one page lacks.

    Chinese may write in figures what English writes in words.
    """
    found = []
    for one, other in zip(sections(english), sections(chinese), strict=False):
        told, said = figures(one), figures(other)
        missing = [f for f in told if ("." in f or len(f) > 2) and f not in said]
        more = [f for f in said if "." in f and f not in told]
        found += [f"text: {which}, {other[:30]!r}" for which in (*missing, *more)]
    return found


@pytest.mark.parametrize("page", TWINS, ids=lambda page: page.stem)
def test_a_page_and_its_twin_say_the_same(page):
    assert differences(page, TWINS[page]) == []


def test_the_two_readmes_say_the_same():
    assert differences(*READMES) == []


def test_nothing_is_in_chinese_alone():
    assert sorted(TWINS.values()) == sorted((DOCS / "zh").glob("*.md"))


@pytest.mark.parametrize("page", TWINS, ids=lambda page: page.stem)
def test_a_page_and_its_twin_are_linked_below_their_titles(page):
    for one, link in (
        (page, f"[中文](zh/{page.name})"),
        (TWINS[page], f"[English](../{page.name})"),
    ):
        assert one.read_text(encoding="utf-8").splitlines()[2] == link


@pytest.mark.parametrize("page", [*TWINS.values(), READMES[1]], ids=lambda page: page.stem)
def test_chinese_pages_link_chinese_pages_and_show_no_asterisks(page):
    own = ENGLISH_OF[page]
    for target, _ in links(page):
        there = Path(os.path.normpath(page.parent / target))
        assert there == own or there not in TWINS, f"{target} has a Chinese twin"
    assert [part.content for part in inline(page, "text") if "**" in part.content] == []


@pytest.mark.parametrize(
    "page",
    [*sorted(DOCS.rglob("*.md")), *READMES],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_links_lead_somewhere(page):
    for target, anchor in links(page):
        if not target.startswith("https://"):
            there = page.parent / target if target else page
            assert there.is_file(), target
            assert not anchor or anchor in anchors(there), f"{target}#{anchor}"


ENGLISH = """# Nets

## How *deep*

At 1.2 million images the error is 7.3 %; see [below](#how-deep).

| layer | maps |
|---|--:|
| conv1 | 96 of 11x11 |

```sh
classicnets list
```

![a net](net.svg)
"""
CHINESE = """# 网络

## 有多*深*

120 万张图像的错误率是 7.3 %。见[下文](#有多深)。

| 层 | 特征图 |
|---|--:|
| conv1 | 11x11 的 96 个 |

```sh
classicnets list
```

![一个网络](net.svg)
"""


@pytest.mark.parametrize(
    ("words", "others", "said"),
    [
        ("## 有", "### 有", "levels of headings: 'h2', 'h3'"),
        ("96", "64", "figures: '96 of 11x11', '11x11 的 64 个'"),
        ("| conv1", "| a | b |\n| conv1", "tables: "),
        ("list", "show", "code: "),
        ("net.svg", "other.svg", "images: "),
        ("#有多深", "#多深", "links: "),
        ("120 万", "12 万", "text: 1200000, "),
        ("7.3", "7.4", "text: 7.3, "),
        ("![一", "<!-- here -->\n\n![一", "comments: "),
    ],
)
def test_a_difference_is_found_and_named(tmp_path, words, others, said):
    english, chinese = tmp_path / "net.md", tmp_path / "zh.md"
    english.write_text(ENGLISH, encoding="utf-8")
    chinese.write_text(CHINESE, encoding="utf-8")
    assert differences(english, chinese) == []
    assert words in CHINESE
    chinese.write_text(CHINESE.replace(words, others), encoding="utf-8")
    assert differences(english, chinese)[0].startswith(said)
