"""Results as a notebook shows them: readable text, and HTML in which every name is text."""

import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from torch import nn

import classicnets as cn
from classicnets.data.images import Images, Splits
from classicnets.evaluation.metrics import evaluate_scores
from classicnets.measure.timing import Speed, Timing
from classicnets.training.recipe.serialization import PARTS

NAME = "<script>alert(1)</script>&\x1b"
VOID = {"img"}
PEAKS = {"matrix product fp32": 1e9, "convolution fp32": 1e9, "copy": 1e9}


class Page(HTMLParser):
    """The elements of a piece of HTML, each of which must be closed, and its text."""

    def __init__(self, html: str):
        super().__init__()
        self.open, self.tags, self.words = [], set(), ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data + " "


@pytest.fixture(scope="module")
def results(run, tmp_path_factory) -> dict:
    """Every kind of result, of a class, a layer, a file or a run with markup in its name."""
    folder = tmp_path_factory.mktemp("notebook")
    odd = folder / "<i>run"
    shutil.copytree(run, odd)
    scores, labels = torch.eye(2), torch.tensor([0, 1])
    images = Images(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), labels)
    image = folder / "<em>.png"
    cn.see(run, what="filters").save(image)
    layer = nn.Sequential()
    layer.add_module("<u>", nn.Flatten())
    training = cn.train("lenet5", epochs=1, out=folder / "<s>new")
    return {
        "report": cn.show(layer, (1, 8, 8)),
        "folded report": cn.show("resnet50"),
        "evaluation": evaluate_scores(scores, labels, (NAME, "b"), "single", 0.0),
        "predictions": cn.predict(run, [image]),
        "data": Splits(NAME, (NAME, "b"), images, images, images),
        "training": training,
        "run": training.run,
        "comparison": cn.compare([run, odd]),
        "recipe": training.recipe,
        "plan": cn.plan("lenet5", memory="2GB", device="t4"),
        "difference": cn.diff("alexnet", "alexnet_merged"),
        "plates": cn.see(run, image, ["filters", "cam"]),
        "speed": Speed(NAME, (1, 8, 8), "cpu", 1, "2", PEAKS,
                       (Timing("inference", 1, "fp32", 1e6, 0.1, (0.1, 0.2)),), {1: 9}, 4.0, 9.0),
    }  # fmt: skip


SHOWN = {
    "report": "<u> Flatten 64",
    "folded report": "conv5_x 2048x7x7 14,964,736",
    "evaluation": "test error 0.00 % of 2 images",
    "predictions": "<em>.png",
    "data": "2 images for training, 2 for validation, 2 for test",
    "training": "step 0 of 79",
    "run": "<s>new",
    "comparison": "<i>run lenet5 digits",
    "recipe": "MapLoss",
    "plan": "lenet5 · 60,000 images of the paper",
    "difference": "+ [27x27x256] conv2: 256 5x5 filters, pad 2 614,656",
    "plates": "Images: <em>.png. <em>.png The likeliest classes",
    "speed": "inference 1 fp32",
}


@pytest.mark.parametrize("kind", SHOWN)
def test_a_result_is_shown_as_a_table_in_which_every_name_is_text(results, kind):
    page = Page(results[kind]._repr_html_())
    assert page.tags <= {
        "table",
        "tr",
        "th",
        "td",
        "p",
        "h3",
        "figure",
        "figcaption",
        "img",
        "b",
        "pre",
    }
    assert page.tags & {"table", "figure", "pre"}
    assert SHOWN[kind] in " ".join(page.words.split())
    assert "\x1b" not in page.words


@pytest.mark.parametrize("kind", SHOWN)
def test_its_repr_is_short_and_says_what_it_is(results, kind):
    text = repr(results[kind])
    assert len(text) < 6000
    assert "tensor(" not in text
    assert "object at 0x" not in text
    assert "=[" not in text


def test_a_recipe_can_be_written_as_python_prints_it():
    alexnet = cn.find("alexnet").recipe
    again = eval(repr(alexnet), {"Recipe": cn.Recipe, **PARTS})
    assert {name: value for name, value, *_ in again.rows() if value is not None} == {
        name: value for name, value, *_ in alexnet.rows() if value is not None
    }


def test_a_study_is_shown_as_markdown(tmp_path):
    kept = cn.study("lenet5-layers", tmp_path)
    report = (tmp_path / "lenet5-layers" / "report.md").read_text()
    assert report.startswith(kept._repr_markdown_())
    assert "\n|---" in kept._repr_markdown_()


def test_an_image_that_cannot_be_read_says_why_in_its_row(run, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no")
    found = cn.predict(run, tmp_path)
    assert repr(found).startswith(f"{tmp_path / 'bad.png'}: {Path(found[0].path)} cannot be read")
    assert "cannot be read as an image" in Page(found._repr_html_()).words
