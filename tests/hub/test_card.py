"""A model card says what a run says, and nothing that a run holds is markup in it."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import classicnets as cn
from classicnets.hub.card import model_card
from classicnets.training.run.directory import open_run

EVIL = "</td>|`x`\n# a\n---\n[b](javascript:c)<script>"


@pytest.fixture(scope="module")
def paper(tmp_path_factory) -> Path:
    """LeNet-5 for two epochs on the digits: shorter than in the paper."""
    out = tmp_path_factory.mktemp("runs") / "digits"
    cn.train("lenet5", epochs=2, out=out).finish()
    return out


def test_a_card_has_network_paper_data_results_and_differences(paper):
    card, run = model_card(open_run(paper), "ada/digits", "mit"), open_run(paper)
    front = card.split("---\n")[1]
    assert front.splitlines()[0] == 'license: "mit"'
    assert json.loads(front.split("tags: ")[1]) == ["classicnets", "lenet5"]
    assert "| paper | LeCun, Bottou, Bengio, Haffner (1998): Gradient-based learning" in card
    assert "| parameters | 60,000 |" in card
    train, validation, test = run.config.images
    assert f"digits: {train:,} images, {validation:,} for validation, {test:,} for test" in card
    errors = run.notes["test"]
    row = f"| test, {test:,} images | {errors['top1_error']:.2f} % | {errors['top5_error']:.2f} %"
    assert f"{row} | single |" in card
    assert "| epochs | 2 | 20 |" in card  # section III.D: 20 passes
    assert "classicnets predict hf:ada/digits photo.jpg" in card
    assert "classicnets train lenet5 --weights hf:ada/digits" in card
    assert card.endswith("## Licence\n\nmit.\n")


def test_a_card_without_a_licence_says_so(paper):
    card = model_card(open_run(paper), "ada/digits")
    assert "license" not in card
    assert "None was named" in card


def test_published_weights_keep_their_licence_and_errors(paper, tmp_path):
    run = open_run(Path(shutil.copytree(paper, tmp_path / "run")))
    origin = {"source": "torchvision", "file": "a.pth", "sha256": "0", "licence": "BSD-3-Clause"}
    run.notes |= {"published": origin, "test": {"top1_error": 30.24, "top5_error": 10.92}}
    run.epochs = []
    card = model_card(run, "ada/resnet18")
    assert "as torchvision publishes | 30.24 % | 10.92 % | single |" in card
    assert "The weights are those of torchvision, under BSD-3-Clause." in card
    assert "metrics.csv" not in card


def test_names_in_a_run_are_no_markup(paper):
    run = open_run(paper)
    run.config = replace(run.config, network=f"{EVIL}.py:net", data=EVIL, classes=(EVIL, "b"))
    run.notes["adapted"] = {"epochs": EVIL}
    card = model_card(run, "ada/digits")
    assert "<script>" not in re.sub(r"^```sh\n.*?^```$", "", card, flags=re.M | re.S).replace(
        r"\<script\>", ""
    )
    assert card.count("\n---\n") == 1  # the end of what the hub reads
    assert len(re.findall(r"^# ", card, re.MULTILINE)) == 1
    assert len(re.findall("^```", card, re.MULTILINE)) == 2
