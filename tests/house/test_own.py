"""docs/own.md: its commands run one after another, and its messages are those that people meet."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PAGE = (Path(__file__).parents[2] / "docs/own.md").read_text(encoding="utf-8")
COMMANDS = [
    line.split()
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
COLOURS = {"bear": (60, 200, 90), "wolf": (130, 130, 90), "狐狸": (200, 60, 90)}


def photos(folder: Path, count: int, names: Sequence[str] = tuple(COLOURS)) -> None:
    rng = np.random.default_rng(0)
    for name, colour in zip(names, COLOURS.values(), strict=False):
        (folder / name).mkdir(parents=True)
        for k in range(count):
            pixels = np.clip(rng.normal(colour, 30, (40, 56, 3)), 0, 255).astype("uint8")
            Image.fromarray(pixels).save(folder / name / f"{k}.jpg")


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """A directory with the folders and the file that the page speaks of."""
    here = tmp_path_factory.mktemp("own")
    photos(here / "photos", 12)
    photos(here / "more", 2)
    photos(here / "garden", 12, ("robin", "wren"))
    bear = here / "photos/bear"
    (bear / "IMG_2.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (bear / "broken.jpg").write_bytes((bear / "0.jpg").read_bytes()[:300])
    (bear / "notes.txt").write_text("seen near the river")
    (here / "photos/wolf/copy.jpg").write_bytes((bear / "3.jpg").read_bytes())
    (here / "new").mkdir()
    for name, k in (("a", 1), ("b", 2)):
        (here / f"new/{name}.jpg").write_bytes((bear / f"{k}.jpg").read_bytes())
    found = re.search(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    (here / "net.py").write_text(found[1])
    return here


@pytest.mark.slow
def test_the_commands_run_one_after_another_and_warn_as_the_page_says(run_in, desk):
    assert len(COMMANDS) >= 10
    outputs = []
    for words in COMMANDS:
        short = ["--epochs", "3"] * (words[1] == "train")  # that it runs, not what it learns
        done = run_in(desk, [*words, *short], 300)
        assert done.status == 0, (words, done.err)
        outputs.append(done.out + done.err)
    for words in (
        "skipped: .*photos/bear/IMG_2.heic cannot be read as an image: HEIF needs the package",
        "skipped: .*photos/bear/broken.jpg cannot be read as an image: Truncated File Read",
        r"left out: not an image or of an unknown format \(1\): bear/notes.txt",
        "3.jpg .* and .*copy.jpg .* are the same image under two labels",
        "initial values: drawn by HeNormal",
    ):
        assert re.search(words, outputs[0]), words
    assert "initial values: as the builder left them" in outputs[6]
    new = "initial values: learnt in runs/photos, except fc, which is new, drawn by HeNormal"
    assert new in outputs[-2]
    assert sorted(file.name for file in (desk / "seen").iterdir()) == ["cam.png", "occlusion.png"]

    refused = run_in(desk, ["classicnets", "predict", "runs/small", "new/a.jpg"], 300)
    assert (refused.status, refused.out) == (2, "")
    assert "is a run of your own network" in refused.err
    assert "whose code runs only when you name it: add --network " in refused.err
    assert len(refused.err.splitlines()) == 1
