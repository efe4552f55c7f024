import re
import sys

import pytest

from classicnets import catalog

SIX = {"LeCun": 1, "Krizhevsky": 2, "Zeiler": 2, "Simonyan": 7, "Szegedy": 2, "He": 24}


def test_every_family_is_listed_with_all_its_networks():
    found = dict.fromkeys(SIX, 0)
    for entry in catalog.CATALOG.values():
        assert entry.paper is not None
        found[entry.paper.authors.split(",")[0]] += 1
    assert found == SIX


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name == "resnet1202" else [])
        for name in catalog.names()
    ],
)
def test_the_table_states_what_measuring_finds(measured, name):
    entry, totals = catalog.find(name), measured(name).totals
    assert (totals.params, totals.macs) == (entry.params, entry.macs)


def test_other_names_lead_to_the_same_entries():
    for alias, name in {
        "vgg11": "vgg_a",
        "vgg13": "vgg_b",
        "vgg16": "vgg_d",
        "vgg19": "vgg_e",
    }.items():
        assert catalog.find(alias) is catalog.find(name)


def test_every_paper_says_where_it_leaves_a_choice():
    for entry in catalog.CATALOG.values():
        assert entry.paper is not None
        assert len(entry.paper.choices) > 100


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("AlexNet", "alexnet"),
        ("ResNet-50", "resnet50"),
        ("resnet-50", "resnet50"),
        ("ResNet50", "resnet50"),
        ("ResNet-34-B", "resnet34_b"),
        ("VGG16", "vgg_d"),
        ("vgg-16", "vgg_d"),
        ("VGG D", "vgg_d"),
        ("LeNet-5", "lenet5"),
        ("GoogLeNet", "googlenet"),
        ("inception_v1", "googlenet"),
        ("InceptionV1", "googlenet"),
        ("ZF-Net", "zfnet"),
        ("plain-34", "plain34"),
    ],
)
def test_a_name_is_known_as_papers_and_other_tools_write_it(written, name):
    assert catalog.find(written).name == name
    assert catalog.names(written) == [name]


def test_no_two_names_have_one_spelling():
    assert len(catalog.SPELLINGS) == len(catalog.CATALOG) + len(catalog.ALIASES)


LATER = "as its paper published it, and no such variant"


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("vgg16_bn", f"there is vgg16 {LATER}"),
        ("resnet50d", f"there is resnet50 {LATER}"),
        ("preact_resnet18", f"there is resnet18 {LATER}"),
        ("lenet", "of this family there is lenet5"),
        ("lenet6", "of this family there is lenet5"),
        ("resnet", "of this family there are resnet18, resnet34, "),
        ("ResNet-35", "of this family there are resnet18, resnet34, "),
        ("resnet500", "of this family there are resnet18, "),
        ("plain", "of this family there are plain18, plain34, plain20, "),
        ("VGG", "of this family there are vgg_a (vgg11), vgg_a_lrn, vgg_b (vgg13), "),
        ("inception", "of this family there are googlenet (inception_v1), googlenet_naive"),
        ("inception_v3", "of this family there are googlenet (inception_v1), googlenet_naive"),
        ("alexnett", "did you mean alexnet?"),
        ("gogglenet", "did you mean googlenet"),
        *(
            (name, "LeNet, AlexNet, ZFNet, VGG, GoogLeNet and ResNet, which `classicnets list`")
            for name in ("mobilenet_v2", "efficientnet_b0", "densenet121", "vit_b_16", "x" * 5000)
        ),
    ],
)
def test_an_unknown_name_is_answered_with_what_there_is(name, answer):
    with pytest.raises(ValueError, match=f"^no network '{name}'; ") as refused:
        catalog.find(name)
    assert answer in str(refused.value)
    for word in re.findall(
        r"\w+", str(refused.value).partition(" there ")[2].partition("as its")[0]
    ):
        if word.startswith(("vgg", "resnet", "plain", "googlenet", "lenet")):
            catalog.find(word)


