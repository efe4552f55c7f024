"""Names are drawn as they are, whatever characters they have, and become safe file names."""

import math
import re
from html.parser import HTMLParser

import matplotlib.text
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from classicnets.support.names import file_names, short, visible
from classicnets.support.plots import LiteralFigure, draw_confusion, png
from classicnets.training.run.curves import EpochMetrics, learning_curve
from classicnets.visualize import render
from classicnets.visualize.health import LayerHealth
from classicnets.visualize.page import Plate, Shown, page

HOSTILE = {
    "broken formula": "m$\\bad{$",
    "formula": "$x$",
    "two formulas": "$a$ and \\$b$",
    "Chinese": "猫",
    "emoji": "🐈",
    "escape": "a\x1b[31mb",
    "zero byte": "a\0b",
    "lines": "a\nb\r\nc\u2028d",
    "direction": "\u202egnp.exe",
    "half a character": "a\udcff",
    "long": "x" * 300,
    "markup": "<b>&\"'</b>",
    "underscore": "_background",
    "empty": "",
    "combining": "e\u0301" * 30,
}


@pytest.fixture
def drawn(monkeypatch):
    """The texts that are drawn, and whether as formulas."""
    found = []
    original = matplotlib.text.Text._preprocess_math

    def spy(text, content):
        result = original(text, content)
        found.append(result)
        return result

    monkeypatch.setattr(matplotlib.text.Text, "_preprocess_math", spy)
    return found


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_every_name_is_drawn_literally_and_without_warnings(name, drawn):
    figure = LiteralFigure(figsize=(12, 6), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_confusion(left, np.eye(2, dtype=int), [name, "b"])
    (line,) = right.plot([1, 2])
    right.bar([short(name), "d"], [1, 2])  # whose tick labels are made when it is drawn
    right.set_title(short(name))
    right.legend([line], [short(name)])
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert {formula for _, formula in drawn} == {False}
    texts = {content for content, _ in drawn}
    if name and name.isprintable() and len(name) <= 32:
        assert name in texts
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e\ud800-\udfff]", "".join(texts))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_every_name_is_drawn_in_every_plate_and_curve(name, drawn):
    image, classes = torch.rand(1, 8, 8), [name, "b"]
    layer = LayerHealth(name, 1.0, 1e-3, 1.0, 0.0, 1.0)
    figures = [
        render.probes_figure({name: 50.0, "c": 60.0}, 50.0, name),
        render.confusion_figure(np.eye(2, dtype=int), list(map(short, classes)), name),
        render.health_figure({"trained": [layer, LayerHealth("b", 9e3, 9.0, 9.0, 0.0, 9e3)]}, name),
        render.gradients_figure({name: image}, image, name),
        render.embedding_figure(
            torch.rand(2, 2), torch.tensor([0, 1]), torch.rand(2, 1, 8, 8),
            list(map(short, classes)), "pca", name,
        ),
    ]  # fmt: skip
    legend = figures[-1].axes[0].get_legend()
    first, second = (text.get_text() for text in legend.get_texts())
    assert second == "b"
    assert first == short(name, len(first))  # as much of it as there is room for
    for figure in figures:
        assert png(figure).startswith(b"\x89PNG")
    assert learning_curve(EPOCHS, f"{name} on {name}").startswith(b"\x89PNG")
    assert {formula for _, formula in drawn} == {False}


EPOCHS = [EpochMetrics(1, 1, 0.1, 0.1, 1.0, 50.0, 1.0, 50.0, 5.0, 1.0, 1.0)]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 3e38, 1.7e308, 10**400])
def test_a_learning_curve_is_drawn_for_any_numbers(value):
    for field in range(11):
        numbers = [2, 2, 0.1, 0.1, 1.0, 50.0, 1.0, 50.0, 5.0, 1.0, 1.0]
        numbers[field] = value
        epochs = [*EPOCHS, object.__new__(EpochMetrics)]
        epochs[1].__dict__.update(zip(EpochMetrics.__dataclass_fields__, numbers, strict=True))
        assert learning_curve(epochs, "a").startswith(b"\x89PNG")


def test_control_characters_become_escapes_and_letters_stay():
    assert visible("a\x1b[31m\0\n\u202e\udcff", "\n") == r"a\x1b[31m\x00\n\u202e\udcff"
    for name in ("猫 dog\u3000é", "🐈", "\u0645\u06cc\u200c\u062e", "$x$", "C:\\a"):
        assert visible(name) == name
    assert short("x" * 40, 9) == "xxxx…xxxx"
    assert short("x" * 9, 9) == "x" * 9


def test_file_names_are_different_short_and_legal_everywhere():
    names = [
        "maps-C1", "maps-c1", "maps-a/b", "maps-a:b", "maps-a-b", "maps-a (2)", "maps-a-2",
        "maps-猫", "maps-" + "x" * 300, "maps-" + "x" * 301, "maps-" + "猫" * 200, "maps-.",
        "maps-a\0b\x1b", "maps-\udcff", "maps-\udcfe", "maps-é", "maps-e\u0301", "maps-a-b-2",
    ]  # fmt: skip
    found = file_names(names)
    assert len({name.casefold() for name in found}) == len(names)
    for name in found:
        assert len(name.encode()) < 130
        assert not re.search(r'[<>:"/\\|?*\x00-\x1f]|[. ]$', name)
    assert found[:4] == ["maps-C1", "maps-c1-2", "maps-a-b", "maps-a-b-2"]
    assert found[7] == "maps-猫"
    assert file_names(names) == found


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags: list[str] = []
        self.text: list[str] = []
        self.attributes: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [value or "" for _, value in attrs]

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_page_shows_every_name_as_text(name):
    figure = Figure(figsize=(1, 1))
    plates = [Plate(name, f"how to read {name}", figure), Plate("cam", f"none for {name}")]
    shown = [Shown(name, torch.rand(3, 8, 8), [(name, 0.5), ("b", 0.5)], name)]
    html = page(f"What {name} has learnt", f"run: {name}", plates, shown)
    reader = _Reader()
    reader.feed(html.encode().decode())
    plain = page(
        "What x has learnt",
        "run: x",
        [Plate("x", "how", figure), Plate("cam", "none")],
        [Shown("x", torch.rand(3, 8, 8), [("x", 0.5), ("b", 0.5)], "x" if name else "")],
    )
    expected = _Reader()
    expected.feed(plain)
    assert reader.tags == expected.tags
    for sentence in (f"What {visible(name)} has learnt", f"run: {visible(name)}",
                     f": none for {visible(name)}"):  # fmt: skip
        assert sentence in reader.text
    assert f"{visible(name)}: how to read {visible(name)}" in reader.attributes
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e\ud800-\udfff]", html)
