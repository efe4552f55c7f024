"""Runs on the hub: pushed, named wherever a run is, and never trusted."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from PIL import Image
from safetensors.torch import save

import classicnets as cn
from classicnets.api.push import stage
from classicnets.hub.client import READ, WRITTEN
from classicnets.support.progress import progress
from classicnets.training.run.directory import open_run

NAME = "hf:ada/photos"


@pytest.fixture(scope="session")
def published(run, tmp_path_factory) -> dict[str, bytes]:
    """The files that are pushed."""
    folder = stage(open_run(run), tmp_path_factory.mktemp("staged") / "photos").directory
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name in WRITTEN}


@pytest.fixture
def pushed(hub, published):
    hub.repos["ada/photos"] = {}
    hub.commit("ada/photos", dict(published))
    return hub


@pytest.fixture(scope="session")
def image(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("image") / "a.png"
    Image.effect_noise((40, 36), 80).save(path)
    return path


def said(run_cli, *words: object) -> str:
    """The one sentence of a command that is refused."""
    done = run_cli(*words)
    assert done.status == 2, done.out
    (line,) = done.err.splitlines()
    return line.removeprefix("classicnets: ")


def test_what_is_pushed_is_the_run_without_the_paths_of_this_machine(run_cli, hub, run, photos):
    done = run_cli("push", run, "ada/photos", "--licence", "mit")
    assert (done.status, done.err) == (0, "")
    assert re.match(rf"hf:ada/photos: 7 files, 0.\d MB, at {hub.url}/ada/photos\n", done.out)
    files = hub.repos["ada/photos"]["main"]
    assert {*files} - {".gitattributes"} == {
        *("run.json", "weights.safetensors", "design.net", "metrics.csv", "metrics.jsonl"),
        *("curve.png", "README.md"),
    }
    for name, content in files.items():
        assert str(photos.parent).encode() not in content, name
        assert b"/tmp" not in content, name
    stored = json.loads(files["run.json"])
    assert (stored["network"], stored["data"]) == ("small.net", "photos")
    assert files["metrics.csv"] == (run / "metrics.csv").read_bytes()
    assert not [one for one in hub.asked if "validate" in one and "GET" in one]


def test_the_verbs_take_a_place_on_the_hub_where_they_take_a_run(
    run_cli, pushed, run, photos, image, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert run_cli("predict", NAME, image).out == run_cli("predict", run, image).out
    done = run_cli("evaluate", NAME, "--data", photos, "--json")
    here = json.loads(run_cli("evaluate", run, "--json").out)
    assert json.loads(done.out)["top1_error"] == here["top1_error"]
    rows = json.loads(run_cli("compare", run, NAME, "--json").out)
    assert rows[0]["validation_top1_error"] == rows[1]["validation_top1_error"]
    assert rows[1]["same_data"]
    done = run_cli("see", NAME, image, "--what", "filters")
    assert done.out.splitlines() == ["photos/see/filters.png"]
    assert run_cli("export", NAME, "--out", "a.safetensors", "--data", photos).status == 0
    weights = [cn.load(one).state_dict() for one in (run, f"{NAME}@main")]
    assert all(torch.equal(t, weights[1][name]) for name, t in weights[0].items())


@pytest.mark.slow
def test_a_training_starts_from_a_run_on_the_hub(run_cli, pushed, run, photos, tmp_path):
    (tmp_path / "small.net").write_text((run / "design.net").read_text())
    words = ("--data", photos, "--epochs", 1, "--out", tmp_path / "new")
    done = run_cli("train", tmp_path / "small.net", "--weights", NAME, *words)
    assert done.status == 0, done.err
    assert (
        json.loads((tmp_path / "new/run.json").read_text())["recipe"]["init"]["kind"] == "FromRun"
    )


def test_resuming_needs_a_checkpoint_which_the_hub_does_not_have(run_cli, pushed):
    assert said(run_cli, "train", "--resume", NAME) == (
        "hf:ada/photos is on the hub, which has no checkpoint to resume from; a new run starts "
        "from its weights with --init-from hf:ada/photos"
    )
    assert pushed.asked == []


def test_the_data_of_a_pushed_run_are_asked_for(run_cli, pushed):
    assert said(run_cli, "evaluate", NAME) == (
        "the data of the run, photos, are not with it; name their place with --data PLACE"
    )


def test_only_the_files_of_a_run_are_fetched_and_once(pushed, run, image):
    files = pushed.repos["ada/photos"]["main"]
    files |= {"evil.py": b"raise SystemExit", "last.pt": b"\x80", "a/run.json": b"{}"}
    told: list[tuple[str, int, int]] = []
    token = progress.set(lambda *now: told.append(now))
    cn.load(NAME)
    progress.reset(token)
    whole = sum(len(files[name]) for name in READ if name in files)
    assert told[-1] == (NAME, whole, whole)
    got = sorted(one.rpartition("/")[2] for one in pushed.asked if one.startswith("GET /ada"))
    assert got == ["design.net", "metrics.jsonl", "run.json", "weights.safetensors"]
    pushed.asked.clear()
    cn.predict(NAME, image)
    assert not [one for one in pushed.asked if one.startswith("GET /ada")]


def test_the_code_that_a_run_on_the_hub_names_is_not_run(run_cli, pushed, image, tmp_path):
    files = pushed.repos["ada/photos"]["main"]
    content = json.loads(files["run.json"])
    (tmp_path / "evil.py").write_text("import pathlib; pathlib.Path(__file__).unlink()")
    files["run.json"] = json.dumps({**content, "network": f"{tmp_path}/evil.py:net"}).encode()
    assert "whose code runs only when you name it" in said(run_cli, "predict", NAME, image)
    assert (tmp_path / "evil.py").exists()


def test_a_place_that_exists_is_replaced_by_a_commit_only_if_wanted(run_cli, pushed, run, image):
    assert said(run_cli, "push", run, "ada/photos") == (
        "hf:ada/photos exists; add --exist-ok to replace the run there by a new commit"
    )
    before = pushed.sha("ada/photos", "main")
    pushed.commit("ada/photos", pushed.repos["ada/photos"]["main"] | {"mean.safetensors": b"old"})
    cn.push(run, "ada/photos", exist_ok=True)
    files = pushed.repos["ada/photos"]["main"]
    assert "mean.safetensors" not in files
    assert b"license" not in files["README.md"]
    older = cn.predict(f"{NAME}@{before}", image)
    assert older[0].top == cn.predict(run, image)[0].top


def test_what_answers_wrongly_or_not_at_all_is_no_hub(run_cli, hub, image, monkeypatch):
    monkeypatch.setattr("classicnets.hub.client.TIMEOUT", 0.2)
    for name, reason in (("page", "it does not answer as a hub does"), ("silence", "timed out")):
        assert said(run_cli, "predict", f"hf:ada/{name}", image) == (
            f"the hub cannot be reached for hf:ada/{name}: {reason}; with HF_HUB_OFFLINE=1 what "
            "was fetched before is used"
        )


@pytest.mark.parametrize(
    ("name", "token", "sentence"),
    [
        (
            "hf:ada/none",
            True,
            "there is no hf:ada/none on the hub, or it is private and not yours",
        ),
        (
            "hf:ada/photos",
            False,
            "the hub does not show hf:ada/photos to you: it is private or not there; log in with "
            "`hf auth login`, or set HF_TOKEN",
        ),
        ("hf:ada/photos@v9", True, "there is no revision v9 of hf:ada/photos"),
        (
            "hf:photos",
            True,
            "'hf:photos' cannot be a place on the hub; it is written user/name, or "
            "user/name@revision",
        ),
        (
            "hf:../../etc/x",
            True,
            "'hf:../../etc/x' cannot be a place on the hub; it is written user/name, or "
            "user/name@revision",
        ),
    ],
)
def test_what_cannot_be_fetched_is_said_in_one_sentence(
    run_cli, pushed, image, monkeypatch, name, token, sentence
):
    pushed.private.add("ada/photos")
    if not token:
        monkeypatch.delenv("HF_TOKEN")
    assert said(run_cli, "predict", name, image) == sentence


def test_a_private_run_is_pushed_and_read_with_the_token_of_the_login(
    run_cli, hub, run, image, monkeypatch
):
    monkeypatch.delenv("HF_TOKEN")
    assert said(run_cli, "push", run, "ada/photos") == (
        "the hub does not show hf:ada/photos to you: it is private or not there; log in with "
        "`hf auth login`, or set HF_TOKEN"
    )
    login = Path(huggingface_hub.constants.HF_TOKEN_PATH)
    login.parent.mkdir(parents=True, exist_ok=True)
    login.write_text("hf_standin")
    cn.push(run, "ada/photos", private=True)
    assert "ada/photos" in hub.private
    assert len(cn.predict(NAME, image)) == 1


def test_another_users_place_is_refused(run_cli, hub, run):
    assert said(run_cli, "push", run, "bob/photos").startswith(
        "the hub does not let you do this with hf:bob/photos; log in with"
    )
    assert said(run_cli, "push", run, "ada/photos@v1") == (
        "a run is pushed to user/name without a revision, not to ada/photos@v1"
    )


def test_without_a_connection_what_was_fetched_is_used_if_asked_for(
    run_cli, pushed, run, image, monkeypatch
):
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert said(run_cli, "predict", NAME, image) == (
        "hf:ada/photos has not been fetched before, and HF_HUB_OFFLINE is set"
    )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    online = cn.predict(NAME, image)[0].top
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert cn.predict(NAME, image)[0].top == online
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    line = said(run_cli, "predict", NAME, image)
    assert line.startswith("the hub cannot be reached for hf:ada/photos: ")
    assert line.endswith("with HF_HUB_OFFLINE=1 what was fetched before is used")
    line = said(run_cli, "push", run, "ada/photos")
    assert line.startswith("the hub cannot be reached for hf:ada/photos: ")
    assert "HF_HUB_OFFLINE" not in line


def test_without_the_package_the_extra_is_named(run_cli, run, image, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert said(run_cli, "predict", NAME, image) == (
        "hf:ada/photos is on the hub, which needs huggingface_hub: pip install 'classicnets[hub]'"
    )
    assert "pip install 'classicnets[hub]'" in said(run_cli, "push", run, "ada/photos")


@pytest.mark.parametrize(
    ("name", "size"), [("run.json", 2**24 + 1), ("weights.safetensors", 2**32 + 1)]
)
def test_a_file_beyond_its_size_is_not_fetched(run_cli, pushed, image, name, size):
    pushed.sizes[name] = size
    assert said(run_cli, "predict", NAME, image).startswith(
        f"{name} of hf:ada/photos has {size:,} bytes; at most "
    )
    assert not [one for one in pushed.asked if one.startswith("GET /ada")]


def changed(hub, change) -> None:
    files = dict(hub.repos["ada/photos"]["main"])
    content = json.loads(files["run.json"])
    change(content)
    hub.commit("ada/photos", files | {"run.json": json.dumps(content).encode()})


def test_a_python_file_that_a_run_names_is_not_run(run_cli, pushed, image, tmp_path):
    file = tmp_path / "evil.py"
    file.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef net(classes, channels): pass\n")
    changed(pushed, lambda run: run.update(network=f"{file}:net"))
    line = said(run_cli, "predict", NAME, image)
    assert "is a run of your own network" in line
    assert "whose code runs only when you name it" in line
    assert not (tmp_path / "ran").exists()


def test_a_damaged_run_and_what_is_none_are_refused(run_cli, pushed, image):
    changed(pushed, lambda run: run.update(seed="x"))
    assert "run.json is damaged: seed" in said(run_cli, "predict", NAME, image)
    files = dict(pushed.repos["ada/photos"]["main"])
    pushed.commit("ada/photos", files | {"weights.safetensors": save({"x": torch.ones(1)})})
    assert "run.json is damaged" in said(run_cli, "evaluate", NAME)
    del files["run.json"]
    pushed.commit("ada/photos", files)
    assert said(run_cli, "compare", NAME) == "hf:ada/photos is not a run: it has no run.json"


def test_a_run_without_weights_or_a_licence_that_is_no_word_is_not_pushed(
    run_cli, hub, run, tmp_path
):
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    (copy / "weights.safetensors").unlink()
    assert said(run_cli, "push", copy, "ada/photos") == (
        f"{copy} has no weights yet: no weights.safetensors"
    )
    assert said(run_cli, "push", run, "ada/photos", "--licence", "My own!") == (
        "licence cannot be 'My own!'; it is a word such as mit or cc-by-4.0"
    )
    assert hub.repos == {}


@pytest.mark.slow
def test_the_environment_says_where_the_hub_is(hub, run, image, tmp_path):
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": "hf_standin",
        "HF_HUB_DISABLE_XET": "1",
        "OMP_NUM_THREADS": "1",
    }
    for words in (("push", run, "ada/photos"), ("predict", NAME, image)):
        done = subprocess.run(
            [sys.executable, "-m", "classicnets", *map(str, words)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), words
    assert re.search(r"dark|light", done.stdout)
