"""The shape comments of the layers in `models/` are the shapes of their outputs."""

import inspect
import re

import pytest

from classicnets import catalog
from classicnets.models import alexnet, googlenet, lenet, resnet, vgg, zfnet

# builder with comments -> the network they are written for
BUILDERS = {
    lenet.lenet5: "lenet5",
    alexnet._alexnet: "alexnet",
    zfnet._zfnet: "zfnet",
    vgg.vgg_d_gap: "vgg_d_gap",
    googlenet._googlenet: "googlenet",
    resnet._imagenet: "resnet34",
    resnet._cifar: "resnet20",
}
COMMENT = re.compile(r"# (?:(\d+)@(\d+)x(\d+)|(\d+))$")
NAME = re.compile(r'_conv\("(\w+)"|"(\w+)": |^\s*(\w+)=')


def wrong_comments(source: str, outputs: dict[str, tuple[int, ...]]) -> list[str]:
    """The lines of a builder whose comment is not the shape of the layer's output."""
    wrong = []
    for line in source.splitlines():
        if comment := COMMENT.search(line):
            name = NAME.search(line)
            shape = tuple(int(n) for n in comment.groups() if n)
            if name is None or outputs.get(next(filter(None, name.groups()))) != shape:
                wrong.append(line.strip())
    return wrong


def comments(source: str) -> list[str]:
    return [line for line in source.splitlines() if COMMENT.search(line)]


@pytest.fixture
def builder(request, on_meta, shapes):
    entry = catalog.find(BUILDERS[request.param])
    return inspect.getsource(request.param), shapes(on_meta(entry.build), entry.input)


@pytest.mark.parametrize("builder", BUILDERS, indirect=True, ids=BUILDERS.values())
def test_the_comments_are_correct(builder):
    source, outputs = builder
    assert comments(source)
    assert wrong_comments(source, outputs) == []


@pytest.mark.parametrize("builder", BUILDERS, indirect=True, ids=BUILDERS.values())
def test_a_wrong_comment_would_be_found(builder):
    source, outputs = builder
    for line in comments(source):
        last = COMMENT.search(line)[0]
        wrong = line.replace(last, f"{last}0")
        assert wrong_comments(source.replace(line, wrong, 1), outputs) == [wrong.strip()]


@pytest.mark.parametrize("model", [lenet, alexnet, zfnet, vgg, googlenet, resnet])
def test_every_shape_comment_is_checked(model):
    checked = [b for b in BUILDERS if b.__module__ == model.__name__]
    found = sum(len(comments(inspect.getsource(builder))) for builder in checked)
    assert len(comments(inspect.getsource(model))) == found
