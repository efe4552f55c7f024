"""Run directories that are damaged or made by somebody else: every verb ends in one sentence."""

import copy
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

DEEP = "[" * 100_000 + "]" * 100_000
VALUES = [
    *(None, True, -1, 0, 3, 2**31, 2**63, int("9" * 400), 0.5, -0.5, float("nan"), float("inf")),
    *(1e300, "", "x", "\x1b]0;x\x07", "\ud800", [], [1], {}, {"kind": "SGD"}, {"kind": 3}),
    *([[]] * 3, ["a"] * 3, "../../etc/passwd", "mine.py:net", {"a": {"b": []}}),
]


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("image") / "a.png"
    Image.new("L", (28, 28), 40).save(path)
    return path


@pytest.fixture(scope="module")
def verbs(run_cli, image) -> Callable[[Path], dict[str, Any]]:
    """What each verb that opens a run makes of it."""

    def walk(run: Path) -> dict[str, Any]:
        words = {
            "predict": ("predict", run, image),
            "evaluate": ("evaluate", run),
            "see": ("see", run, image, "--what", "filters"),
            "compare": ("compare", run),
            "resume": ("train", "--resume", run),
        }
        return {verb: run_cli(*given) for verb, given in words.items()}

    return walk


@pytest.fixture
def copied(run, tmp_path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


def change_json(path: Path, change: Callable[[Any], Any]) -> None:
    content = json.loads(path.read_text().splitlines()[0] if path.suffix == ".jsonl" else
                         path.read_text())  # fmt: skip
    change(content)
    path.write_text(json.dumps(content) + "\n" * (path.suffix == ".jsonl"))


def change_weights(run: Path, name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    path = run / "weights.safetensors"
    tensors = load_file(path)
    tensors[name] = change(tensors[name])
    save_file(tensors, path)


def change_state(run: Path, change: Callable[[dict], Any]) -> None:
    content = torch.load(run / "last.pt", weights_only=True)
    change(content)
    torch.save(content, run / "last.pt")


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """The path of every value in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(
        value, list) else ()  # fmt: skip
    return [path, *(p for key, one in inner for p in places(one, (*path, key)))]


def put(value: Any, path: tuple, new: Any) -> Any:
    if not path:
        return new
    value = copy.deepcopy(value)
    inside = value
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = new
    return value


def mutate(run: Path, seed: int) -> str:
    """Puts one wrong value somewhere into run.json, the metrics or the checkpoint."""
    rng = random.Random(seed)
    name = rng.choice(["run.json", "run.json", "metrics.jsonl", "last.pt", "weights.safetensors"])
    file, value = run / name, rng.choice(VALUES)
    if name.endswith((".pt", ".safetensors")) and rng.random() < 0.5:
        content = bytearray(file.read_bytes())
        for _ in range(3):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        file.write_bytes(content[: rng.choice([None, None, len(content) // 2])])
        return f"{name} flipped"
    if name == "last.pt":
        content = torch.load(file, weights_only=True)
        path = rng.choice([p for p in places(content) if p])
        torch.save(put(content, path, value), file)
    elif name == "weights.safetensors":
        tensors = load_file(file)
        key = rng.choice(sorted(tensors))
        tensors[key] = rng.choice([
            tensors[key].half(), tensors[key].bool(), tensors[key][..., :1].contiguous(),
            torch.full_like(tensors[key], 2**62), tensors[key].double() / 0,
        ])  # fmt: skip
        save_file(tensors, file)
        path = (key,)
    else:
        content = json.loads(file.read_text().splitlines()[0] if name != "run.json" else
                             file.read_text())  # fmt: skip
        path = rng.choice(places(content))
        file.write_text(json.dumps(put(content, path, value)) + "\n")
    return f"{name} {path} {str(value)[:40]}"


@pytest.mark.parametrize("seed", range(12))
def test_a_wrong_value_anywhere_gives_an_answer_or_one_sentence(copied, verbs, seed):
    changed = mutate(copied, seed)
    for verb, (status, _, err) in verbs(copied).items():
        assert status in (0, 2), (verb, changed)
        assert status == 0 or len(err.splitlines()) == 1, (verb, changed, err)
        assert "nan" not in err, (verb, changed)
