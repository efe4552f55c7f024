"""The command see."""

import json
import re
import shutil
import warnings
from functools import partial

import numpy as np
import pytest
from PIL import Image

from classicnets.api.predict import predict
from classicnets.api.see import KINDS, see
from classicnets.api.train import train
from classicnets.support.errors import TrainingAdvice


@pytest.fixture
def run_cli(run_cli):
    return partial(run_cli, "see")


@pytest.fixture
def digit(tmp_path):
    path = tmp_path / "my digit.png"
    pixels = np.zeros((40, 30), np.uint8)
    pixels[8:32, 14:17] = 255
    Image.fromarray(pixels).save(path)
    return path


def test_plates_are_written_and_named(run_cli, run, digit, tmp_path):
    out = tmp_path / "out"
    words = ("--what", "maps,cam", "--layers", "C1,squash4", "--class", "7", "--npz", "--out", out)
    status, printed, err = run_cli(run, digit, *words)
    assert (status, err) == (0, "")
    names = ["maps-C1.png", "maps-squash4.png", "cam-C1.png", "cam-squash4.png"]
    assert printed.splitlines() == [str(out / name) for name in names]
    assert sorted(p.name for p in out.iterdir()) == sorted(
        [*names, *(name.replace("png", "npz") for name in names)]
    )
    for name in names:
        with Image.open(out / name) as image:
            assert image.width > 500
    assert np.load(out / "maps-C1.npz")["maps"].shape == (6, 28, 28)
    assert np.load(out / "cam-squash4.npz")["Grad-CAM"].shape == (5, 5)
    assert np.load(out / "cam-squash4.npz")["class"] == 7


def test_without_an_image_a_test_image_is_used(run_cli, run):
    status, printed, _ = run_cli(run, "--what", "occlusion")
    assert status == 0
    assert printed.strip() == str(run / "see" / "occlusion.png")


def test_images_of_the_same_name_get_plates_of_different_names(run_cli, run, digit, tmp_path):
    out = tmp_path / "out"
    assert run_cli(run, digit, digit, "--what", "cam", "--out", out)[0] == 0
    assert sorted(p.name for p in out.iterdir()) == [
        "cam-my-digit.png-1.png", "cam-my-digit.png-2.png",
    ]  # fmt: skip


def intro(html: str) -> list[str]:
    """The text of the page between its header and its first plate, line by line."""
    part = html[html.index("<main>") : html.index('<figure id="')]
    return re.sub(r"(<[^>]*>|\n)+", "\n", part).strip().splitlines()


def test_a_page_opens_with_the_images_their_predictions_and_true_classes(
    run_cli, run, digit, tmp_path
):
    known = tmp_path / "7" / "one.png"
    known.parent.mkdir()
    known.write_bytes(digit.read_bytes())
    for word, files in {"file": [digit, known], "folder": [known.parent]}.items():
        status, _, err = run_cli(run, *files, "--what", "cam", "--out", tmp_path / f"{word}.html")
        assert (status, err) == (0, "")
    lines = intro((tmp_path / "file.html").read_text())
    (expected,) = predict(run, [digit])
    top = [text for name, p in expected.top for text in (name, f"{100 * p:.1f} %")]
    words = "The likeliest classes and their probabilities:"
    assert lines == ["my digit.png", words, *top, "one.png", words, *top, "true class: 7"]
    assert intro((tmp_path / "folder.html").read_text()) == [
        "one.png",
        words,
        *top,
        "true class: 7",
    ]
    html = (tmp_path / "file.html").read_text()
    assert re.findall(r'<img alt="([^":]*)"', html) == ["my digit.png", "one.png"]
    marked = re.findall(r'<tr class="true"><td>(\w+)</td>', html)
    assert marked == ["7"] * ("7" in [name for name, _ in expected.top])


