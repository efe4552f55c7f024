"""What below a folder is not listed: it is counted and named, in training and prediction."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

import classicnets as cn
from classicnets.data.files import find_images, summarise
from classicnets.data.folder import list_folder
from classicnets.data.sets import open_data, open_test


def fill(root: Path, *folders: str, count: int = 5) -> Path:
    """Images in these folders, each with pixels of its own."""
    for number, folder in enumerate(folders):
        (root / folder).mkdir(parents=True)
        for k in range(count):
            Image.new("RGB", (8, 8), (number, k, len(folders))).save(root / folder / f"{k}.png")
    return root


def test_what_is_not_an_image_is_counted_by_reason_and_the_first_three_named(tmp_path):
    fill(tmp_path, "a", "b")
    (tmp_path / "x.png").write_bytes((tmp_path / "a" / "0.png").read_bytes())
    for name in ("a.txt", "b.mp4", "c", "d.7", "e.json"):
        (tmp_path / "a" / name).write_bytes(b"something else")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._1.png"):
        (tmp_path / "b" / name).write_bytes(b"left by a system")
    fill(tmp_path, "__MACOSX", ".cache", "a/@eaDir")
    (tmp_path / "b" / "gone.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "b" / "self.png").symlink_to(tmp_path / "b" / "self.png")
    os.mkfifo(tmp_path / "b" / "pipe.png")
    data = open_data(str(tmp_path), 8, 3)
    assert data.counts() == {"a": (3, 1, 1), "b": (3, 1, 1)}
    assert data.skipped == ()
    assert data.left_out == (
        "hidden (1): .cache",
        "left by an operating system (6): __MACOSX, a/@eaDir, b/.DS_Store and 3 more",
        "an image in no class folder (1): x.png",
        "not an image or of an unknown format (5): a/a.txt, a/b.mp4, a/c and 2 more",
        "a link that leads nowhere (2): b/gone.png, b/self.png",
        "a pipe, socket or device (1): b/pipe.png",
    )


def test_an_image_that_cannot_be_decoded_here_is_named(tmp_path):
    fill(tmp_path, "a", "b")
    (tmp_path / "a" / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    data = open_data(str(tmp_path), 8, 3)
    assert "phone.HEIC" in "".join(data.left_out + data.skipped)


def test_a_file_without_an_ending_is_recognised_by_its_content(tmp_path):
    fill(tmp_path, "a", "b", count=3)
    for k, kind in enumerate(("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")):
        Image.new("RGB", (8, 8), (k, 99, 9)).save(tmp_path / "a" / f"noending{k}", format=kind)
    for name in ("IMG_2021.12", "end."):
        Image.new("RGB", (8, 8), (len(name), 9, 0)).save(tmp_path / "a" / name, format="PNG")
    (tmp_path / "b" / "empty").touch()
    (tmp_path / "b" / "zeros").write_bytes(bytes(100_000))
    data = open_data(str(tmp_path), 8, 3)
    assert {name: sum(counts) for name, counts in data.counts().items()} == {"a": 12, "b": 3}
    (line,) = data.left_out
    assert line == "not an image or of an unknown format (2): b/empty, b/zeros"


def test_a_linked_folder_is_followed_once_and_loops_are_named(tmp_path):
    root, others = fill(tmp_path / "data", "a", "b", "b/in"), fill(tmp_path / "others", "x", "x/y")
    (root / "a" / "more").symlink_to(others / "x")
    (root / "a" / "z_again").symlink_to(others / "x" / "y")
    (root / "b" / "a_loop").symlink_to(root)
    (root / "b" / "b_itself").symlink_to(root / "b")
    (root / "b" / "c_twin").symlink_to(root / "b" / "in")
    (root / "linked").symlink_to(others)
    data = open_data(str(root), 8, 3)
    assert {name: sum(counts) for name, counts in data.counts().items()} == {
        "a": 5 + 5 + 5,
        "b": 5 + 5,
        "linked": 10,
    }
    assert data.left_out == (
        "a link to a folder that is listed already (4): a/z_again, b/a_loop, b/b_itself and 1 more",
    )
    assert any("under two labels" in pair for pair in data.duplicates)  # of a and linked


def test_links_may_lead_to_a_hidden_store(tmp_path):
    fill(tmp_path, "a", "b", "a/.store/v1")
    (tmp_path / "a" / "current").symlink_to(tmp_path / "a" / ".store" / "v1")
    assert len(find_images(tmp_path / "a").images) == 10


def test_images_are_in_the_order_of_their_parts(tmp_path):
    fill(tmp_path, "a", "a-b", "a.b", count=1)
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    found = find_images(tmp_path).images
    assert found == [str(path) for path in sorted(map(Path, found))]
    assert [os.path.relpath(path, tmp_path) for path in found] == [
        *("a/0.png", "a-b/0.png", "a.b/0.png", "a.png"),
    ]


def test_a_folder_that_cannot_be_opened_is_named(tmp_path, monkeypatch):
    fill(tmp_path, "a", "a/closed", "b")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert open_data(str(tmp_path), 8, 3).left_out == (
        "a folder that cannot be opened (1): a/closed",
    )


def test_a_hidden_folder_is_not_a_class_of_imagenet(tmp_path):
    fill(tmp_path, "train/n01", "train/n02", "train/.cache", count=52)
    fill(tmp_path, "val/n01", "val/n02", "val/.ipynb_checkpoints", count=1)
    data = open_data(f"imagenet:{tmp_path}", 8, 3)
    assert data.classes == ("n01", "n02")
    assert data.left_out == ("hidden (2): val/.ipynb_checkpoints, train/.cache",)


@pytest.mark.parametrize(
    ("twin", "words"),
    [
        ("train/b/twin.png", "(train, a) and {}/train/b/twin.png (train, b) are the same image un"),
        ("val/b/twin.png", "(train, a) and {}/val/b/twin.png (val, b) are the same image under tw"),
        ("val/a/twin.png", "(train) and {}/val/a/twin.png (val) are the same image"),
        ("test/a/twin.png", "(train) and {}/test/a/twin.png (test) are the same image"),
        ("train/a/twin.png", None),
    ],
)
def test_an_image_in_two_splits_or_under_two_labels_is_reported(tmp_path, twin, words):
    for part in ("train", "val", "test"):
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
            colour = (len(part), ord(part[0]), ord(name))
            Image.new("RGB", (8, 8), colour).save(tmp_path / part / name / "0.png")
    (tmp_path / twin).write_bytes((tmp_path / "train" / "a" / "0.png").read_bytes())
    duplicates = open_data(str(tmp_path), 8, 3).duplicates
    assert len(duplicates) == (words is not None)
    if words:
        assert words.format(tmp_path) in duplicates[0]


def test_a_test_on_a_folder_without_a_test_split_takes_all_images(tmp_path):
    fill(tmp_path, "train/a", "train/b", "val/a", "val/b", count=2)
    images = open_test(str(tmp_path), 8, 3, ("b", "a")).images
    assert images.labels.tolist() == [1, 1, 0, 0, 1, 1, 0, 0]
    fill(tmp_path, "test/b", count=3)
    assert open_test(str(tmp_path), 8, 3, ("b", "a")).images.labels.tolist() == [0, 0, 0]


# classes that a split lacks


def lacking(root: Path) -> str:
    fill(root, *(f"train/{name}" for name in "abcd"), *(f"test/{name}" for name in "abc"), count=4)
    fill(root / "val", "a", "c", count=3)
    return str(root)


def test_all_classes_that_a_split_lacks_are_named_with_what_helps(tmp_path):
    with pytest.raises(ValueError, match="too few") as caught:
        open_data(lacking(tmp_path), 8, 3)
    assert str(caught.value) == (
        f"classes 'b', 'd' in {tmp_path}, validation split, have too few readable images: 0, 0, "
        "but each needs at least 1; add some, or allow missing classes (allow_missing_classes=True)"
    )


def test_missing_classes_can_be_allowed_and_keep_the_indices_of_training(tmp_path):
    data = open_data(lacking(tmp_path), 8, 3, allow_missing_classes=True)
    assert data.classes == ("a", "b", "c", "d")
    assert data.validation.labels.unique().tolist() == [0, 2]
    assert data.test.labels.unique().tolist() == [0, 1, 2]


def test_a_rare_class_stays_in_training_where_classes_may_be_missing(tmp_path):
    fill(tmp_path, "a", "b", count=6)
    fill(tmp_path, "rare", count=1)
    fill(tmp_path, "two", count=2)
    with pytest.raises(ValueError, match=r"classes 'rare', 'two' in .* images: 1, 2, but each"):
        open_data(str(tmp_path), 8, 3)
    counts = open_data(str(tmp_path), 8, 3, allow_missing_classes=True).counts()
    assert counts == {"a": (4, 1, 1), "b": (4, 1, 1), "rare": (1, 0, 0), "two": (1, 1, 0)}


def test_a_class_without_training_images_is_refused_in_any_case(tmp_path):
    fill(tmp_path, "train/a", "train/b", "val/a", "val/b", "val/c")
    (tmp_path / "train" / "c").mkdir()
    with pytest.raises(ValueError, match=r"class 'c' in .* too few .*: 0, .* at least 1$"):
        open_data(str(tmp_path), 8, 3, allow_missing_classes=True)


def test_a_packed_set_may_lack_classes_too(tmp_path):
    from classicnets.api.pack import pack

    data, out = lacking(tmp_path / "data"), tmp_path / "x.pack"
    with pytest.raises(ValueError, match="allow_missing_classes=True"):
        pack(data, out, 8)
    pack(data, out, 8, allow_missing_classes=True)
    with pytest.raises(ValueError, match=r"classes 'b', 'd' in .*x\.pack, validation split"):
        open_data(str(out), 8, 3)
    assert open_data(str(out), 8, 3, allow_missing_classes=True).sizes == (16, 6, 12)


def net(classes: int = 4, channels: int = 3) -> nn.Module:
    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(4 * channels, classes))


def test_a_run_whose_validation_lacks_classes_trains_resumes_and_is_evaluated(tmp_path):
    options = {"epochs": 1, "overrides": {"side": "8", "crop": "8", "batch": "4"}}
    data = lacking(tmp_path / "data")
    with pytest.raises(ValueError, match="allow missing classes"):
        cn.train(net(), data, out=tmp_path / "no", **options)
    training = cn.train(net(), data, out=tmp_path / "r", allow_missing_classes=True, **options)
    training.finish()
    assert cn.evaluate(tmp_path / "r", network=net()).images == 12
    assert cn.resume(tmp_path / "r", network=net()).finish().images == 12


# prediction


@pytest.fixture
def run(tmp_path):
    fill(tmp_path / "data", "a", "b")
    options = {"epochs": 1, "overrides": {"side": "8", "crop": "8", "batch": "4"}}
    cn.train(net(2), str(tmp_path / "data"), out=tmp_path / "r", **options).finish()
    return tmp_path / "r"


def test_predict_reads_files_without_an_ending_and_names_what_it_leaves_out(run, tmp_path):
    folder = tmp_path / "data" / "a"
    (folder / "noending").write_bytes((folder / "0.png").read_bytes())
    for name in ("notes.txt", ".DS_Store"):
        (folder / name).touch()
    found = cn.predict(run, [folder], network=net(2))
    assert [Path(p.path).name for p in found] == [*(f"{k}.png" for k in range(5)), "noending"]
    assert found.left_out == (
        f"left by an operating system (1): {folder}/.DS_Store",
        f"not an image or of an unknown format (1): {folder}/notes.txt",
    )


def test_a_folder_of_other_files_says_what_it_has(run, tmp_path):
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"holds no images; left out: not an .* \(1\): notes.txt"):
        cn.predict(run, [tmp_path / "others"], network=net(2))


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder"])
def test_only_regular_files_are_opened(run, tmp_path, kind):
    path = tmp_path / f"{kind}.png"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(os.path.relpath(path))
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
        (path / "0.png").mkdir()
    refusal = "holds no images" if kind == "folder" else f"it is a .*{kind}"
    with pytest.raises(ValueError, match=refusal):
        cn.predict(run, [path], network=net(2))


@pytest.mark.slow
def test_training_prints_what_was_left_out_and_at_most_ten_warnings_of_a_kind(tmp_path):
    fill(tmp_path / "data", "a", "b", count=20)
    for k in range(15):
        (tmp_path / "data" / "a" / f"{k}.png").write_bytes(b"damaged")
    (tmp_path / "data" / "a" / ".DS_Store").touch()
    command = [sys.executable, "-m", "classicnets", "train", "lenet5", "--recipe", "fast"]
    command += ["--set", "batch=5", "--epochs", "1", "--out", str(tmp_path / "run")]
    done = subprocess.run(
        [*command, "--data", str(tmp_path / "data")], capture_output=True, text=True, check=True
    )
    assert done.stderr.count("warning: skipped: ") == 10
    assert "left out: left by an operating system (1): a/.DS_Store\n" in done.stderr
    assert "warning: and 5 more like this (run.json names all)\n" in done.stderr


# names in any locale

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
LIST = """
import sys
from classicnets.data.sets import open_data
for spec in sys.argv[1:]:
    data = open_data(spec, 8, 3)
    print(ascii((data.name, data.counts(), data.digest, data.skipped)))
