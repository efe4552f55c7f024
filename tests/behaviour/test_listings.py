"""ImageNet's layout, CSV files, folders, packed files, and a stand-in for the Hugging Face hub."""

import csv
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from scipy.io import savemat

from classicnets.data.images import Images, Splits
from classicnets.data.packed import SPLITS, read_packed, write_packed
from classicnets.data.sets import open_data, open_test, resolve


def write_image(path: Path, light: int = 0, size: tuple[int, int] = (12, 10)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, light).save(path)
    return path


# ImageNet


def write_imagenet(root: Path, flat: bool) -> Path:
    for wnid, light in (("n01", 10), ("n02", 200)):
        for k in range(52):
            write_image(root / "train" / wnid / f"{wnid}_{k}.JPEG", light)
    for number, (wnid, light) in enumerate((("n02", 200), ("n01", 10), ("n02", 200)), 1):
        name = f"ILSVRC2012_val_{number:08}.JPEG"
        write_image(root / "val" / ("" if flat else wnid) / name, light)
    return root


def check_imagenet(root: Path) -> None:
    data = open_data(f"imagenet:{root}", 8, 1)
    assert data.counts() == {"n01": (2, 50, 1), "n02": (2, 50, 2)}
    assert data.test.pixels[:, 0, 0, 0].tolist() == [(10, 200)[k] for k in data.test.labels]
    assert data.name == f"imagenet:{root}"


def test_imagenet_with_class_folders(tmp_path):
    check_imagenet(write_imagenet(tmp_path / "in", flat=False))


@pytest.mark.parametrize("where", ["in", "."])
def test_a_flat_validation_folder_is_labelled_by_kaggles_solution(tmp_path, where):
    root = write_imagenet(tmp_path / "in", flat=True)
    with (tmp_path / where / "LOC_val_solution.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["ImageId", "PredictionString"])
        for k, wnid in ((3, "n02"), (1, "n02"), (2, "n01")):
            rows.writerow([f"ILSVRC2012_val_{k:08}", f"{wnid} 111 108 230 366 "])
    check_imagenet(root)


def test_the_digest_depends_on_the_labels_of_a_flat_validation_folder(tmp_path):
    root = write_imagenet(tmp_path / "in", flat=True)
    digests = set()
    for wnids in (("n01", "n02", "n02"), ("n02", "n01", "n02")):
        rows = [f"ILSVRC2012_val_{k:08},{wnid} 1 2 3 4" for k, wnid in enumerate(wnids, 1)]
        table = "\n".join(["ImageId,PredictionString", *rows])
        (root / "LOC_val_solution.csv").write_text(table)
        digests.add(open_data(f"imagenet:{root}", 8, 1).digest)
    assert len(digests) == 2


def test_a_flat_validation_folder_is_labelled_by_the_development_kit(tmp_path):
    root = write_imagenet(tmp_path / "in", flat=True)
    folder = root / "ILSVRC2012_devkit_t12" / "data"
    folder.mkdir(parents=True)
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text("1\n2\n1\n")
    synsets = np.array(
        [(1, "n02"), (2, "n01")], dtype=[("ILSVRC2012_ID", "O"), ("WNID", "O")]
    ).reshape(-1, 1)
    savemat(folder / "meta.mat", {"synsets": synsets})
    check_imagenet(root)


def test_a_flat_validation_folder_without_labels_is_refused(tmp_path):
    root = write_imagenet(tmp_path / "in", flat=True)
    with pytest.raises(ValueError, match=r"val has no class folders.* put LOC_val_solution.csv"):
        open_data(f"imagenet:{root}", 8, 1)
    with pytest.raises(ValueError, match="has no folder val"):
        open_data(
            f"imagenet:{write_image(tmp_path / 'x' / 'train' / 'n01' / '1.png').parents[2]}", 8, 1
        )
    with pytest.raises(ValueError, match="no such folder: nowhere; imagenet: must be"):
        open_data("imagenet:nowhere", 8, 1)


def test_an_imagenet_class_too_small_for_the_validation_split_is_refused(tmp_path):
    root = write_imagenet(tmp_path / "in", flat=False)
    for k in range(2):
        (root / "train" / "n01" / f"n01_{k}.JPEG").unlink()
    with pytest.raises(ValueError, match=r"class 'n01' .* too few .* images: 50, .* at least 51"):
        open_data(f"imagenet:{root}", 8, 1)


# CSV files


def write_table(root: Path, *lines: str, files: int = 12) -> str:
    for k in range(files):
        write_image(root / f"{k}.png", 10 * k)
    (root / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(root / "labels.csv")


def test_a_csv_of_path_and_label_is_split_like_a_folder(tmp_path):
    lines = [f"{k}.png,{'wolf' if k % 2 else 'bär'}" for k in range(12)]
    data = open_data(write_table(tmp_path, *lines), 8, 1)
    assert data.classes == ("bär", "wolf")
    assert data.counts() == {"bär": (4, 1, 1), "wolf": (4, 1, 1)}
    for split in (data.train, data.validation, data.test):
        assert torch.equal(split.pixels[:, 0, 0, 0].long() // 10 % 2, split.labels)
    assert data.name == resolve(str(tmp_path / "labels.csv")) == str(tmp_path / "labels.csv")


def test_columns_may_be_named_and_splits_given(tmp_path):
    splits = ("train", "train", "val", "test")
    lines = [f"{splits[k % 4]},x,{k // 4},{k}.png" for k in range(12)]
    data = open_data(write_table(tmp_path, "Split,note,Label,PATH", *lines, ""), 8, 1)
    assert data.counts() == {"0": (2, 1, 1), "1": (2, 1, 1), "2": (2, 1, 1)}
    assert len(open_test(str(tmp_path / "labels.csv"), 8, 1, ("0", "1", "2")).images) == 3


def test_numeric_labels_are_ordered_by_value(tmp_path):
    lines = [f"{k}.png,{(9, 10, 100)[k % 3]}" for k in range(12)]
    assert open_data(write_table(tmp_path, *lines), 8, 1).classes == ("9", "10", "100")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["0.png,a", "1.png,"], "line 2: the label is missing"),
        (["0.png,a", "1.png"], "line 2: the label is missing"),
        (["0.png,a", ",b"], "line 2: the path is missing"),
        (["path,label", "../0.png,a"], r"line 2: ../0.png is outside .*; paths must be below it"),
        (["/etc/0.png,a"], "line 1: /etc/0.png is outside"),
        (["0.png,0", "1.png,-1"], "line 2: the label -1 is negative; labels start at 0"),
        (["0.png,a,train", "1.png,b,exam"], "line 2: unknown split 'exam'; choose from train, val"),
        (["0.png,a,val", "1.png,b,test"], "has val and test rows but no train row"),
        (["0.png,a", "1.png,a"], "has only one class, 'a'; at least two are needed"),
        ([], "lists no images"),
        (
            [*(f"{k}.png,a" for k in range(8)), "8.png,255"],
            "class '255' in .* too few .* images: 1",
        ),
        ([*(f"{k}.png,a" for k in range(8)), "x.png,b"], "class 'b' in .* too few .* images: 0"),
    ],
)
def test_an_illegal_csv_is_refused_with_the_line(tmp_path, lines, message):
    with pytest.raises(ValueError, match=message) as caught:
        open_data(write_table(tmp_path, *lines), 8, 1)
    assert "\n" not in str(caught.value)


