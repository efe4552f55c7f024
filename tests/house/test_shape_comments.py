"""The shapes written beside the layers of `models/` are the shapes that come out."""

import inspect
import re

import pytest

from classicnets import catalog
from classicnets.models import alexnet, googlenet, lenet, resnet, vgg, zfnet

# where comments stand -> the network they are written for
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


def disagreements(source: str, seen: dict[str, tuple[int, ...]]) -> list[str]:
    """The commented lines of a builder that say another shape than the one seen."""
    wrong = []
    for line in source.splitlines():
        if comment := COMMENT.search(line):
            name = NAME.search(line)
            said = tuple(int(n) for n in comment.groups() if n)
            if name is None or seen.get(next(filter(None, name.groups()))) != said:
                wrong.append(line.strip())
    return wrong


def comments(source: str) -> list[str]:
    return [line for line in source.splitlines() if COMMENT.search(line)]


@pytest.fixture
def seen(request, on_meta, shapes):
    entry = catalog.find(BUILDERS[request.param])
    return inspect.getsource(request.param), shapes(on_meta(entry.build), entry.input)


@pytest.mark.parametrize("seen", BUILDERS, indirect=True, ids=BUILDERS.values())
def test_the_comments_are_true(seen):
    source, shapes = seen
    assert comments(source)
    assert disagreements(source, shapes) == []


@pytest.mark.parametrize("seen", BUILDERS, indirect=True, ids=BUILDERS.values())
def test_a_false_comment_would_be_found(seen):
    source, shapes = seen
    for line in comments(source):
        last = COMMENT.search(line)[0]
        false = line.replace(last, f"{last}0")
        assert disagreements(source.replace(line, false, 1), shapes) == [false.strip()]


@pytest.mark.parametrize("model", [lenet, alexnet, zfnet, vgg, googlenet, resnet])
def test_no_comment_stands_where_nobody_looks(model):
    looked_at = [b for b in BUILDERS if b.__module__ == model.__name__]
    found = sum(len(comments(inspect.getsource(builder))) for builder in looked_at)
    assert len(comments(inspect.getsource(model))) == found
