"""Every figure: its texts are inside it, its titles say what it is, and any script is drawn."""

import io
import logging
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from classicnets.api.compare import Comparison, Row
from classicnets.evaluation.metrics import evaluate_scores
from classicnets.evaluation.plots import evaluation_png
from classicnets.support import fonts
from classicnets.support.plots import LiteralFigure, draw_confusion, narrow, png, text_width
from classicnets.training.run.curves import EpochMetrics, learning_curve
from classicnets.visualize import render
from classicnets.visualize.cam import Heatmap
from classicnets.visualize.deconv import Deconv
from classicnets.visualize.features import FeatureMaps, Strongest
from classicnets.visualize.figure import CAPTIONS
from classicnets.visualize.filters import Filters
from classicnets.visualize.health import LayerHealth
from classicnets.visualize.invariance import Invariance
from classicnets.visualize.occlusion import Occlusion
from classicnets.visualize.predictions import Predictions
from classicnets.visualize.tiles import montage, rgb

NAMES = {
    "short": "cat",
    "long": "a name of very many words, " * 10,
    "wide": "W" * 200,
    "Chinese": "花园里的黑白猫" * 20,
    "Korean": "고양이" * 40,
    "emoji": "🐈" * 60,
}


@pytest.fixture
def drawn(monkeypatch):
    """The texts that are drawn, and those of them that are cut off."""
    found: list[str] = []
    cut: list[str] = []
    original = Text.draw

    def spy(text, renderer, *args, **options):
        original(text, renderer, *args, **options)
        if text.get_visible() and text.get_text():
            figure = text.get_figure(root=True)
            box, whole = Text.get_window_extent(text, renderer), figure.bbox
            found.append(text.get_text())
            inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= whole.x1 + 1
            if not inside or box.y1 > whole.y1 + 1:
                cut.append(text.get_text())

    monkeypatch.setattr(Text, "draw", spy)
    return found, cut


def epoch(number: int, training: float, validation: float) -> EpochMetrics:
    return EpochMetrics(
        *(number, number, 0.1, 0.1, training / 20, training),
        *(validation / 20, validation, 1.0, 1.0, 1.0),
    )


def curve(epochs: int, end: float = 5.0) -> tuple[EpochMetrics, ...]:
    falling = [50 * math.exp(-n / 4) for n in range(epochs)]
    return tuple(epoch(n + 1, max(0, end - 3) + e, end + e) for n, e in enumerate(falling))


def comparison(*curves: tuple[EpochMetrics, ...], name: str = "run") -> Comparison:
    row = Row(name, name, f"data/{name}", True, {}, None, None, 5.0, 1, 1, 1.0, 1.0, 1, True)
    rows = [replace(row, run=f"{name} {k}") for k in range(len(curves))]
    return Comparison(tuple(rows), curves)


def evaluation(name: str, classes: int):
    labels = torch.arange(40 * classes) % classes
    labels[labels == 1] = 0  # a class without images
    scores = torch.randn(len(labels), classes)
    scores[torch.arange(len(labels)), labels] += 3
    names = tuple(f"{k} {name}" for k in range(classes))
    return evaluate_scores(scores, labels, names, "single", 1.0)


def occluded(values: torch.Tensor, whole: float, classes: int = 1) -> Occlusion:
    rows, columns = values.shape
    predicted = torch.arange(values.numel()).view(rows, columns) % classes
    return Occlusion(
        0, 2, tuple(range(rows)), tuple(range(columns)), values, predicted, values,
        "conv", 0, whole, whole, 0,
    )  # fmt: skip


def strongest(name: str) -> Strongest:
    """Of two maps, with reconstructions that are ten times as large as any pixel."""
    boxes = torch.tensor([0, 0, 8, 8]).expand(2, 9, 4)
    positions, images = torch.zeros(2, 9, 2, dtype=torch.long), torch.arange(9).expand(2, 9)
    reconstructions = 10 * torch.rand(2, 9, 3, 16, 16)
    return Strongest(
        name, (4, 7), torch.rand(2, 9), images, positions, boxes, reconstructions, {"relu": 1}
    )