def test_a_missing_file_of_a_csv_is_skipped_and_named(tmp_path):
    lines = [f"{k}.png,{'ab'[k % 2]}" for k in range(12)]
    data = open_data(write_table(tmp_path, *lines, "gone.png,a"), 8, 1)
    assert sum(data.sizes) == 12
    assert data.skipped == (f"no such file: {tmp_path / 'gone.png'}",)


def test_a_class_missing_from_the_validation_split_is_named(tmp_path):
    lines = [f"{k}.png,{'ab'[k % 2]},{'train' if k < 8 else 'val'}" for k in range(10)]
    table = write_table(tmp_path, *lines, "10.png,c,train", "11.png,c,train")
    with pytest.raises(ValueError, match=r"class 'c' in .*, validation split, has too few .*: 0"):
        open_data(table, 8, 1)


def test_messages_name_the_csv_file_and_not_its_folder(tmp_path):
    table = write_table(tmp_path, *(f"{k}.png,{'ab'[k == 7]}" for k in range(8)))
    with pytest.raises(ValueError, match=f"^class 'b' in {table} has too few readable images: 1"):
        open_data(table, 8, 1)


@pytest.mark.parametrize(
    ("lines", "others"),
    [
        (  # two labels exchanged
            [f"{k}.png,{'ab'[k % 2]}" for k in range(10)],
            ["0.png,b", "1.png,a", *(f"{k}.png,{'ab'[k % 2]}" for k in range(2, 10))],
        ),
        (  # the same images and labels in other splits
            [f"{k}.png,{'ab'[k % 2]},{'train' if k < 6 else 'test'}" for k in range(10)],
            [f"{k}.png,{'ab'[k % 2]},{'train' if k < 6 else 'val'}" for k in range(10)],
        ),
    ],
)
def test_the_digest_depends_on_labels_and_splits(tmp_path, lines, others):
    first = open_data(write_table(tmp_path, *lines), 8, 1)
    assert open_data(write_table(tmp_path, *lines), 8, 1).digest == first.digest
    assert open_data(write_table(tmp_path, *others), 8, 1).digest != first.digest


