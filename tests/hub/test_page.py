"""The commands of docs/hub.md, one after another, and what it says is published and fetched."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image

import classicnets as cn
from classicnets.hub.client import READ, WRITTEN

PAGE = (Path(__file__).parents[2] / "docs/hub.md").read_text(encoding="utf-8")
(COMMANDS,) = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_commands_of_the_page_run_one_after_another(
    run_cli, hub, photos, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("path/to").mkdir(parents=True)
    shutil.copytree(photos, "path/to/folder")
    Image.effect_noise((40, 36), 80).convert("RGB").save("photo.jpg")
    cn.train("resnet20", "path/to/folder", "fast", 1, "runs/photos").finish()
    for line in COMMANDS.splitlines():
        words = shlex.split(line)[1:]
        short = ["--epochs", "1"] * (words[0] == "train")
        done = run_cli(*words, *short)
        assert (done.status, done.err) == (0, ""), line
    assert len(hub.repos["ada/photos"]) == 1 + 1 + 2  # main, as created, two pushes


def test_the_page_lists_the_files():
    (table,) = re.findall(r"^\| file \| holds \|\n(.*?)\n\n", PAGE, re.MULTILINE | re.DOTALL)
    assert sorted(re.findall(r"`(\S+\.\w+)`", table)) == sorted(WRITTEN)
    (fetched,) = re.findall(r"Only `run.json`, (.*?) are fetched", PAGE, re.DOTALL)
    assert (
        " ".join(fetched.split()) == "the weights, the mean image, the design and `metrics.jsonl`"
    )
    assert len(READ) == 5