"""


def test_names_are_the_same_in_an_ascii_locale(tmp_path):
    root = fill(tmp_path / "dätä", "bär", "zoé", "ö")
    table = root / "läbels.csv"
    rows = [f"{name}/{k}.png,{name}" for name in ("bär", "zoé") for k in range(5)]
    table.write_text("\n".join(rows), encoding="utf-8")
    expected = ""
    for spec in (root, table):
        data = open_data(str(spec), 8, 3)
        assert "bär" in data.classes
        expected += ascii((data.name, data.counts(), data.digest, data.skipped)) + "\n"
    command = [sys.executable, "-c", LIST, str(root), str(table)]
    environment = os.environ | ASCII
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (expected, "")


def test_listing_folders_takes_time_in_proportion_to_the_classes(tmp_path):
    def seconds(count: int) -> float:
        root = tmp_path / str(count)
        for k in range(count):
            (root / f"c{k}").mkdir(parents=True)
            (root / f"c{k}" / "0.png").touch()
        began = time.process_time()
        assert len(list_folder(root).classes) == count
        return time.process_time() - began

    seconds(10)
    assert seconds(4000) < 40 * seconds(400)  # in proportion: 10; quadratic: 100


def test_splitting_off_takes_time_in_proportion_to_the_images():
    from classicnets.data.splitting import stratified_split

    def seconds(classes: int) -> float:
        labels = torch.arange(classes).repeat_interleave(3)
        began = time.process_time()
        stratified_split(labels, 0)
        return time.process_time() - began

    seconds(100)
    assert seconds(20_000) < 40 * seconds(2_000)  # in proportion: 10; quadratic: 100


def test_a_summary_names_paths_below_its_root():
    assert summarise([("hidden", "/x/.a")], "/x") == ("hidden (1): .a",)
    assert summarise([], "/x") == ()