def plates(name: str, classes: int) -> dict[str, Figure]:
    image, images = torch.rand(3, 16, 16), torch.rand(12, 3, 16, 16)
    names, labels = [f"{k} {name}" for k in range(classes)], torch.arange(12) % classes
    maps = list(range(6))
    heatmap = Heatmap("Grad-CAM", name, 0, torch.rand(4, 4))
    layers = [LayerHealth(name, 10.0**k, 10.0**-k, 1.0, 0.0, 1.0) for k in range(4)]
    change = Invariance(
        "scale", (1.0, 2.0), {name: torch.rand(12, 2), "b": torch.rand(12, 2)}, torch.rand(12, 2)
    )
    positions = torch.zeros(6, 2, dtype=torch.long)
    deconv = Deconv(name, tuple(maps), positions, torch.rand(6), torch.rand(6, 3, 16, 16), {})
    kernels = Filters(name, torch.rand(8, 3, 5, 5), torch.ones(8), (1,), (2,))
    p = torch.rand(12, max(2, classes)).softmax(1)
    return {
        "filters": render.filters_figure(kernels, name),
        "maps": render.maps_figure(FeatureMaps(name, torch.rand(6, 4, 4)), image, name),
        "deconv": render.deconv_figure(deconv, image, name),
        "strongest": render.strongest_figure(strongest(name), images, name),
        "invariance": render.invariance_figure(
            [change, change], [names[label] for label in labels], name
        ),
        "occlusion": render.occlusion_figure(
            occluded(torch.rand(7, 7), 0.5, classes), image, names, name
        ),
        "gradients": render.gradients_figure({name: image, "b": image}, image, name),
        "cam": render.heatmap_figure([heatmap, heatmap], image, names, name),
        "probes": render.probes_figure({f"{k} {name}": 50.0 for k in range(5)}, 20.0, name),
        "embedding": render.embedding_figure(
            torch.rand(12, 2), labels, images, names, "pca", name
        ),
        "mistakes": render.mistakes_figure(
            Predictions(torch.rand(12, 4), p, (p.argmax(1) + 1) % classes), list(range(12)), None,
            images, names, name,
        ),
        "confusion": render.confusion_figure(np.eye(classes, dtype=int), names, name),
        "health": render.health_figure({"trained": layers}, name),
    }  # fmt: skip


@pytest.fixture
def without_fonts(monkeypatch):
    """Only the fonts that matplotlib brings; nothing has been said about missing ones."""
    ours = [f for f in font_manager.fontManager.ttflist if "mpl-data" in str(f.fname)]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", ours)
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    monkeypatch.setattr(fonts, "_reported", set())
    yield monkeypatch
    monkeypatch.undo()
    _forget()


def _forget() -> None:
    fonts._installed.cache_clear()
    fonts._family_with.cache_clear()
    fonts._characters.cache_clear()
    font_manager.fontManager._findfont_cached.cache_clear()


