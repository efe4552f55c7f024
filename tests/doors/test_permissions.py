"""Files and folders without permission: one sentence with the file and the reason, whatever reads.

Root may do everything, so as root the commands run under the user id of nobody.
"""

import ftplib  # noqa: F401  # before the user id changes: Python may lie in root's own folder
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

import classicnets as cn
from classicnets.api.pack import pack

NOBODY = 65534
DENIED = "Permission denied"
CLOSED, READ_ONLY, LISTED_ONLY = 0, 0o555, 0o444

pytestmark = pytest.mark.skipif(not hasattr(os, "setresuid"), reason="needs permissions of Linux")


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """A folder of nobody's, in which nothing above is closed as in pytest's own folders."""
    root = Path(tempfile.mkdtemp())
    for k, name in enumerate(("dark", "light")):
        (root / "d" / name).mkdir(parents=True)
        for i in range(4):
            Image.new("L", (16, 16), 100 * k + i).save(root / "d" / name / f"{i}.png")
    rows = "".join(f"d/{name}/{i}.png,{name}\n" for name in ("dark", "light") for i in range(4))
    (root / "list.csv").write_text(rows)
    shutil.copy(root / "d" / "dark" / "0.png", root / "x.png")
    pack(str(root / "d"), root / "x.pack", side=16)
    (root / "net.py").write_text("def net(classes, channels): pass\n")
    cn.train("lenet5", str(root / "d"), "fast", 1, root / "run").finish()
    (root / "cache" / "mnist").mkdir(parents=True)
    (root / "cache" / "mnist" / "train-images-idx3-ubyte.gz").touch()
    (root / "cache" / "svhn").mkdir()
    (root / "there").mkdir()
    for path in (root, *root.rglob("*")):
        if os.geteuid() == 0:
            os.chown(path, NOBODY, NOBODY)
    yield root
    shutil.rmtree(root)


@contextmanager
def permitted(path: Path, mode: int) -> Iterator[None]:
    """Only `mode` is permitted on this path, to this process as to any user."""
    before, user = path.stat().st_mode, os.geteuid()
    path.chmod(mode)
    try:
        if user == 0:
            os.setresuid(NOBODY, NOBODY, user)
        yield
    finally:
        if user == 0:
            os.setresuid(user, user, user)
        path.chmod(before)


