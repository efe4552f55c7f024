"""The networks as functions of the package, and how a builder's arguments may be spelled."""

import inspect
import pickle

import pytest
import torch
from torch import nn

import classicnets as cn
from classicnets import builders, catalog
from classicnets.data.synthetic import shapes

OWN = """
from torch import nn

def net({words}):
    return nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, {classes}))
"""


@pytest.mark.parametrize("name", sorted(builders.ENTRIES))
def test_each_name_of_the_catalogue_is_a_function_that_builds_that_network(name, on_meta):
    build = getattr(cn, name)
    counts = {key: p.numel() for key, p in on_meta(build).named_parameters()}
    heads = sum(count for key, count in counts.items() if key.startswith("aux"))
    assert sum(counts.values()) - heads == catalog.find(name).params
    assert list(inspect.signature(build).parameters) == ["classes", "channels"]
    assert build.__name__ == name
    assert f"{catalog.find(name).params:,} parameters" in build.__doc__
    assert cn.find(build) is catalog.find(name)
    assert pickle.loads(pickle.dumps(build)) is build


@pytest.mark.parametrize("call", [
    lambda: cn.resnet20(10, 1),
    lambda: cn.resnet20(num_classes=10, in_chans=1),
    lambda: cn.resnet20(classes=10, in_channels=1),
    lambda: cn.resnet_cifar(20, num_classes=10, in_chans=1),
    lambda: cn.build("resnet20", num_classes=10, in_chans=1),
    lambda: cn.build("resnet20", 10, channels=1),
])  # fmt: skip
def test_classes_and_channels_may_be_spelled_as_timm_and_torchvision_do(on_meta, call):
    assert on_meta(call)(torch.zeros(2, 1, 32, 32, device="meta")).shape == (2, 10)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: cn.resnet18(weights="DEFAULT"),
            "takes classes and channels, not weights",
        ),
        (lambda: cn.build("resnet18", pretrained=True), "not pretrained; published weights are"),
        (lambda: cn.resnet(18, weights=None), "resnet takes depth, option, classes and channels"),
        (lambda: cn.resnet18(weights=None), r"published weights are loaded by the name"),
        (lambda: cn.resnet18(10, num_classes=5), "is given classes twice: 10 and 5"),
        (lambda: cn.resnet18(1, 2, 3), "takes classes and channels, not 3 values"),
        (lambda: cn.resnet18(classes="10"), "classes must be at least 1, not '10'"),
        (lambda: cn.lenet5(0), "classes must be at least 1, not 0"),
        (lambda: catalog._of_builder(5), "a network cannot be 5; it is a name such as resnet20"),
    ],
)
def test_other_arguments_are_refused_with_the_right_call(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("create_model", r'; write classicnets.build\("resnet50", classes=10\)'),
        ("YOLO", r'; write classicnets.train\("resnet20", "photos"\).finish\(\)'),
        ("load_model", r'; write classicnets.load\("runs/digits"\)'),
        ("resnet51", "; did you mean resnet56 or resnet50"),
        ("qqq", "has no attribute 'qqq'$"),
        ("__none__", "has no attribute '__none__'$"),
    ],
)
def test_the_names_of_other_packages_lead_to_ours(name, words):
    with pytest.raises(AttributeError, match=words):
        getattr(cn, name)


def test_what_stands_in_place_of_their_calls_is_there():
    assert all(hasattr(cn, call.partition("(")[0]) for call in cn._INSTEAD.values())
    with pytest.raises(AttributeError, match=r"functions of classicnets itself, as in classicnets"):
        cn.models.resnet18  # noqa: B018


def test_list_models_lists_the_names_and_takes_a_pattern():
    assert cn.list_models() == list(catalog.CATALOG)
    assert cn.list_models("resnet1*") == ["resnet18", "resnet101", "resnet152", "resnet101_v15",
                                         "resnet152_v15", "resnet110", "resnet1202"]  # fmt: skip


@pytest.mark.parametrize(("words", "classes"), [
    ("num_classes=1000, in_chans=3", "num_classes"),
    ("num_classes", "num_classes"),
    ("classes, num_classes=7", "classes"),
    ("in_channels=3, width=4", "4"),
])  # fmt: skip
def test_your_own_builder_may_spell_them_so_too(tmp_path, words, classes):
    (tmp_path / "mine.py").write_text(OWN.format(words=words, classes=classes))
    network = cn.build(f"{tmp_path / 'mine.py'}:net", num_classes=4)
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 4)


def test_a_builder_trains_by_itself(tmp_path):
    def net(num_classes):
        return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, num_classes))

    training = cn.train(net, shapes(), epochs=1, out=tmp_path / "own")
    assert training.config.network.endswith("net")
    ours = cn.train(cn.lenet5, epochs=1, out=tmp_path / "lenet5")
    assert (ours.config.network, ours.recipe.cite) == ("lenet5", cn.train(
        "lenet5", epochs=1, out=tmp_path / "by-name").recipe.cite)  # fmt: skip
    assert cn.show(cn.lenet5).totals.params == 60_000