def test_a_folder_in_place_of_a_network_is_distinguished_from_one(tmp_path):
    with pytest.raises(ValueError, match=f"which is a folder: .* NETWORK --data {tmp_path}"):
        catalog.find(str(tmp_path))


def test_a_run_in_place_of_a_network_is_distinguished_from_one(tmp_path):
    (tmp_path / "run.json").touch()
    with pytest.raises(ValueError, match="is a run, not a network, whose network"):
        catalog.find(str(tmp_path))
    (tmp_path / "design.net").touch()
    with pytest.raises(ValueError, match=f"a run, not a network; {tmp_path}/design.net is one"):
        catalog.find(str(tmp_path))


def test_a_third_party_network_comes_from_a_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from torch import nn\n"
        "def net(classes=5): return nn.Sequential(nn.Flatten(), nn.Linear(12, classes))\n"
        "def number(): return 3\n"
    )
    entry = catalog.find(f"{file}:net")
    assert entry.paper is None
    assert entry.build(classes=7, channels=3)[1].out_features == 7
    for wrong, sentence in {
        f"{file}:other": "no builder 'other'",
        f"{tmp_path / 'none.py'}:net": "no such file",
        f"{file}": "path/to/file.py:builder",
    }.items():
        with pytest.raises(ValueError, match=sentence):
            catalog.find(wrong)
    with pytest.raises(ValueError, match="gave a int"):
        catalog.find(f"{file}:number").build()


def test_a_file_that_does_not_run_is_refused_with_its_error(tmp_path):
    file = tmp_path / "broken.py"
    file.write_text("import nothing_of_the_sort\n")
    with pytest.raises(ValueError, match="does not run: ModuleNotFoundError"):
        catalog.find(f"{file}:net")


def test_no_classes_is_refused():
    with pytest.raises(ValueError, match="classes must be at least 1, not 0"):
        catalog.build("lenet5", classes=0)


def test_a_pattern_finds_a_network_by_its_other_name():
    assert catalog.names("vgg16") == ["vgg_d"]
    assert catalog.names("vgg*").count("vgg_d") == 1


def test_a_pattern_without_wildcards_finds_the_names_that_hold_it():
    assert catalog.names("vgg") == [name for name in catalog.CATALOG if name.startswith("vgg")]
    assert catalog.names("Naive") == ["googlenet_naive"]
    assert catalog.names("nothing") == []


FAILING = {
    "def net(width): return width": "does not build: TypeError: net.. missing 1 required",
    "def net(): raise KeyError('fc')": "does not build: KeyError: 'fc'",
    "def net(): import sys; sys.exit(3)": "does not build: SystemExit: 3",
}


@pytest.mark.parametrize("code", FAILING)
def test_a_builder_that_fails_is_refused_with_its_error(tmp_path, code):
    (tmp_path / "mine.py").write_text(code)
    with pytest.raises(ValueError, match=FAILING[code]):
        catalog.build(f"{tmp_path / 'mine.py'}:net")


def test_a_file_that_ends_the_program_is_refused(tmp_path):
    (tmp_path / "mine.py").write_text("import sys\nsys.exit(3)\n")
    with pytest.raises(ValueError, match="does not run: SystemExit: 3"):
        catalog.find(f"{tmp_path / 'mine.py'}:net")


def test_a_file_may_have_a_neighbour_and_dataclasses(tmp_path):
    (tmp_path / "a_neighbour_of_mine.py").write_text("WIDTH = 12\n")
    (tmp_path / "later_neighbour_of_mine.py").write_text("CLASSES = 5\n")
    (tmp_path / "mine.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from torch import nn\n"
        "from a_neighbour_of_mine import WIDTH\n"
        "@dataclass\n"
        "class Options:\n"
        "    width: int = WIDTH\n"
        "def net():\n"
        "    from later_neighbour_of_mine import CLASSES\n"
        "    return nn.Linear(Options().width, CLASSES)\n"
    )
    before = list(sys.path)
    network = catalog.build(f"{tmp_path / 'mine.py'}:net")
    assert (network.in_features, network.out_features) == (12, 5)
    assert sys.path == before
