"""CSV files as other programs write them: columns, separators, paths, and the order of classes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from classicnets.data.csv_list import list_table
from classicnets.data.sets import open_data, open_test

LABELS = [f"{'cd'[k % 2]}" for k in range(12)]


def write_images(root: Path, names: list[str]) -> None:
    for k, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 20 * k).save(root / name)


def write_csv(root: Path, text: str, name: str = "x.csv") -> str:
    (root / name).write_text(text, encoding="utf-8", newline="")
    return str(root / name)


def check(root: Path, text: str, name: str = "x.csv") -> None:
    """The twelve images are there under their labels."""
    listing = list_table(Path(write_csv(root, text, name)))
    files = [(os.path.relpath(path, root), label) for path, label in listing.splits["train"]]
    assert listing.classes == ("c", "d")
    assert files == [(f"{k}.png", k % 2) for k in range(12)]


def rows(pattern: str, separator: str = ",") -> str:
    return "\n".join(pattern.format(k) + separator + label for k, label in enumerate(LABELS))


@pytest.fixture
def root(tmp_path):
    write_images(tmp_path, [f"{k}.png" for k in range(12)])
    return tmp_path


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_line_ends_and_byte_order_marks_are_recognised(root, separator):
    for end in "\n", "\r\n", "\r", "\n\n \n":
        for head in "", "path{}label\n", "\ufeffimage{}class\n", "\ufeff":
            text = head.format(separator) + rows("{}.png", separator)
            check(root, text.replace("\n", end))


def test_quoted_cells_may_contain_separators(root):
    write_images(root, ["a, b; c.png"])
    text = 'path,label\n"a, b; c.png","c"\n' + rows("{}.png")
    listing = list_table(Path(write_csv(root, text)))
    assert listing.splits["train"][0] == (str(root / "a, b; c.png"), 0)


def test_a_file_of_tabs_may_end_with_tsv(root):
    text = "path\tlabel\n" + rows("{}.png", "\t")
    assert open_data(write_csv(root, text, "x.tsv"), 8, 1).classes == ("c", "d")


@pytest.mark.parametrize(
    "head",
    [
        *("filename,category", "file,class", "image,target", "image_path,label_name"),
        *("Image Path,Label", "image_id,label", "id,breed", "name,class", "File-Name,class_id"),
        "img,species",
    ],
)
def test_columns_have_many_names(root, head):
    check(root, f"{head}\n{rows('{}.png')}")


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("file,filename,label", "line 1: the columns file and filename may each be the path; call"),
        ("path,class,category", "the columns class and category may each be the label; call one"),
        ("path,label,label", "the columns label and label may each be the label"),
        ("image,cat,dog", "none of the columns image, cat, dog is known to be the label; call it"),
        ("foto,klasse", "line 1: there is no file foto, and no other row has the label klasse; if"),
    ],
)
def test_an_unclear_header_is_refused_with_the_legal_names(root, head, message):
    with pytest.raises(ValueError, match=message):
        list_table(Path(write_csv(root, f"{head}\n" + rows("{}.png,c"))))


def test_names_that_mean_more_are_preferred(root):
    check(root, "id,label_id,path,label\n" + "\n".join(f"7,7,{r}" for r in rows("{}.png").split()))


@pytest.mark.parametrize("label", ["image", "class", "name", "set", "path"])
def test_a_first_row_of_data_is_not_taken_for_a_header(root, label):
    text = "\n".join(f"{k}.png,{('other', label)[k % 2 == 0]}" for k in range(12))
    assert len(list_table(Path(write_csv(root, text))).splits["train"]) == 12


@pytest.mark.parametrize("pattern", ["{}.png", "./{}.png", "sub/../{}.png", ".\\{}.png", "{}"])
def test_paths_may_be_written_in_many_ways(root, pattern):
    check(root, rows(pattern))


def test_absolute_paths_below_the_folder_are_accepted(root, tmp_path_factory):
    check(root, rows(f"{root}/{{}}.png"))
    link = tmp_path_factory.mktemp("links") / "link"
    link.symlink_to(root)
    check(root, rows(f"{link}/{{}}.png"))
    for outside in ("/etc/0.png", f"{root}x/0.png", "../0.png", "a/../../0.png"):
        with pytest.raises(ValueError, match=r"line 2: .* is outside .*; paths must be below it"):
            list_table(Path(write_csv(root, f"0.png,c\n{outside},d")))


def test_windows_separators_are_accepted(tmp_path):
    write_images(tmp_path, [f"img/{k}.png" for k in range(12)])
    data = open_data(write_csv(tmp_path, rows("img\\{}.png")), 8, 1)
    assert (data.skipped, sum(data.sizes)) == ((), 12)


@pytest.mark.parametrize("pattern", ["{}", "{}.png", "deep/{}"])
def test_a_path_may_be_the_only_name_of_an_image_below_the_folder(tmp_path, pattern):
    write_images(tmp_path, [f"train/deep/{k}.png" for k in range(12)])
    table = write_csv(tmp_path if "deep" not in pattern else tmp_path / "train", rows(pattern))
    assert open_data(table, 8, 1).counts() == {"c": (4, 1, 1), "d": (4, 1, 1)}


def test_a_name_that_fits_two_images_is_refused(root):
    (root / "3.jpg").write_bytes((root / "3.png").read_bytes())
    with pytest.raises(ValueError, match=r"line 4: 3 may be 3.jpg or 3.png; write one of them"):
        list_table(Path(write_csv(root, rows("{}"))))


def test_accents_may_be_composed_or_decomposed(tmp_path):
    write_images(tmp_path, [f"re\u0301{k}.png" for k in range(12)])
    assert open_data(write_csv(tmp_path, rows("r\xe9{}.png")), 8, 1).skipped == ()


def test_missing_files_are_counted_and_the_first_three_named(root):
    with pytest.raises(ValueError, match="12 skipped") as caught:
        open_data(write_csv(root, "path,label\n" + rows("img/x{}.png")), 8, 1)
    assert str(caught.value) == (
        f"classes 'c', 'd' in {root}/x.csv have too few readable images: 0, 0, but each needs at "
        "least 3, one for each of training, validation and test; 12 skipped: no such file: "
        + ", no such file: ".join(f"{root}/img/x{k}.png" for k in range(3))
        + " and 9 more"
    )


def test_rows_that_cannot_be_files_are_left_out_and_the_others_read(root):
    (root / "folder.png").mkdir()
    os.mkfifo(root / "pipe.png")
    odd = ["a" * 5000 + ".png", "nul\0.png", "folder.png", "pipe.png", "/".join(["b" * 200] * 30)]
    text = rows("{}.png") + "\n" + "\n".join(f"{path},c" for path in odd)
    data = open_data(write_csv(root, text), 8, 1)
    assert (sum(data.sizes), len(data.skipped)) == (12, 5)
    for reason, words in zip(
        data.skipped,
        ["too long", "null byte", "Is a directory", "a named pipe", "too long"],
        strict=True,
    ):
        assert words in reason


def test_a_path_of_thousands_of_letters_is_shortened_where_it_is_printed(root, run_cli):
    path = "a" * 5000 + ".png"
    table = write_csv(root, rows("{}.png") + f"\n{path},c")
    done = run_cli("pack", table, root / "x.pack", "--side", 8)
    assert done.status == 0
    (line,) = (line for line in done.out.splitlines() if line.startswith("skipped: "))
    assert line.startswith(f"skipped: {root}/aaaa")
    assert "aaaa…aaaa" in line
    assert line.endswith("File name too long")
    for words in (["predict", path], ["evaluate", path], ["train", path], ["show", path],
                  ["train", "lenet5", "--data", path], ["train", "lenet5", "--data", table,
                  "--epochs", 1, "--out", root / "run"]):  # fmt: skip
        done = run_cli(*words)
        assert "aaaa…aaaa" in done.err
        assert max(map(len, (done.out + done.err).splitlines())) < 1200


def test_one_file_under_two_labels_is_reported(root):
    data = open_data(write_csv(root, rows("{}.png") + "\n3.png,c"), 8, 1)
    (pair,) = (pair for pair in data.duplicates if "under two labels" in pair)
    assert pair.count(f"{root}/3.png") == 2
    assert ", c)" in pair
    assert ", d)" in pair


ORDER = """
import sys
from pathlib import Path
from classicnets.data.csv_list import list_table
print(*(list_table(Path(table)).classes for table in sys.argv[1:]), sep="\\n")
"""
LABELS_IN_ORDER = (
    ("001", "01", "1", "1.0"),
    ("2", "٢", "9.5", "10"),
    ("10", "B", "a", "b"),
    ("1", "7", "8" * 5000, "9" * 5000),
)


def test_classes_have_one_order_in_every_process(root):
    for k, labels in enumerate(LABELS_IN_ORDER):
        lines = (f"{i}.png,{labels[(3 * i + 1) % 4]}" for i in range(12))
        write_csv(root, "\n".join(lines), f"{k}.csv")
    command = [sys.executable, "-c", ORDER, *(str(root / f"{k}.csv") for k in range(4))]
    for seed in "0", "1":
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONUTF8": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines() == list(map(repr, LABELS_IN_ORDER))


def test_listing_takes_time_in_proportion_to_the_rows(tmp_path):
    def seconds(count: int) -> float:
        text = "\n".join(f"{k}.png,c{k // 3}" for k in range(count))
        table = Path(write_csv(tmp_path, text))
        began = time.process_time()
        list_table(table)
        return time.process_time() - began

    seconds(100)
    assert seconds(10_000) < 40 * seconds(1_000)  # in proportion: 10; quadratic: 100


def test_a_csv_without_test_rows_is_tested_on_all(root):
    lines = rows("{}.png").split()
    text = "\n".join(f"{line},{('train', 'val')[k % 2]}" for k, line in enumerate(lines))
    assert len(open_test(write_csv(root, text), 8, 1, ("c", "d")).images) == 12


@pytest.mark.parametrize("header", ["path,label\n", "", "path,label,split\n"])
def test_a_label_with_a_comma_is_not_cut_off(tmp_path, header):
    width = header.count(",") + 1 if header else 3
    row = "0.png,black" + ",train" * (width - 2) + ", white"
    rows = [f"{k}.png,{'cd'[k % 2]}" for k in range(1, 9)]
    (tmp_path / "x.csv").write_text(header + "\n".join([*rows, row]))
    message = (
        rf"x\.csv, line .*: there are {width + 1} cells for {width} columns; put a name with a "
    )
    with pytest.raises(ValueError, match=message):
        list_table(tmp_path / "x.csv")
    (tmp_path / "x.csv").write_text(header + "\n".join([*rows, row.replace(" white", "")]))
    assert "black" in list_table(tmp_path / "x.csv").classes


@pytest.mark.parametrize(
    ("twins", "shown"),
    [
        (("\xe9", "e\u0301"), r"'\\xe9' and 'e\\u0301'|'e\\u0301' and '\\xe9'"),
        (("cat", "cat\u200b"), r"'cat' and 'cat\\u200b'"),
        (("cat", "\ufeffcat"), r"'cat' and '\\ufeffcat'"),
    ],
)
@pytest.mark.parametrize("kind", ["CSV file", "folder"])
def test_classes_that_look_the_same_are_refused(tmp_path, kind, twins, shown):
    for k in range(12):
        name = twins[k % 2]
        (tmp_path / "images" / name).mkdir(parents=True, exist_ok=True)
        Image.new("L", (9, 9), 20 * k).save(tmp_path / "images" / name / f"{k}.png")
    rows = "".join(f"images/{twins[k % 2]}/{k}.png,{twins[k % 2]}\n" for k in range(12))
    (tmp_path / "x.csv").write_text(rows)
    data = tmp_path / ("images" if kind == "folder" else "x.csv")
    message = rf"has the classes ({shown}), which look the same; give them one name$"
    with pytest.raises(ValueError, match=message):
        open_data(str(data), 8, 1)
