"""A folder of pictures is trained as what it is meant to be, or refused."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from PIL import Image

from classicnets.data import decode as picture
from classicnets.data.sets import open_data, open_test, resolve


def fill(root: Path, *folders: str, count: int = 5) -> Path:
    """Pictures in these folders below the root."""
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for k in range(count):
            Image.new("L", (8, 8), 10 * k).save(root / folder / f"{k}.png")
    return root


def counts(root: Path) -> dict[str, tuple[int, int, int]]:
    return open_data(str(root), 8, 1).counts()


def test_the_names_of_parts_may_be_capitalised(tmp_path):
    fill(tmp_path, "Train/cat", "Train/dog", "TEST/cat", "TEST/dog", count=4)
    assert counts(tmp_path) == {"cat": (3, 1, 4), "dog": (3, 1, 4)}
    assert len(open_test(str(tmp_path), 8, 1, ("cat", "dog"))) == 8


def test_a_class_may_be_called_train(tmp_path):
    fill(tmp_path, "bus", "car", "train")
    assert [sum(three) for three in counts(tmp_path).values()] == [5, 5, 5]
    assert len(open_test(str(tmp_path), 8, 1, ("bus", "car", "train"))) == 15


@pytest.mark.parametrize(
    ("folders", "sentence"),
    [
        (("test/a", "test/b", "val/a", "val/b"), "holds test and val but no train with a folder"),
        (("test", "val"), "holds test and val but no train with a folder"),
        (("train", "test"), "holds 5 pictures but no folder"),
        (("val/a", "valid/a", "train/a"), "holds both val and valid; keep one"),
        (("train/steam", "train/diesel", "bus"), "holds pictures in bus beside train"),
        (("train", "test/a", "test/b"), "holds pictures in train beside test"),
    ],
)
def test_a_layout_that_could_mean_two_things_is_refused(tmp_path, folders, sentence):
    with pytest.raises(ValueError, match=sentence):
        counts(fill(tmp_path, *folders))


def test_folders_without_pictures_may_lie_beside_the_parts(tmp_path):
    fill(tmp_path, "train/a", "train/b")
    (tmp_path / "notes").mkdir()
    assert len(counts(tmp_path)) == 2


def test_hidden_files_and_folders_are_not_looked_at(tmp_path):
    fill(tmp_path, "a", "b", "a/.thumbs", ".cache")
    (tmp_path / "b" / "._1.png").write_bytes(b"what another system leaves there")
    data = open_data(str(tmp_path), 8, 1)
    assert [sum(three) for three in data.counts().values()] == [5, 5]
    assert data.skipped == ()


def test_a_class_whose_name_is_no_utf8_is_refused_by_name(tmp_path):
    fill(tmp_path, "a")
    try:
        (tmp_path / os.fsdecode(b"caf\xe9")).mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    with pytest.raises(ValueError, match=r"caf\\udce9' is not UTF-8"):
        counts(tmp_path)


def test_the_digest_changes_with_names_and_sizes_and_with_nothing_else(tmp_path):
    fill(tmp_path / "one", "a", "b")
    fill(tmp_path / "two", "a", "b")
    first = open_data(str(tmp_path / "one"), 8, 1).digest
    assert open_data(str(tmp_path / "two"), 8, 1).digest == first
    (tmp_path / "one" / "a" / "0.png").rename(tmp_path / "one" / "a" / "00.png")
    with (tmp_path / "two" / "b" / "0.png").open("ab") as file:
        file.write(b"one byte more")
    digests = {open_data(str(tmp_path / name), 8, 1).digest for name in ("one", "two")}
    assert len(digests | {first}) == 3


def test_a_folder_is_named_by_its_whole_path(tmp_path, monkeypatch):
    fill(tmp_path / "pics", "a", "b")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    whole = str((tmp_path / "pics").resolve())
    assert resolve("~/pics") == resolve("pics") == open_data("~/pics", 8, 1).name == whole
    assert resolve("digits") == "digits"


def test_an_interrupted_reading_stops_at_once(tmp_path, monkeypatch):
    class Interrupted(ThreadPoolExecutor):
        """Ctrl-C while pictures are still being handed out."""

        def map(self, function, items):
            for item in items:
                self.submit(function, item)
            raise KeyboardInterrupt

    begun = []

    def slow(path, side, channels):
        begun.append(path)
        time.sleep(0.001)
        return torch.zeros(1, 8, 8, dtype=torch.uint8)

    monkeypatch.setattr(picture, "read_image", slow)
    monkeypatch.setattr(picture, "ThreadPoolExecutor", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        picture.read_images([tmp_path / f"{k}.png" for k in range(4000)], 8, 1)
    assert len(begun) < 4000