# image folders


def test_unreadable_files_are_skipped_or_refused_by_choice(tmp_path):
    for name in ("a", "b"):
        for k in range(5):
            write_image(tmp_path / name / f"{k}.png", 10 * k)
    (tmp_path / "a" / "1.png").write_bytes(b"not an image")
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(tmp_path / "b" / "nan.tif")
    skipped = open_data(str(tmp_path), 8, 1).skipped
    assert "1.png cannot be read as an image" in skipped[0]
    assert "nan.tif cannot be read as an image: its values do not lie between 0" in skipped[1]
    with pytest.raises(ValueError, match=r"1\.png cannot be read as an image"):
        open_data(str(tmp_path), 8, 1, unreadable="refuse")
    with pytest.raises(ValueError, match="unreadable must be skip or refuse, not 'ignore'"):
        open_data(str(tmp_path), 8, 1, unreadable="ignore")


def test_the_same_image_in_two_splits_is_reported(tmp_path):
    for split in ("train", "val", "test"):
        for name, light in (("a", 0), ("b", 100)):
            for k in range(3):
                shade = light + 10 * k + {"train": 0, "val": 1, "test": 2}[split]
                write_image(tmp_path / split / name / f"{k}.png", shade)
    assert open_data(str(tmp_path), 8, 1).duplicates == ()
    copy = (tmp_path / "train" / "a" / "1.png").read_bytes()
    (tmp_path / "test" / "a" / "copy.png").write_bytes(copy)
    (tmp_path / "train" / "a" / "again.png").write_bytes(copy)  # allowed within a split
    (found,) = {d.replace("again", "1") for d in open_data(str(tmp_path), 8, 1).duplicates}
    assert found == (
        f"{tmp_path}/train/a/1.png (train) and {tmp_path}/test/a/copy.png (test) are the same image"
    )


def test_other_files_are_refused_with_the_legal_kinds_of_data(tmp_path):
    (tmp_path / "x.txt").touch()
    with pytest.raises(
        ValueError, match=r"is a file .*; data is a folder .* a CSV file .* a \.pack file"
    ):
        open_data(str(tmp_path / "x.txt"), 8, 1)


# packed files


def packed(root: Path, name: str = "x", light: int = 0, **others) -> Path:
    """A packed file of a black and a lighter class; `others` replaces splits."""
    pixels = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    pixels[1] = light
    images = Images(pixels, torch.tensor([0, 1]))
    three = {"train": images, "validation": images, "test": images}
    write_packed(Splits("mnist", ("a", "b"), **three | others), root / f"{name}.pack", 4)
    return root / f"{name}.pack"


def test_a_packed_file_keeps_the_origin_of_its_images(tmp_path):
    data = read_packed(packed(tmp_path), 3)
    assert (data.origin, data.name, data.grey) == ("mnist", str(tmp_path / "x.pack"), True)
    write_packed(data, tmp_path / "again.pack", 4)
    assert open_data(str(tmp_path / "again.pack"), 4, 3).origin == "mnist"


def test_the_digest_of_a_packed_file_depends_on_pixels_and_labels(tmp_path):
    other = Images(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([1, 0]))
    paths = [packed(tmp_path), packed(tmp_path, "y", 1), packed(tmp_path, "z", test=other)]
    assert len({read_packed(path, 1).digest for path in paths}) == 3
    digest = read_packed(packed(tmp_path, "same"), 3).digest
    assert digest == read_packed(paths[0], 1).digest


def test_a_packed_file_with_an_illegal_label_or_a_missing_class_is_refused(tmp_path):
    path = packed(tmp_path)
    content = bytearray(path.read_bytes())
    content[-2] = 1  # of the last label's eight bytes
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"x\.pack, test split, has the label 281474976710657; labels"
    ):
        open_data(str(path), 4, 1)
    one = Images(torch.zeros(1, 1, 4, 4, dtype=torch.uint8), torch.tensor([0]))
    with pytest.raises(
        ValueError,
        match=r"class 'b' in .*y\.pack, validation split, has too few readable images: 0",
    ):
        open_data(str(packed(tmp_path, "y", validation=one)), 4, 1)


