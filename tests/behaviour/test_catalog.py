import sys

import pytest

from classicnets import catalog

SIX = {"LeCun": 1, "Krizhevsky": 2, "Zeiler": 2, "Simonyan": 7, "Szegedy": 2, "He": 21}


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
    ("name", "offered"),
    [("resnet35", "resnet34"), ("AlexNet", "alexnet"), ("vgg-d", "vgg_d"), ("lenet", "lenet5")],
)
def test_an_unknown_name_is_answered_with_the_nearest(name, offered):
    with pytest.raises(ValueError, match=f"{name}.*{offered}"):
        catalog.find(name)


def test_a_network_of_a_stranger_comes_from_a_file(tmp_path):
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
