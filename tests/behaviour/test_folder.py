"""Folder layouts: which are accepted, and how ambiguous ones are refused."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from PIL import Image

from classicnets.data import decode, readers
from classicnets.data.sets import open_data, open_test, resolve


def fill(root: Path, *folders: str, count: int = 5) -> Path:
    """Images in these folders below the root."""
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for k in range(count):
            Image.new("L", (8, 8), 10 * k).save(root / folder / f"{k}.png")
    return root


def counts(root: Path) -> dict[str, tuple[int, int, int]]:
    return open_data(str(root), 8, 1).counts()


def test_the_names_of_splits_may_be_capitalised(tmp_path):
    fill(tmp_path, "Train/cat", "Train/dog", "TEST/cat", "TEST/dog", count=4)
    assert counts(tmp_path) == {"cat": (3, 1, 4), "dog": (3, 1, 4)}
    assert len(open_test(str(tmp_path), 8, 1, ("cat", "dog")).images) == 8


def test_a_class_may_be_named_train(tmp_path):
    fill(tmp_path, "bus", "car", "train")
    assert [sum(splits) for splits in counts(tmp_path).values()] == [5, 5, 5]
    assert len(open_test(str(tmp_path), 8, 1, ("bus", "car", "train")).images) == 15


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("test/a", "test/b", "val/a", "val/b"), "has test and val but no train with a folder"),
        (("test", "val"), "has test and val but no train with a folder"),
        (("train", "test"), "has no class folders \\(loose images: 5\\)"),
        (("val/a", "valid/a", "train/a"), "has both val and valid; keep one"),
        (("train/steam", "train/diesel", "bus"), "has images in bus beside train"),
        (("train", "test/a", "test/b"), "has images in train beside test"),
    ],
)
def test_an_ambiguous_layout_is_refused(tmp_path, folders, message):
    with pytest.raises(ValueError, match=message):
        counts(fill(tmp_path, *folders))


def test_folders_without_images_may_lie_beside_the_splits(tmp_path):
    fill(tmp_path, "train/a", "train/b")
    (tmp_path / "notes").mkdir()
    assert len(counts(tmp_path)) == 2


def test_hidden_files_and_folders_are_ignored(tmp_path):
    fill(tmp_path, "a", "b", "a/.thumbs", ".cache")
    (tmp_path / "b" / "._1.png").write_bytes(b"left by another system")
    data = open_data(str(tmp_path), 8, 1)
    assert [sum(splits) for splits in data.counts().values()] == [5, 5]
    assert data.skipped == ()


def test_a_class_name_that_is_not_utf8_is_refused(tmp_path):
    fill(tmp_path, "a")
    try:
        (tmp_path / os.fsdecode(b"caf\xe9")).mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    with pytest.raises(ValueError, match=r"caf\\udce9' is not UTF-8"):
        counts(tmp_path)


def test_the_digest_depends_on_names_and_sizes_alone(tmp_path):
    fill(tmp_path / "one", "a", "b")
    fill(tmp_path / "two", "a", "b")
    first = open_data(str(tmp_path / "one"), 8, 1).digest
    assert open_data(str(tmp_path / "two"), 8, 1).digest == first
    (tmp_path / "one" / "a" / "0.png").rename(tmp_path / "one" / "a" / "00.png")
    with (tmp_path / "two" / "b" / "0.png").open("ab") as file:
        file.write(b"one byte more")
    digests = {open_data(str(tmp_path / name), 8, 1).digest for name in ("one", "two")}
    assert len(digests | {first}) == 3


def test_a_folder_is_named_by_its_absolute_path(tmp_path, monkeypatch):
    fill(tmp_path / "pics", "a", "b")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    absolute = str((tmp_path / "pics").resolve())
    assert resolve("~/pics") == resolve("pics") == open_data("~/pics", 8, 1).name == absolute
    assert resolve("digits") == "digits"


def test_reading_stops_at_once_when_interrupted(tmp_path, monkeypatch):
    class Interrupted(ThreadPoolExecutor):
        """Ctrl-C while images are still being submitted."""

        def map(self, function, items):
            for item in items:
                self.submit(function, item)
            raise KeyboardInterrupt

    started = []

    def slow(path, _side, _channels, _box):
        started.append(path)
        time.sleep(0.001)
        return torch.zeros(1, 8, 8, dtype=torch.uint8)

    monkeypatch.setattr(decode, "read_image", slow)
    monkeypatch.setattr(readers, "ThreadPoolExecutor", Interrupted)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)  # with one, none are started
    with pytest.raises(KeyboardInterrupt):
        decode.read_images([tmp_path / f"{k}.png" for k in range(4000)], 8, 1)
    assert len(started) < 4000