def test_other_safetensors_files_are_refused(tmp_path):
    tensors = {f"{split}.{k}": torch.zeros(2) for split in SPLITS for k in ("pixels", "labels")}
    save_file(tensors, tmp_path / "x.pack", metadata={"classes": '["a", "b"]'})
    with pytest.raises(ValueError, match=r"is not a packed data set, .* must be uint8 in four dim"):
        open_data(str(tmp_path / "x.pack"), 4, 1)


# a stand-in for the Hugging Face hub


class Split(list):
    """The part of a split of `datasets` that the tests need."""

    def __init__(self, rows, features):
        super().__init__(rows)
        self.features = features

    def __getitem__(self, key):
        return [r[key] for r in self] if isinstance(key, str) else super().__getitem__(key)


def kind(name: str, **fields):
    return type(name, (SimpleNamespace,), {})(**fields)


def stand_in(monkeypatch, load, version: str = "4.0.0") -> None:
    monkeypatch.setitem(
        sys.modules, "datasets", SimpleNamespace(load_dataset=load, __version__=version)
    )


def test_a_hub_data_set_is_read_by_its_features(monkeypatch):
    features = {
        "img": kind("Image"),
        "id": kind("Value"),
        "y": kind("ClassLabel", names=["no", "yes"]),
    }
    rows = [{"img": Image.new("RGB", (9, 12), (k, 0, 0)), "id": k, "y": k % 2} for k in range(40)]
    splits = {"train": Split(rows, features), "test": Split(rows[:6], features)}
    stand_in(monkeypatch, lambda name: splits)
    data = open_data("hf:someone/something", 8, 3)
    assert (data.name, data.classes) == ("hf:someone/something", ("no", "yes"))
    assert data.sizes == (36, 4, 6)
    assert torch.equal(data.train.pixels[:, 0, 0, 0].long() % 2, data.train.labels)
    assert data.origin == "something"


def of_the_hub(monkeypatch, labels: list[int], test: list[int] | None = None, light: int = 0):
    """Stands in for a data set of two classes with these labels."""
    features = {"img": kind("Image"), "y": kind("ClassLabel", names=["no", "yes"])}
    labels_of = {"train": labels} | ({} if test is None else {"test": test})
    splits = {
        split: Split(
            [{"img": Image.new("RGB", (9, 12), (light, k, 0)), "y": y} for k, y in enumerate(ys)],
            features,
        )
        for split, ys in labels_of.items()
    }
    stand_in(monkeypatch, lambda name: splits)


def test_the_digest_of_a_hub_data_set_depends_on_pixels_and_labels(monkeypatch):
    digests = []
    for labels, light in (([0, 1] * 9, 0), ([0, 1] * 9, 1), ([1, 0] * 9, 0), ([0, 1] * 9, 0)):
        of_the_hub(monkeypatch, labels, light=light)
        digests.append(open_data("hf:x", 8, 3).digest)
    assert digests[0] == digests[3] == open_data("hf:x", 16, 1).digest
    assert len(set(digests)) == 3


@pytest.mark.parametrize(
    ("labels", "test", "message"),
    [
        ([0, 0, 0, 1], None, "^class 'yes' in hf:x has too few .*: 1, .* at least 3, one for each"),
        (
            [0, 0, 0, 1],
            [0, 1],
            "^class 'yes' in hf:x, train split, has too few .*: 1, .*least 2",
        ),
        ([0, 0, 1, 1], [0, 0], "^class 'yes' in hf:x, test split, has too few readable images: 0"),
        ([0, 1] * 3, [0, -1], "^hf:x, test split, has the label -1; labels must be 0 to 1"),
        ([0, 1] * 3 + [2], None, "^hf:x has the label 2; labels must be 0 to 1"),
    ],
)
def test_a_hub_data_set_with_too_few_images_is_refused(monkeypatch, labels, test, message):
    of_the_hub(monkeypatch, labels, test)
    with pytest.raises(ValueError, match=message):
        open_data("hf:x", 8, 3)


def test_failures_of_the_hub_are_reported_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        ValueError, match=r"hf:x needs the package datasets \(pip install datasets\): "
    ):
        open_data("hf:x", 8, 3)

    def fails(name):
        raise ConnectionError("no network\nand a long story")

    stand_in(monkeypatch, fails)
    with pytest.raises(ValueError, match=r"hf:x cannot be loaded: ConnectionError: no network$"):
        open_data("hf:x", 8, 3)
    features = {"img": kind("Image"), "text": kind("Value")}
    stand_in(monkeypatch, lambda name: {"train": Split([], features)})
    with pytest.raises(ValueError, match=r"no column of class labels; it has img \(Image\), text"):
        open_data("hf:x", 8, 3)
