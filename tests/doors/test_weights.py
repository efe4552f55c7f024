"""Published weights on the command line: fetched once, then used wherever a run is."""

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from hashlib import sha1, sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
from PIL import Image

from classicnets.api import pretrained
from classicnets.data.download import Remote
from classicnets.models.resnet import resnet
from classicnets.weights.bridges import BRIDGES
from classicnets.weights.released import RELEASED, find_released

NAME = "resnet18-made.pth"


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Path:
    """A folder with random weights of ResNet-18, as torchvision names them."""
    root = tmp_path_factory.mktemp("served")
    torch.manual_seed(0)
    network = resnet(18)
    names = dict(BRIDGES[0].names(network))
    torch.save({names[n]: t for n, t in network.state_dict().items()}, root / NAME)
    return root


@pytest.fixture
def world(served, tmp_path, monkeypatch) -> Iterator[Path]:
    """A cache of its own, and the first release of ResNet-18 served from this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    monkeypatch.setenv("CLASSICNETS_DATA", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=served)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        digest = sha256((served / NAME).read_bytes()).hexdigest()[:8]
        url = f"http://127.0.0.1:{server.server_port}/"
        _release(monkeypatch, Remote(NAME, "", (url,), sha256=digest))
        try:
            yield tmp_path
        finally:
            server.shutdown()


def _release(monkeypatch, remote: Remote) -> None:
    made = tuple(
        replace(one, file=remote) if one.network == "resnet18" else one for one in RELEASED
    )
    monkeypatch.setattr("classicnets.weights.released.RELEASED", made)
    monkeypatch.setattr(pretrained, "RELEASED", made)


@pytest.fixture
def photos(tmp_path) -> Path:
    for i in range(5):
        for name, colour in (("n01440764", "gold"), ("n03888257", "blue")):
            folder = tmp_path / "photos" / name
            folder.mkdir(parents=True, exist_ok=True)
            Image.effect_noise((60 + i, 50), 90).convert("RGB").save(folder / f"{colour}{i}.png")
    return tmp_path / "photos"


def test_a_network_is_used_like_a_run_and_its_weights_are_fetched_once(
    world, photos, run_cli, monkeypatch
):
    photo = photos / "n01440764/gold0.png"
    first = run_cli("predict", "ResNet-18", photo, "--json")
    assert first.status == 0, first.err
    assert len(json.loads(first.out)[0]["top"]) == 5
    kept = world / "cache/weights/resnet18@torchvision"
    assert (kept / "run.json").exists()
    _release(monkeypatch, Remote(NAME, "", ("http://127.0.0.1:1/",), sha256="0"))  # not needed
    shutil.rmtree(world / "cache/weights/none", ignore_errors=True)
    again = run_cli("predict", "resnet18@torchvision", photo, "--json")
    assert again.out == first.out
    own = run_cli("evaluate", "resnet18")
    assert (own.status, own.err.count("\n")) == (2, 1)
    assert "were trained elsewhere, on ImageNet (ILSVRC 2012); name images" in own.err
    assert "--data FOLDER" in own.err
    on_photos = run_cli("evaluate", "resnet18", "--data", photos)
    assert on_photos.status == 0, on_photos.err
    assert "parachute" in on_photos.out
    rows = json.loads(run_cli("weights", "resnet18", "--json").out)
    assert [row["run"] for row in rows] == [str(kept)]
    assert " yes " in run_cli("weights", "resnet18").out


def test_training_starts_from_published_weights_and_from_a_file(world, served, photos, run_cli):
    words = ("train", "resnet18", "--data", photos, "--set", "steps=1", "--img-size", 64, "-b", 2)
    words += ("--seed", 1, "--device", "cpu", "--allow-missing-classes")
    shown = {}
    for name, start in (("a", "torchvision"), ("b", served / NAME)):
        done = run_cli(*words, "--weights", start, "--out", world / name)
        assert done.status == 0, done.err
        assert "except fc, which is new" in done.out
        assert "Normalise(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))" in done.out
        shown[name] = (world / name / "metrics.jsonl").read_text()
    strip = [{k: v for k, v in json.loads(s).items() if "second" not in k} for s in shown.values()]
    assert strip[0] == strip[1]  # the same weights by two ways


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["predict", "resnet18@keras", "a.png"], "no weights of resnet18 from keras; choose from"),
        (
            ["predict", "resnet50@caffe", "a.png"],
            "resnet50 from caffe; those fit resnet50-msra.net",
        ),
        (["train", "resnet50", "--weights", "torchvision"], "those fit resnet50_v15"),
        (["predict", "alexnet", "a.png"], "published weights; those of alexnet-bvlc.net are"),
        (["predict", "resnet34_b", "a.png"], "neither a run directory nor a network with publi"),
        (["predict", "runs/none", "a.png"], "no run at runs/none"),
        (["weights", "lenet5"], "no published weights of lenet5; there are those of alexnet-b"),
        (["weights", "resnet18", "--from", "none.pth"], "--from and --out go together"),
        (["weights", "resnet18", "--from", "none.pth", "--out", "r"], "no file of weights at none"),
        (["train", "resnet18", "--weights", "none.pth"], "no run at none.pth"),
        (["train", "lenet5", "--weights", "torchvision"], "lenet5@torchvision is neither"),
    ],
)
def test_a_mistake_is_one_sentence(world, run_cli, words, reason):
    done = run_cli(*words)
    assert (done.status, done.err.count("\n")) == (2, 1), done.err
    assert reason in done.err


def test_a_file_that_is_not_the_published_one_is_refused_and_not_kept(world, run_cli, monkeypatch):
    remote = find_released("resnet18").file  # pyright: ignore[reportOptionalMemberAccess]
    _release(monkeypatch, replace(remote, sha256="00000000"))
    done = run_cli("predict", "resnet18", "a.png")
    assert done.status == 2
    assert "its SHA-256 sum differs" in done.err
    assert "put it at" in done.err
    assert not list((world / "cache/weights").glob("*"))


def test_a_file_with_a_sum_by_sha_1_is_compared_with_it(
    world, served, photos, run_cli, monkeypatch
):
    mirrors = find_released("resnet18").file.mirrors  # pyright: ignore[reportOptionalMemberAccess]
    _release(monkeypatch, Remote(NAME, "", mirrors, sha1="0" * 40))
    done = run_cli("predict", "resnet18", photos)
    assert (done.status, "its SHA-1 sum differs" in done.err) == (2, True)
    whole = sha1((served / NAME).read_bytes()).hexdigest()
    _release(monkeypatch, Remote(NAME, "", mirrors, sha1=whole))
    assert run_cli("predict", "resnet18", photos).status == 0


def test_a_file_becomes_a_run_where_one_wants_it(world, served, photos, run_cli):
    done = run_cli("weights", "resnet18", "--from", served / NAME, "--out", "here")
    assert (done.status, done.out) == (
        0,
        f"here: resnet18 with weights of torchvision, {NAME}, trained elsewhere\n",
    )
    content = json.loads(Path("here/run.json").read_text())
    assert content["published"]["sha256"] == sha256((served / NAME).read_bytes()).hexdigest()
    assert run_cli("predict", "here", photos).status == 0
    judged = run_cli("evaluate", "here", "--data", photos)
    assert (judged.status, judged.err) == (0, "")  # no training that has not ended
    again = ("weights", "resnet18", "--from", served / NAME, "--out", "here")
    refused = run_cli(*again)
    assert refused.status == 2
    assert "here is not empty" in refused.err
    assert "--exist-ok to replace the run there" in refused.err
    assert run_cli(*again, "--exist-ok").status == 0
    before = sorted(photos.rglob("*"))
    among = run_cli("weights", "resnet18", "--from", served / NAME, "--out", photos)
    assert "is not empty" in among.err
    assert sorted(photos.rglob("*")) == before  # no lock either
    part = run_cli("train", "resnet18", "--weights", "here/weights.safetensors", "--data", photos)
    assert part.err == "classicnets: here/weights.safetensors is a part of a run; name that, here\n"
    resumed = run_cli("train", "--resume", "here", "--data", photos)
    assert "no checkpoint here/last.pt to resume from" in resumed.err


def test_pixels_and_differences_of_each_file_are_listed(run_cli):
    rows = {one["weights"]: one for one in json.loads(run_cli("weights", "--json").out)}
    keras, torchvision = rows["resnet50@keras"], rows["resnet50_v15@torchvision"]
    assert keras["pixels"] == {
        "order": "BGR",
        "range": [0, 255],
        "mean": [103.939, 116.779, 123.68],  # as Caffe's and Keras's documentation have them
        "std": [1, 1, 1],
    }
    assert len(keras["differences"]) == 3
    mean = [255 * m for m in (0.485, 0.456, 0.406)]  # as torchvision's has them
    assert torchvision["pixels"]["mean"] == pytest.approx(mean)
    assert (torchvision["pixels"]["order"], torchvision["differences"]) == ("RGB", [])


def test_no_line_of_the_table_is_longer_than_100_columns(run_cli):
    assert max(map(len, run_cli("weights").out.splitlines())) <= 100


PAGE = (Path(__file__).parents[2] / "docs/weights.md").read_text(encoding="utf-8")
FIRST, TUNING, CAFFE = (
    block.splitlines() for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.M | re.S)
)
# the others need a run, hours, or a large file; test_freeze and test_caffemodel have small ones
COMMANDS = [*FIRST, *TUNING[:2], CAFFE[0]]


def test_the_commands_of_the_page_run_one_after_another(world, served, photos, run_cli):
    shutil.copy(served / NAME, "resnet18.pth")
    shutil.copy(photos / "n01440764/gold0.png", "photo.jpg")
    shutil.copytree(photos, "path/to/imagenette")
    shutil.copytree(photos, "path/to/folder")
    for line in COMMANDS:
        short = ["--set", "steps=1", "--img-size", 64] if " train " in line else []
        done = run_cli(*shlex.split(line)[1:], *short)
        assert done.status == 0, (line, done.err)


def test_the_page_lists_the_released_weights():
    rows = re.findall(r"^\| `(\S+@\S+)` \| ([\d.]+) / ([\d.]+) \|", PAGE, re.MULTILINE)
    listed = [(one.name, *(f"{error:.2f}" for error in one.errors)) for one in RELEASED]
    assert rows == listed
