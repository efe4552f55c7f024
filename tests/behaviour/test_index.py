"""The index of large folders saves reading files again, and never changes what is found."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from classicnets.data import image_file, index
from classicnets.data.image_file import open_image
from classicnets.data.index import NAME, indexed_digests
from classicnets.data.listing import find_overlap, training_digests
from classicnets.data.sets import open_data

AGO = 1_600_000_000  # seconds; a file that has just changed is not indexed


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(index, "LEAST", 1)
    monkeypatch.setenv("CLASSICNETS_DATA", str(tmp_path / "cache"))
    for blue, split in enumerate(("train", "val", "test")):
        for label, name in enumerate("ab"):
            (tmp_path / "d" / split / name).mkdir(parents=True)
            for k in range(3):
                image = Image.new("RGB", (20 + k, 30), (80 * label, 9 * k, 70 * blue))
                path = tmp_path / "d" / split / name / f"{k}.png"
                image.save(path)
                path.write_bytes(path.read_bytes().ljust(500, b"\0"))  # all of the same size
    settle(tmp_path / "d")
    return tmp_path / "d"


def settle(root: Path) -> None:
    for path in root.rglob("*.*"):
        os.utime(path, (AGO, AGO))


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """The names of the files that are opened as images."""
    names: list[str] = []

    def note(path):
        names.append(Path(path).name)
        return open_image(path)

    monkeypatch.setattr(image_file, "open_image", note)
    return names


@pytest.fixture
def hashed(monkeypatch) -> list[str]:
    """The names of the files whose bytes are hashed."""
    names: list[str] = []
    digest = index.content_digest
    monkeypatch.setattr(
        index, "content_digest", lambda path: names.append(Path(path).name) or digest(path)
    )
    return names


def start(folder: Path):
    """What a start finds out: sizes, skipped files, digest of the data, duplicates, and hashes."""
    data = open_data(str(folder), 8, 3, whole=True)
    parts = (data.train, data.validation, data.test)
    sizes = [part.sizes.tolist() for part in parts]  # pyright: ignore
    return sizes, data.skipped, data.digest, data.duplicates, training_digests(data)


def test_the_second_start_opens_and_hashes_nothing(folder, opened, hashed):
    (folder / "val/a/0.png").write_bytes((folder / "train/a/0.png").read_bytes())
    settle(folder)
    first = start(folder)
    assert len(opened) == 18
    assert len(first[3]) == 1
    assert set(hashed) == {"0.png", "1.png", "2.png"}
    opened.clear()
    hashed.clear()
    assert start(folder) == first
    assert (opened, hashed) == ([], [])


@pytest.mark.parametrize("change", ["size", "time"])
def test_only_changed_and_new_files_are_read(folder, opened, hashed, change):
    start(folder)
    opened.clear()
    hashed.clear()
    changed = folder / "train/a/1.png"
    length, time = (changed.stat().st_size, AGO + 1) if change == "time" else (999, AGO)
    Image.new("RGB", (50, 60)).save(changed)
    changed.write_bytes(changed.read_bytes().ljust(length, b"\0"))
    os.utime(changed, (time, time))
    Image.new("RGB", (70, 80)).save(folder / "train/a/3.png")
    (folder / "train/b/2.png").unlink()
    sizes, *_, digests = start(folder)
    assert sorted(opened) == ["1.png", "3.png"]
    assert [sizes[0][1], sizes[0][3]] == [[60, 50], [80, 70]]
    assert digests[1] == index.content_digest(str(changed))


def test_a_file_that_has_just_changed_is_read_again(folder, opened):
    os.utime(folder / "train/a/1.png")
    start(folder)
    opened.clear()
    start(folder)
    assert opened == ["1.png"]


def test_headers_alone_do_not_count_as_decoded(folder, opened):
    half = folder / "train/b/half.jpg"
    Image.effect_noise((64, 64), 60).save(half)
    half.write_bytes(half.read_bytes()[:-200])
    settle(folder)
    paths = [str(half)]
    facts = index.file_facts(paths)
    for _ in range(2):
        sizes, reasons = index.indexed_sizes(paths, facts)
        assert (sizes.tolist(), reasons) == ([[64, 64]], {})
    assert opened == ["half.jpg"]
    _, reasons = index.indexed_sizes(paths, facts, 3)
    assert "truncated" in reasons[0]
    _, reasons = index.indexed_sizes(paths, facts, 3)
    assert "truncated" in reasons[0]  # a damaged file is read and named at each start


def test_the_limit_of_pixels_holds_for_indexed_files(folder, monkeypatch):
    start(folder)
    monkeypatch.setenv("CLASSICNETS_MAX_PIXELS", "650")  # 20 x 30 = 600, 21 x 30 = 630, 22 x 30
    _, skipped, *_ = start(folder)
    assert len(skipped) == 6
    assert all("22 x 30 are 660 pixels" in reason for reason in skipped)


def test_overlap_is_found_with_the_index(folder, hashed):
    data = open_data(str(folder), 8, 3, whole=True)
    digests = training_digests(data)
    hashed.clear()
    assert find_overlap(data.train, set(digests[:2])) == tuple(data.train.paths[:2])
    assert hashed == []


@pytest.mark.parametrize("damage", ["no database", "torn", "wrong types", "old format", "a folder"])
def test_a_damaged_index_is_made_anew(folder, damage):
    first = start(folder)
    file = folder.parent / "cache" / NAME
    if damage == "no database":
        file.write_bytes(b"not SQLite" * 500)
    elif damage == "torn":
        content = bytearray(file.read_bytes())
        content[4096:] = b"\xff" * (len(content) - 4096)
        file.write_bytes(content)
    elif damage == "a folder":
        file.unlink()
        file.mkdir()
    else:
        query = "update format set value = '0'" if damage == "old format" else None
        with sqlite3.connect(file) as rows:
            rows.execute(query or "update files set height = 'x', width = -4, digest = 7")
        rows.close()
    assert start(folder) == start(folder) == first


def test_without_a_place_to_write_the_files_are_read(folder, opened, monkeypatch):
    first = start(folder)
    monkeypatch.setenv("CLASSICNETS_DATA", os.devnull)
    opened.clear()
    assert start(folder) == first
    assert len(opened) == 18


def test_a_locked_index_does_not_stop_a_start(folder, monkeypatch):
    monkeypatch.setattr(index, "WAIT", 0.1)
    first = start(folder)
    os.utime(folder / "train/a/1.png", (AGO + 5, AGO + 5))
    other = sqlite3.connect(folder.parent / "cache" / NAME)
    other.execute("begin exclusive")
    try:
        assert start(folder)[0] == first[0]
    finally:
        other.close()


def test_of_two_processes_at_once_one_reads_and_the_other_recalls(folder):
    script = (
        "import sys; from classicnets.data import image_file, index; index.LEAST = 1\n"
        "from classicnets.data.sets import open_data\n"
        "opened, open_image = [], image_file.open_image\n"
        "image_file.open_image = lambda path: opened.append(path) or open_image(path)\n"
        "print(open_data(sys.argv[1], 8, 3, whole=True).train.sizes.tolist(), len(opened))"
    )
    command = [sys.executable, "-c", script, str(folder)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate(timeout=120)[0].rpartition(" ") for process in both]
    assert answers[0][0] == answers[1][0] == str(start(folder)[0][0])
    assert sum(int(opened) for _, _, opened in answers) == 18


def test_a_start_asks_for_the_size_of_each_file_once(folder, monkeypatch):
    (folder / "val/a/0.png").write_bytes((folder / "train/a/0.png").read_bytes())
    settle(folder)
    start(folder)  # the next opens none, which would ask too
    asked: list[str] = []
    stat = os.stat

    def note(path, *args, **options):
        asked.append(str(path))
        return stat(path, *args, **options)

    monkeypatch.setattr(os, "stat", note)
    start(folder)
    images = [path for path in asked if path.endswith(".png")]
    assert len(images) == len(set(images)) == 18


def test_what_was_read_until_ctrl_c_is_kept(folder, monkeypatch, opened):
    monkeypatch.setattr(index.torch, "get_num_threads", lambda: 1)
    note = image_file.open_image

    def interrupted(path):
        if len(opened) == 4:
            raise KeyboardInterrupt
        return note(path)

    monkeypatch.setattr(image_file, "open_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        start(folder)
    monkeypatch.setattr(image_file, "open_image", note)
    opened.clear()
    start(folder)
    assert len(opened) == 18 - 4


def test_names_that_are_not_utf8_are_read_each_time(folder, opened):
    odd = os.fsencode(folder / "train/a") + b"/\xff.png"
    with open(odd, "wb") as file:  # noqa: PTH123
        Image.new("RGB", (9, 9)).save(file, "PNG")
    os.utime(odd, (AGO, AGO))
    first = start(folder)
    opened.clear()
    assert start(folder) == first
    assert len(opened) == 1


def test_small_folders_have_no_index(tmp_path, monkeypatch):
    monkeypatch.setenv("CLASSICNETS_DATA", str(tmp_path / "cache"))
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    indexed_digests([str(tmp_path / "a.png")])
    assert not (tmp_path / "cache").exists()