TRAIN = "train lenet5 --recipe fast --epochs 1 --out {root}/out --data "
SEE = "see {root}/run {root}/x.png --what maps"
CASES = {
    # closed path, what is permitted, words, message
    "folder": ("d", CLOSED, TRAIN + "{root}/d", f"{{path}}: {DENIED}"),
    "listed folder": ("d", LISTED_ONLY, TRAIN + "{root}/d", f"{{path}}/dark: {DENIED}"),
    "class folder": ("d/dark", CLOSED, TRAIN + "{root}/d", f"{{path}}: {DENIED}"),
    "table": ("list.csv", CLOSED, TRAIN + "{root}/list.csv", f"{{path}}: {DENIED}"),
    "packed file": ("x.pack", CLOSED, TRAIN + "{root}/x.pack", f"{{path}}: {DENIED}"),
    "image": (
        "d/dark/0.png",
        CLOSED,
        TRAIN + "{root}/d --unreadable refuse",
        f"{{path}} cannot be read as an image: {DENIED}",
    ),
    "file of a network": (
        "net.py",
        CLOSED,
        "show {root}/net.py:net --input 1x16x16",
        f"{{path}} does not run: PermissionError: [Errno 13] {DENIED}: '{{path}}'",
    ),
    "placed file": (
        "cache/mnist/train-images-idx3-ubyte.gz",
        CLOSED,
        TRAIN + "mnist",
        f"{{path}}: {DENIED}",
    ),
    "cache": ("cache", READ_ONLY, TRAIN + "cifar10", f"{{path}}/cifar10: {DENIED}"),
    "folder of the cache": (
        "cache/svhn",
        READ_ONLY,
        TRAIN + "svhn",
        "no permission to write {path}",
    ),
    "parent of a new run": (
        "there",
        READ_ONLY,
        TRAIN.replace("{root}/out", "{root}/there/out") + "{root}/d",
        "cannot write the run to {path}/out: no permission to write {path}",
    ),
    "directory of a new run": (
        "there",
        READ_ONLY,
        TRAIN.replace("{root}/out", "{root}/there") + "{root}/d",
        "cannot write the run to {path}: no permission to write {path}",
    ),
    "run": ("run", CLOSED, "evaluate {root}/run", f"{{path}}/run.json: {DENIED}"),
    "run.json": (
        "run/run.json",
        CLOSED,
        "evaluate {root}/run",
        f"{{path}} cannot be read: {DENIED}",
    ),
    "metrics": (
        "run/metrics.jsonl",
        CLOSED,
        "compare {root}/run",
        f"{{path}} cannot be read: {DENIED}",
    ),
    "weights": (
        "run/weights.safetensors",
        CLOSED,
        "predict {root}/run {root}/x.png",
        f"{{path}} cannot be read: {DENIED}",
    ),
    "checkpoint": (
        "run/last.pt",
        CLOSED,
        "train --resume {root}/run",
        f"{{path}} cannot be read: {DENIED}",
    ),
    "run to resume": (
        "run",
        READ_ONLY,
        "train --resume {root}/run",
        f"cannot write {{path}}/metrics.csv: {DENIED}",
    ),
    "what may be a verb": (
        "d",
        CLOSED,
        "{root}/d/dark",
        "no command '{path}/dark'; choose from list, show, weights, design, diff, suggest, speed, "
        "plan, recipe, train, experiment, study, evaluate, predict, compare, see, export, push, "
        "serve, web, pack, demo",
    ),
    "what may be a network": (
        "d",
        CLOSED,
        "show {root}/d/dark",
        "no network '{path}/dark'; there are those of the papers on LeNet, AlexNet, ZFNet, VGG, "
        "GoogLeNet and ResNet, which `classicnets list` shows, and my.net or "
        "path/to/file.py:builder for your own",
    ),
    "what may be an option of another tool": (
        "d",
        CLOSED,
        "train {root}/d/dark lenet5",
        "train takes one network, and data after --data; write: classicnets train {path}/dark "
        "--data lenet5",
    ),
    "folder of figures": ("run", READ_ONLY, SEE, f"{{path}}/see: {DENIED}"),
    "images": ("d", CLOSED, "predict {root}/run {root}/d", f"{{path}}: {DENIED}"),
    "named image": (
        "x.png",
        CLOSED,
        "predict {root}/run {root}/x.png",
        f"{{path}} cannot be read as an image: {DENIED}",
    ),
    "other data": ("d", CLOSED, "evaluate {root}/run --data {root}/d", f"{{path}}: {DENIED}"),
    "new table": (
        "there",
        READ_ONLY,
        "evaluate {root}/run --per-class {root}/there/x.csv",
        f"cannot write {{path}}/x.csv: {DENIED}",
    ),
    "new figure": (
        "there",
        READ_ONLY,
        "evaluate {root}/run --png {root}/there/x.png",
        f"cannot write {{path}}/x.png: {DENIED}",
    ),
    "new exported file": (
        "there",
        READ_ONLY,
        "export {root}/run --out {root}/there/x.pt2",
        f"cannot write {{path}}/x.pt2: {DENIED}",
    ),
    "pushed weights": (
        "run/weights.safetensors",
        CLOSED,
        "push {root}/run ada/run",
        f"{{path}} cannot be read: {DENIED}",
    ),
    "new packed file": (
        "there",
        READ_ONLY,
        "pack {root}/d {root}/there/x.pack",
        f"cannot write {{path}}/x.pack: {DENIED}",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_not_permitted_is_reported_in_one_sentence(run_cli, monkeypatch, root, name):
    closed, mode, words, message = CASES[name]
    monkeypatch.setenv("CLASSICNETS_DATA", str(root / "cache"))
    with permitted(root / closed, mode):
        assert not os.access(root / closed, os.W_OK)
        done = run_cli(*words.format(root=root).split())
    assert (done.status, done.err) == (
        2,
        f"classicnets: {message.format(path=root / closed)}\n",
    ), done.out
    assert not (root / "out").exists()
    assert not list((root / "there").iterdir())
