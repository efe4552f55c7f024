"""Parts of a run that were damaged, or come from another run, and would answer without meaning."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from torch import nn

import classicnets as cn
from classicnets.data.synthetic import shapes
from classicnets.support.tensors import read_metadata

DATA = shapes(40, side=12)


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4))


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> tuple[Path, Path]:
    """Runs of one network and one data set, from different seeds, which subtract a mean image."""
    root = tmp_path_factory.mktemp("two")
    for seed in (0, 1):
        data = shapes(40, side=12, seed=seed)
        changes = {"pixels": "SubtractMeanImage()", "average": "None"}
        out = root / str(seed)
        cn.train(network(), data, epochs=3, out=out, seed=seed, overrides=changes).finish()
    return root / "0", root / "1"


@pytest.fixture
def run(two, tmp_path) -> Path:
    return Path(shutil.copytree(two[0], tmp_path / "run"))


def edit(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((run / "run.json").read_text())
    change(content)
    (run / "run.json").write_text(json.dumps(content))


def rotate(content: dict[str, Any]) -> None:
    content["classes"] = [*content["classes"][1:], content["classes"][0]]


def halve(content: dict[str, Any]) -> None:
    content["scaling"]["scale"] = [x / 2 for x in content["scaling"]["scale"]]


def rename(content: dict[str, Any]) -> None:
    content["network"] = "another"


@pytest.mark.parametrize(
    ("change", "part"), [(rotate, "classes"), (halve, "scaling"), (rename, "network")]
)
def test_weights_are_not_used_under_another_run_json(run, change, part):
    assert cn.evaluate(run, DATA.test, network=network()).images == 8
    edit(run, change)
    message = f"weights.safetensors is damaged, or of another run than run.json: {part} differs$"
    with pytest.raises(ValueError, match=message):
        cn.evaluate(run, DATA.test, network=network())


def test_the_mean_image_of_another_run_is_refused(run, two):
    shutil.copy(two[1] / "mean.safetensors", run)
    with pytest.raises(ValueError, match=r"of another run than .*: sum of the mean image differs$"):
        cn.evaluate(run, DATA.test, network=network())


@pytest.mark.parametrize("place", [-1, -40, -80])
def test_a_single_wrong_bit_in_the_weights_is_noticed(run, place):
    path = run / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is damaged, or .*: sum of the weights differs$"):
        cn.evaluate(run, DATA.test, network=network())


def test_weights_of_a_file_that_says_nothing_are_taken(run):
    path = run / "weights.safetensors"
    assert "classicnets" in read_metadata(path)
    save_file(load_file(path), path)
    assert read_metadata(path) == {}
    assert cn.evaluate(run, DATA.test, network=network()).images == 8


@pytest.mark.parametrize("kept", [0, 1])
def test_metrics_that_lack_the_best_epoch_are_refused(run, kept):
    path = run / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    edit(run, lambda content: content.update(best_epoch=2))
    for whole in (3, 2):
        path.write_text("".join(lines[:whole]))
        cn.compare([run])
    path.write_text("".join(lines[:kept])) if kept else path.unlink()
    message = f"metrics.jsonl is incomplete: it has {kept} epochs, but epoch 2 was the best$"
    with pytest.raises(ValueError, match=message):
        cn.compare([run])