@pytest.fixture
def square_font(without_fonts, tmp_path):
    """A font as installed after matplotlib has listed all: a full square for every name's letter.

    Stands in for a Chinese font, which has such wide letters.
    """
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((1000, 0), (1000, 880), (0, 880)):
        pen.lineTo(corner)
    pen.closePath()
    letters = {ord(c): "square" for c in "".join(NAMES.values()) + "ไก่" if not c.isascii()}
    builder = FontBuilder(1000)
    builder.setupGlyphOrder([".notdef", "square"])
    builder.setupCharacterMap(letters)
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "square": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (1000, 0), "square": (1000, 0)})
    builder.setupHorizontalHeader(ascent=880, descent=-120)
    builder.setupNameTable({"familyName": "Squares", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    file = tmp_path / "squares.ttf"
    builder.save(file)
    without_fonts.setattr(font_manager, "findSystemFonts", lambda: [str(file), str(__file__)])
    _forget()
    return "Squares"


def picture(words: str) -> np.ndarray:
    figure = LiteralFigure(figsize=(2, 1), dpi=100)
    figure.text(0.1, 0.3, words, fontsize=36)
    return np.asarray(Image.open(io.BytesIO(png(figure))).convert("L"))


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_no_text_of_any_plate_is_cut_off(name, drawn, square_font, caplog):
    found, cut = drawn
    for kind, figure in plates(name, 3).items():
        png(figure)
        assert (kind, cut) == (kind, [])
    assert len(found) > 100
    assert caplog.records == []  # as of a font that is not bold


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_no_text_of_any_chart_is_cut_off(name, drawn, square_font):
    found, cut = drawn
    learning_curve(curve(30), f"{name}\n{name} on {name}")
    comparison(curve(9), curve(9, 30), name=name).png()
    evaluation_png(evaluation(name, 3), name)
    assert len(found) > 50
    assert cut == []


NAMING_CLASSES = ("invariance", "occlusion", "cam", "embedding", "mistakes", "confusion")


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 30, 100, 300])
def test_charts_of_many_classes_are_readable(classes, drawn):
    found, cut = drawn
    evaluation_png(evaluation("golden retriever", classes), "run")
    named = any(text.startswith(f"{classes - 1} golden") for text in found)
    assert named == (classes <= 200)  # of more, the names along the matrix cannot be read
    figures = plates("golden retriever", classes)
    for kind in NAMING_CLASSES:
        png(figures[kind])
        assert (kind, cut) == (kind, [])


@pytest.mark.slow
def test_a_chart_of_many_runs_is_readable(drawn):
    found, cut = drawn
    comparison(*(curve(12, k) for k in range(40)), name="a long name of a run").png()
    assert len(found) > 40
    assert cut == []


def test_every_character_that_an_installed_font_has_is_drawn(square_font):
    assert fonts.families_for("a猫") == [square_font]
    assert fonts.families_for("aé\n") == []
    assert (picture("猫")[30:66, 25:65] == 0).all()  # a full square
    assert 1 <= text_width("猫", 72) < 1.06


SAID = {
    "猫ねこ": "猫 ね こ, drawn as boxes; install one, such as Noto Sans CJK (on Debian",
    "고": "고, drawn as boxes; install one, such as Noto Sans CJK",
    "🦒": "🦒, drawn as boxes; install one, such as Symbola",
    "ไ": "ไ, drawn as boxes; install one, such as the Noto Sans of their script",
}


@pytest.mark.parametrize(("words", "said"), SAID.items())
def test_a_font_for_missing_characters_is_named_once(words, said, without_fonts, caplog):
    _forget()
    for _ in range(2):
        assert picture(f"a {words}").min() < 255
    learning_curve(curve(3), words)
    assert [said in record.getMessage() for record in caplog.records] == [True]
    assert caplog.records[0].levelno == logging.WARNING


def test_joiners_of_emoji_need_no_font(without_fonts, caplog):
    _forget()
    picture("\u2764\ufe0f a\u200db\u3000c")
    assert caplog.records == []


def test_a_name_is_shortened_to_the_width_it_is_drawn_in(square_font):
    for name in NAMES.values():
        short = narrow(name, 1.0, 8)
        assert text_width(short, 8) <= 1.0
        assert short == name or (short[0], short[-1]) == (name[0], name.rstrip("\n")[-1])
    assert narrow("猫" * 40, 1.0, 8).count("猫") == 7  # of 8 points each, and the ellipsis, in 72


def test_a_single_epoch_is_drawn_as_points_and_the_best_one_is_named(monkeypatch):
    made = []
    original = LiteralFigure.__init__
    monkeypatch.setattr(
        LiteralFigure,
        "__init__",
        lambda figure, **k: (original(figure, **k), made.append(figure))[0],
    )
    learning_curve([epoch(1, 50.0, 40.0)], "mine\nresnet20 on photos")
    rows = [epoch(1, 50.0, 40.0), epoch(2, 30.0, 20.0), epoch(3, 20.0, 25.0)]
    learning_curve(rows, "mine\nresnet20 on photos")
    one, three = made
    assert one._suptitle.get_text() == "mine\nresnet20 on photos"
    for axes in one.axes:
        assert {line.get_marker() for line in axes.lines} == {"o"}
        low, high = axes.get_xlim()
        assert [t for t in axes.get_xticks() if low <= t <= high] == [1]
    upper, lower = three.axes
    words = [text.get_text() for text in upper.get_legend().get_texts()]
    assert words == ["training", "validation", "best validation: epoch 2"]
    assert lower.lines[-1].get_xydata().tolist() == [[2.0, 20.0]]