def test_a_test_image_is_shown_with_its_true_class(run_cli, run, tmp_path):
    assert run_cli(run, "--what", "cam", "--out", tmp_path / "x.html")[0] == 0
    lines = intro((tmp_path / "x.html").read_text())
    assert lines[0] == "a test image"
    assert re.fullmatch(r"true class: \d", lines[-1])
    assert len(lines) == 2 + 2 * 5 + 1
    percent = [float(line[:-2]) for line in lines if line.endswith(" %")]
    assert percent == sorted(percent, reverse=True)
    assert sum(percent) <= 100.3


def test_plates_name_the_run_the_image_and_its_true_class(run, digit, tmp_path):
    known = tmp_path / "7" / "one.png"
    known.parent.mkdir()
    known.write_bytes(digit.read_bytes())
    (predicted, _), *_ = predict(run, [known])[0].top
    for plate in see(run, [known], ["cam"]):
        words = plate.figure.texts[1].get_text()
        line = f"{run.name}: lenet5 on digits · one.png, predicted {predicted}, true class 7 · "
        assert words.startswith(line)
    for plate in see(run, [digit], ["cam"]):
        assert "true class" not in plate.figure.texts[1].get_text()


@pytest.mark.slow
def test_all_kinds_are_one_page_without_external_links(run_cli, run, digit, tmp_path):
    status, printed, err = run_cli(run, digit, "--all", "--limit", 60, "--out", tmp_path / "x.html")
    assert (status, err) == (0, "")
    assert printed.splitlines()[-1] == str(tmp_path / "x.html")
    html = (tmp_path / "x.html").read_text()
    shown = re.findall(r'<figure id="([\w.-]+)">', html)
    left_out = re.findall(r"skipped: ([\w.-]+):", printed)
    for kind in KINDS:
        assert any(name.startswith(kind) for name in [*shown, *left_out]), kind
    assert {"filters", "deconv-C3", "strongest-S4", "cam", "health"} <= set(shown)
    assert "lenet5 has learnt" in html
    assert "http" not in re.sub(r"base64,[^\"]*", "", html)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--what", "camm"), "no kind of plate 'camm'; did you mean cam?"),
        (("--what", "cam", "--all"), "--what and --all exclude each other"),
        (("--layers", "C33"), "no layer 'C33'; did you mean C3?"),
        (("--maps", "a"), "--maps takes numbers such as 0,7, not 'a'"),
        (("--what", "maps", "--maps", "99"), "C1 has no map 99; choose from 0 to 5"),
        (("--class", "seven"), "no class 'seven'; choose from 0, 1"),
        (("--class", "10"), "no class '10'"),
        (("--limit", "3"), "limit must be at least 10, not 3"),
        (("--what", "cam", "--layers", "F6"), "F6 gives (84,), not feature maps"),
        (("nowhere.png",), "no such file: nowhere.png"),
        (("--device", "quantum"), "the device 'quantum' cannot be used here"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_written(run_cli, run, tmp_path, words, sentence):
    status, out, err = run_cli(run, *words, "--out", tmp_path / "out")
    assert (status, out) == (2, "")
    assert sentence in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_an_image_is_named(run_cli, run, digit, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"not an image")
    status, _, err = run_cli(run, digit, tmp_path / "broken.png")
    assert status == 2
    assert "broken.png cannot be read as an image" in err


def test_a_directory_without_a_run_is_reported_in_one_sentence(run_cli, tmp_path):
    status, _, err = run_cli(tmp_path)
    assert (status, "no run.json" in err) == (2, True)


def test_missing_data_only_affect_kinds_that_need_them(run_cli, run, digit, tmp_path):
    elsewhere = shutil.copytree(run, tmp_path / "run")
    config = json.loads((run / "run.json").read_text())
    (elsewhere / "run.json").write_text(json.dumps(config | {"data": str(tmp_path / "gone")}))
    status, _, err = run_cli(elsewhere, digit, "--what", "embedding")
    assert (status, "are no longer at" in err) == (2, True)
    status, out, _ = run_cli(elsewhere, digit, "--what", "cam")
    assert (status, out.strip()) == (0, str(elsewhere / "see" / "cam.png"))


def test_a_folder_is_searched_and_unreadable_files_are_named(run_cli, run, digit, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"not an image")
    status, out, err = run_cli(run, tmp_path, "--what", "cam", "--out", tmp_path / ".out")
    assert (status, out.strip()) == (0, str(tmp_path / ".out" / "cam.png"))
    assert "warning: skipped: " in err
    assert "broken.png cannot be read" in err
    digit.unlink()
    status, _, err = run_cli(run, tmp_path, "--what", "cam", "--out", tmp_path / "none")
    assert (status, "none of 1 images can be read" in err) == (2, True)


@pytest.mark.slow
def test_a_network_without_feature_maps_gets_the_other_plates(run_cli, tmp_path):
    (tmp_path / "flat.py").write_text(
        "from torch import nn\n"
        "def build(classes=4, channels=3):\n"
        "    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(),\n"
        "                         nn.Linear(channels, 9), nn.ReLU(), nn.Linear(9, classes))\n"
    )
    small = {"side": "32", "crop": "32"}
    training = train(f"{tmp_path}/flat.py:build", "synthetic", epochs=1, out=tmp_path / "flat",
                     overrides=small)  # fmt: skip
    training.finish()
    status, out, err = run_cli(
        training.directory, "--all", "--limit", 40, "--network", f"{tmp_path}/flat.py:build"
    )
    assert (status, err) == (0, "")
    left_out = set(re.findall(r"skipped: ([\w.-]+):", out))
    assert left_out >= {"filters", "maps", "deconv", "strongest", "occlusion", "cam"}
    assert not left_out & {"gradients", "embedding", "confusion", "probes", "invariance"}


SHARED = """from torch import nn
class Net(nn.Module):
    def __init__(self, classes, channels):
        super().__init__()
        self.d = nn.ModuleDict({"a/b$\\\\x{$": nn.Conv2d(channels, 6, 3)})
        self.relu, self.pool = nn.ReLU(), nn.MaxPool2d(2)
        self.file, self.fc = nn.Linear(6 * 81, 7), nn.Linear(7, classes)
    def forward(self, x):
        x = self.pool(self.relu(self.d["a/b$\\\\x{$"](x)))
        return self.fc(self.relu(self.file(x.flatten(1))))
def build(classes=4, channels=3):
    return Net(classes, channels)
"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A run on a folder and classes with dollar signs, of a network with such layers."""
    folder = tmp_path_factory.mktemp("x") / "m$\\bad{$"
    for k, name in enumerate(("$x$", "m$\\bad{$", "<b>&\"'", "a\x1b[31m", "two\nlines", "n" * 200)):
        (folder / name).mkdir(parents=True)
        for i in range(10):
            Image.new("L", (28, 28), 40 * k + i).save(folder / name / f"{i}.png")
    (folder.parent / "net.py").write_text(SHARED)
    small = {"side": "20", "crop": "20", "batch": "5"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingAdvice)  # of few steps
        training = train(f"{folder.parent}/net.py:build", str(folder), epochs=1, overrides=small,
                         out=folder.parent / "run $\\y{$")  # fmt: skip
    training.finish()
    return training.directory, "--network", f"{folder.parent}/net.py:build"


@pytest.mark.filterwarnings("error::UserWarning")
def test_plates_of_long_and_odd_file_names_get_different_safe_names(run_cli, hostile, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a" * 250, "b" * 250, "a" * 249 + "c", "x$y${", "q<&\" '", "Q<&\" '", "猫" * 80):
        Image.new("L", (28, 28), 90).save(images / f"{name}.png"[-255:])
    out = tmp_path / "out"
    status, printed, err = run_cli(*hostile, images, "--what", "cam,maps", "--npz", "--out", out)
    assert (status, err) == (0, "")
    written = sorted(p.name for p in out.glob("*.png"))
    assert sorted(printed.splitlines()) == [str(out / name) for name in written]
    assert len({name.casefold() for name in written}) == 7 + 7 * 3
    assert max(len(name.encode()) for name in written) < 130
    assert not re.search(r'[<>:"/\\|?*\x00-\x1f$]', "".join(written))


@pytest.mark.slow
@pytest.mark.filterwarnings("error::UserWarning")
def test_every_kind_is_drawn_for_names_that_look_like_formulas(run_cli, hostile, tmp_path):
    status, out, err = run_cli(*hostile, "--all", "--limit", 20, "--npz",
                               "--out", tmp_path / "x.html")  # fmt: skip
    assert (status, err) == (0, "")
    assert set(re.findall(r"skipped: ([\w.-]+):", out)) <= {"mistakes", "embedding"}
    html = (tmp_path / "x.html").read_text()
    assert "m$\\bad{$" in html
    assert "\x1b" not in html
    assert "file" in np.load(tmp_path / "probes.npz")


def test_a_call_of_a_layer_is_named_as_show_prints_it(run_cli, hostile, tmp_path):
    words = ("--what", "maps", "--npz", "--out", tmp_path / "out", "--layers")
    status, out, _ = run_cli(*hostile, *words, "relu,relu (1),relu (2)")
    assert (status, len(out.splitlines())) == (0, 3)
    shapes = [np.load(file)["maps"].shape for file in sorted((tmp_path / "out").glob("*.npz"))]
    assert shapes == [(6, 18, 18), (7, 1, 1), (6, 18, 18)]  # relu-1, relu-2, relu
    status, _, err = run_cli(*hostile, *words, "relu (3)")
    assert (status, "there is no call 'relu (3)'; the layer runs 2 times" in err) == (2, True)


def test_plates_that_cannot_be_drawn_are_named_and_the_others_drawn(run_cli, run, digit, tmp_path):
    out = tmp_path / "out"
    words = ("--what", "cam,maps,filters", "--layers", "F6,C3", "--out", out)
    status, printed, err = run_cli(run, digit, *words)
    assert status == 0
    assert err.splitlines() == [
        "skipped: cam-F6: F6 gives (84,), not feature maps, which Grad-CAM needs"
    ]
    names = ["cam-C3.png", "maps-F6.png", "maps-C3.png", "filters-C3.png"]
    assert printed.splitlines() == [str(out / name) for name in names]
    assert sorted(p.name for p in out.iterdir()) == sorted(names)


def test_filters_of_a_layer_without_them_are_refused(run_cli, run, tmp_path):
    words = ("--what", "filters", "--layers", "F6", "--out", tmp_path / "out")
    status, out, err = run_cli(run, *words)
    assert (status, out) == (2, "")
    assert "F6 is a Linear without filters; choose from C1, C3, C5" in err
    assert not (tmp_path / "out").exists()


def test_a_single_plate_is_written_as_the_png_file_that_is_named(run_cli, run, tmp_path):
    done = run_cli(run, "--what", "filters", "--out", tmp_path / "new" / "one.PNG", "--npz")
    assert (done.status, done.out.strip()) == (0, str(tmp_path / "new" / "one.PNG"))
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["one.PNG", "one.npz"]
    with Image.open(tmp_path / "new" / "one.PNG") as image:
        assert image.format == "PNG"
    (written,) = see(run, what="filters").save(tmp_path / "two.png")
    assert written.read_bytes() == (tmp_path / "new" / "one.PNG").read_bytes()


@pytest.mark.parametrize(
    ("words", "name", "reason"),
    [
        ((), "a b.png", r"a b.png is one image, but there are \d+ plates: filters, maps-.* and \d+ "
         r"more; give a directory, such as '.*a b', or ask for one plate"),
        (("--all",), "one.png", r"is one image, but there are \d+ plates"),
        (("--what", "filters"), "one.jpg", "written as PNG files or one HTML page, not .jpg: "),
        (("--what", "filters"), "one.pdf", "written as PNG files or one HTML page, not .pdf: "),
    ],
)  # fmt: skip
def test_several_plates_in_one_file_and_other_formats_are_refused(
    run_cli, run, tmp_path, words, name, reason
):
    done = run_cli(run, *words, "--out", tmp_path / name)
    assert (done.status, done.out) == (2, "")
    assert re.search(reason, done.err)
    assert list(tmp_path.iterdir()) == []
