"""Run directories that are damaged or made by somebody else: every verb ends in one sentence."""

import copy
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import classicnets as cn

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


WHOLE = {0: {"momentum_buffer": torch.ones(6, 3, 5, 5, dtype=torch.long)}}
DAMAGED = {
    "weights that are NaN": (
        lambda run: change_weights(run, "F6.weight", lambda t: t / 0 * 0),
        "weights.safetensors is damaged: F6.weight holds NaN or infinite values",
        {"predict", "evaluate", "see", "resume"},
    ),
    "weights of whole numbers": (
        lambda run: change_weights(run, "F6.weight", torch.Tensor.long),
        "another network: F6.weight is torch.int64 there and torch.float32 here",
        {"predict", "evaluate", "see", "resume"},
    ),
    "weights of another precision": (
        lambda run: change_weights(run, "C1.bias", torch.Tensor.half),
        "another network: C1.bias is torch.float16 there and torch.float32 here",
        {"predict", "evaluate", "see", "resume"},
    ),
    "another table of kernels": (
        lambda run: change_weights(run, "C3.kernels", lambda t: t.flip(0)),
        "weights.safetensors is damaged: C3.kernels is not the table of indices of the network",
        {"predict", "evaluate", "see", "resume"},
    ),
    "a mean of another size": (
        lambda run: save_file({"mean": torch.zeros(1, 5, 5)}, run / "mean.safetensors"),
        "mean.safetensors is not the mean image of the run: mean is (1, 5, 5) there",
        {"predict", "evaluate", "see", "compare", "resume"},
    ),
    "a mean that is infinite": (
        lambda run: save_file({"mean": torch.ones(1, 32, 32) / 0}, run / "mean.safetensors"),
        "mean.safetensors is damaged: it holds NaN or infinite values",
        {"predict", "evaluate", "see", "compare", "resume"},
    ),
    "deep JSON": (
        lambda run: (run / "run.json").write_text(DEEP),
        "run.json is damaged: its brackets are nested too deeply",
        {"predict", "evaluate", "see", "compare", "resume"},
    ),
    "deep metrics": (
        lambda run: (run / "metrics.jsonl").write_text(DEEP),
        "metrics.jsonl is damaged: its brackets are nested too deeply",
        {"predict", "evaluate", "see", "compare", "resume"},
    ),
    "huge images": (
        lambda run: change_json(run / "run.json", lambda j: j.update(input=[1, 2**31, 2**31])),
        "input cannot be [1, 2147483648, 2147483648]; it takes 1 to 65,536 channels",
        {"predict", "evaluate", "see", "compare", "resume"},
    ),
    "huge images of a huge recipe": (
        lambda run: change_json(run / "run.json", lambda j: j["recipe"].update(side=2**31)),
        "side must be at most 32,768, not 2,147,483,648",
        {"predict", "evaluate", "see", "compare", "resume"},
    ),
    "an error that is a list": (
        lambda run: change_json(run / "run.json", lambda j: j["test"].update(top1_error=[1])),
        "run.json is damaged: test.top1_error cannot be [1]; it takes a number",
        {"predict", "evaluate", "see", "compare", "resume"},
    ),
    "an error that is infinite": (
        lambda run: change_json(run / "run.json", lambda j: j["test"].update(top5_error=1e999)),
        "run.json is damaged: test.top5_error cannot be inf; it takes a number",
        {"predict", "evaluate", "see", "compare", "resume"},
    ),
    "an epoch of 400 digits": (
        lambda run: change_json(run / "metrics.jsonl", lambda j: j.update(epoch=int("9" * 400))),
        f"metrics.jsonl is damaged: epoch cannot be {'9' * 100}...; it takes a whole number",
        {"predict", "evaluate", "see", "compare", "resume"},
    ),
    "an age of the universe": (
        lambda run: change_json(run / "metrics.jsonl", lambda j: j.update(seconds=4.35e17)),
        "seconds of EpochMetrics must be 0 to 1e+09, not 4.35e+17",
        {"predict", "evaluate", "see", "compare", "resume"},
    ),
    "an origin that is none": (
        lambda run: change_json(run / "run.json", lambda j: j.update(origin=["mine.py"])),
        "run.json is damaged: origin is not an object",
        {"predict", "evaluate", "see", "compare", "resume"},
    ),
    "a scale too many": (
        lambda run: change_json(run / "run.json", lambda j: j["scaling"]["scale"].append(1.0)),
        "scaling must have a scale and a shift for each of 1 channels",
        {"predict", "evaluate", "see", "compare", "resume"},
    ),
    "a step that is none": (
        lambda run: change_state(run, lambda c: c.update(step=-1)),
        "last.pt is damaged, or the state of another optimizer",
        {"resume"},
    ),
    "a validation that is NaN": (
        lambda run: change_state(run, lambda c: c.update(validation=(float("nan"),))),
        "last.pt is damaged, or the state of another optimizer",
        {"resume"},
    ),
    "totals of one number": (
        lambda run: change_state(run, lambda c: c.update(totals=torch.zeros(1))),
        "last.pt is damaged, or the state of another optimizer",
        {"resume"},
    ),
    "curvatures of whole numbers": (
        lambda run: change_state(run, lambda c: c["optimizer"].update(state=WHOLE)),
        "last.pt is damaged, or the state of another optimizer",
        {"resume"},
    ),
    "a state that is NaN": (
        lambda run: change_state(run, lambda c: c["network"]["F6.weight"].fill_(float("nan"))),
        "last.pt is damaged: F6.weight holds NaN or infinite values",
        {"resume"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_what_has_no_meaning_is_refused_in_a_sentence_by_every_verb_that_uses_it(
    copied, verbs, name
):
    damage, sentence, refusing = DAMAGED[name]
    damage(copied)
    for verb, (status, _, err) in verbs(copied).items():
        assert (status, verb) == (2 if verb in refusing else 0, verb), err
        if verb in refusing:
            assert sentence in err
            assert len(err.splitlines()) == 1


def test_weights_that_are_nan_are_refused_whatever_lay_in_the_memory_they_go_to(copied, verbs):
    damage, sentence, refusing = DAMAGED["weights that are NaN"]
    damage(copied)
    torch.use_deterministic_algorithms(True)  # torch then fills with NaN what it allocates
    try:
        assert torch.empty(3).isnan().all()
        answers = verbs(copied)
    finally:
        torch.use_deterministic_algorithms(False)
    assert {verb for verb, answer in answers.items() if sentence in answer.err} == refusing


PIPES = {
    "run.json": {"predict", "evaluate", "see", "compare", "resume"},
    "metrics.jsonl": {"predict", "evaluate", "see", "compare", "resume"},
    "mean.safetensors": {"predict", "evaluate", "see", "compare", "resume"},
    "weights.safetensors": {"predict", "evaluate", "see"},
    "last.pt": {"resume"},
}


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("name", PIPES)
def test_what_is_no_regular_file_in_a_run_is_named_and_not_waited_for(copied, verbs, name, kind):
    (copied / name).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(copied / name)
    else:
        (copied / name).symlink_to("/dev/zero")
    said = {"pipe": "it is a named pipe", "device": "it is a device"}[kind]
    for verb, (status, _, err) in verbs(copied).items():
        if verb in PIPES[name]:
            sentence = f"{copied / name} cannot be read: {said}, not a regular file\n"
            assert (status, err.removeprefix("classicnets: ")) == (2, sentence), verb


def test_a_mask_that_is_infinite_as_built_is_weights_like_others(tmp_path):
    from torch import nn

    from classicnets.data.synthetic import shapes

    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(48, 4)
            self.register_buffer("mask", torch.tensor([0.0, float("-inf")]))

        def forward(self, x):
            return self.fc(nn.functional.avg_pool2d(x, 8).flatten(1)) + self.mask[0]

    plain = {"average": "None"}
    cn.train(Masked(), shapes(), epochs=1, out=tmp_path / "run", overrides=plain).finish()
    assert cn.load(tmp_path / "run", Masked).mask.tolist() == [0.0, float("-inf")]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("0x" + "f" * 400, f"optimizer.momentum cannot be {str(16**400 - 1)[:99]}"),
        ("1" * 400, "optimizer.momentum cannot be 1111"),
        ("-" + "1" * 400, "optimizer.momentum cannot be -1111"),
        ("1" * 5000, "optimizer.momentum cannot be '1111"),
        ("1e400", "optimizer.momentum cannot be inf, which is not finite"),
        ("-1e400", "optimizer.momentum cannot be -inf; it takes a number"),
        ("nan", "optimizer.momentum cannot be 'nan'; it takes a number"),
        ("inf", "optimizer.momentum cannot be 'inf'; it takes a number"),
        ("-1", "momentum of SGD must be 0 to 1, not -1"),
        ("True", "optimizer.momentum cannot be True; it takes a number"),
        ("1j", "optimizer.momentum cannot be '1j'"),
    ],
)
def test_a_number_that_is_none_is_refused_in_one_line(run_cli, tmp_path, value, sentence):
    done = run_cli("train", "lenet5", "--set", f"optimizer.momentum={value}",
                   "--out", tmp_path / "run")  # fmt: skip
    assert (done.status, done.out) == (2, "")
    assert sentence in done.err
    assert len(done.err.splitlines()) == 1
    assert len(done.err) < 600