def test_a_confusion_matrix_names_rows_without_images():
    axes = Figure().subplots()
    draw_confusion(axes, np.array([[3, 1, 0], [0, 0, 0], [0, 0, 5]]), ["a", "b", "c"])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a", "b (no images)", "c"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["a", "b", "c"]
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "3\n75 %", (1, 0): "1\n25 %", (2, 2): "5\n100 %"}
    assert [patch.get_y() for patch in axes.patches] == [0.5]


@pytest.mark.parametrize(("classes", "named"), [(2, True), (100, True), (200, True), (201, False)])
def test_classes_are_named_as_long_as_their_names_are_readable(classes, named):
    axes = Figure().subplots()
    draw_confusion(axes, np.eye(classes, dtype=int), [f"dog {k}" for k in range(classes)])
    words = [text.get_text() for text in axes.get_yticklabels()]
    assert ([f"dog {k}" for k in range(classes)] == words) is named
    if named:
        assert axes.get_yticklabels()[0].get_fontsize() >= 6


def test_an_evaluation_is_headed_by_its_run(drawn):
    evaluation_png(evaluation("cat", 3), "runs of mine")
    assert "Confusion matrix" in drawn[0]
    (heading,) = {text for text in drawn[0] if text.startswith("runs of mine\nsingle: top-1 error")}
    assert heading.endswith("120 images")


def test_patches_come_before_their_reconstructions():
    images, found = torch.rand(12, 3, 16, 16), strongest("conv")
    figure = render.strongest_figure(found, images)
    titles = [axes.get_title() for axes in figure.axes]
    assert [title.split(":")[0] for title in titles] == ["map 4", "map 4", "map 7", "map 7"]
    assert [title.endswith(": deconvnet") for title in titles] == [False, True, False, True]
    left = rgb(montage(images[:9, :, :8, :8], 3))
    assert np.allclose(figure.axes[0].images[0].get_array(), left)
    assert "right of each: deconvnet" in figure.texts[1].get_text()
    deconv = plates("a", 3)["deconv"]
    assert deconv.axes[0].get_title() == "image"


@pytest.mark.parametrize(
    ("values", "whole", "scale"),
    [((0.2, 0.7), 0.5, (0.2, 0.7)), ((0.2, 0.4), 0.9, (0.2, 0.9)), ((-3.0, -1.0), -2.0, (-3, -1))],
)
def test_the_occlusion_scale_spans_its_values_and_marks_the_whole_image(values, whole, scale):
    found = occluded(torch.tensor([values]), whole)
    figure = render.occlusion_figure(found, torch.rand(3, 8, 8), ["a"])
    bars = figure.axes[4:6]
    assert len(bars) == 2
    for bar in bars:
        assert bar.get_xlim() == pytest.approx(scale)
        assert bar.get_xticks() == pytest.approx(scale)
        assert bar.lines[-1].get_xdata() == pytest.approx([whole, whole])


@pytest.mark.parametrize("value", [0.0, 0.25, -7.0])
def test_occlusion_without_any_effect_is_one_colour_in_the_middle_of_the_scale(value):
    figure = render.occlusion_figure(
        occluded(torch.full((3, 3), value), value), torch.rand(3, 8, 8), ["a"]
    )
    mesh, bar = figure.axes[1].collections[0], figure.axes[4]
    png(figure)
    assert mesh.norm(value) == pytest.approx(0.5)
    assert bar.get_xticks() == pytest.approx([value])


def test_every_plate_says_in_a_sentence_how_to_read_it():
    for kind, figure in plates("a", 3).items():
        words = " ".join(figure.texts[1].get_text().split())
        assert CAPTIONS[kind] in words
        assert CAPTIONS[kind].endswith(".")
