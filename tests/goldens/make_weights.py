"""The names of tensors in published files of weights, and scores of the networks they belong to.

    python tests/goldens/make_weights.py     needs torchvision, timm, pytorchcv and keras (on torch)

`names` writes each package's names out; this script compares them with the package's own and keeps
their digest, so that a test can make such a file from the names alone. Values and picture are those
of make.py. Writes weights.json beside this file.
"""

import json
import os
import runpy
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import torch

FILE = Path(__file__).with_name("weights.json")
MAKE = SimpleNamespace(**runpy.run_path(str(FILE.with_name("make.py"))))
WITH_SCORES = ("torchvision resnet18", "pytorchcv resnet18", "keras resnet50")
VGG = {11: (1, 1, 2, 2, 2), 16: (2, 2, 3, 3, 3)}
WIDTHS = (64, 128, 256, 512, 512)
BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}
BN = ("weight", "bias", "running_mean", "running_var")

Shape = tuple[int, ...]


def names(what: str) -> dict[str, Shape]:
    """Name -> shape of every tensor, as `package network` has it."""
    package, network = what.split()
    depth = int(network[-2:])
    if "vgg" in network:
        return dict(_vgg(package, depth))
    return dict(_keras_resnet() if package == "keras" else _resnet(package, depth))


def _vgg(package: str, depth: int) -> Iterator[tuple[str, Shape]]:
    wide, at = 3, 0
    for stage, (count, width) in enumerate(zip(VGG[depth], WIDTHS, strict=True), 1):
        for conv in range(1, count + 1):
            if package == "keras":
                yield f"block{stage}_conv{conv}/kernel", (3, 3, wide, width)
                yield f"block{stage}_conv{conv}/bias", (width,)
            else:
                yield f"features.{at}.weight", (width, wide, 3, 3)
                yield f"features.{at}.bias", (width,)
            wide, at = width, at + 2
        at += 1
    heads = {
        "torchvision": ("classifier.0", "classifier.3", "classifier.6"),
        "timm": ("pre_logits.fc1", "pre_logits.fc2", "head.fc"),
        "keras": ("fc1", "fc2", "predictions"),
    }[package]
    for k, (head, rows, m) in enumerate(
        zip(heads, (4096, 4096, 1000), (25088, 4096, 4096), strict=True)
    ):
        if package == "keras":
            yield f"{head}/kernel", (m, rows)
            yield f"{head}/bias", (rows,)
            continue
        as_maps = {0: (rows, 512, 7, 7), 1: (rows, 4096, 1, 1)}.get(k)
        yield f"{head}.weight", as_maps if package == "timm" and as_maps else (rows, m)
        yield f"{head}.bias", (rows,)


def _resnet(package: str, depth: int) -> Iterator[tuple[str, Shape]]:
    ours = package == "torchvision"

    def layer(conv: str, bn: str, shape: Shape) -> Iterator[tuple[str, Shape]]:
        yield f"{conv}.weight", shape
        yield from ((f"{bn}.{kind}", shape[:1]) for kind in BN)
        yield f"{bn}.num_batches_tracked", ()

    start = (
        ("conv1", "bn1")
        if ours
        else ("features.init_block.conv.conv", "features.init_block.conv.bn")
    )
    yield from layer(*start, (64, 3, 7, 7))
    wide = 64
    for stage, blocks in enumerate(BLOCKS[depth], 1):
        width = 32 * 2**stage
        out = width * (4 if depth == 50 else 1)
        for block in range(blocks):
            place = f"layer{stage}.{block}" if ours else f"features.stage{stage}.unit{block + 1}"
            shapes = [(width, wide, 3, 3), (width, width, 3, 3)]
            if depth == 50:
                shapes = [(width, wide, 1, 1), (width, width, 3, 3), (out, width, 1, 1)]
            for k, shape in enumerate(shapes, 1):
                inner = (
                    (f"conv{k}", f"bn{k}") if ours else (f"body.conv{k}.conv", f"body.conv{k}.bn")
                )
                yield from layer(*(f"{place}.{one}" for one in inner), shape)
            if block == 0 and (stage > 1 or depth == 50):
                side = (
                    ("downsample.0", "downsample.1")
                    if ours
                    else ("identity_conv.conv", "identity_conv.bn")
                )
                yield from layer(*(f"{place}.{one}" for one in side), (out, wide, 1, 1))
            wide = out
    head = "fc" if ours else "output"
    yield f"{head}.weight", (1000, wide)
    yield f"{head}.bias", (1000,)


def _keras_resnet() -> Iterator[tuple[str, Shape]]:
    def layer(name: str, shape: Shape) -> Iterator[tuple[str, Shape]]:
        yield f"{name}_conv/kernel", shape
        yield f"{name}_conv/bias", shape[3:]
        for kind in ("gamma", "beta", "moving_mean", "moving_variance"):
            yield f"{name}_bn/{kind}", shape[3:]

    yield from layer("conv1", (7, 7, 3, 64))
    wide = 64
    for stage, blocks in enumerate(BLOCKS[50], 2):
        width = 16 * 2**stage
        for block in range(1, blocks + 1):
            place = f"conv{stage}_block{block}"
            if block == 1:
                yield from layer(f"{place}_0", (1, 1, wide, 4 * width))
            yield from layer(f"{place}_1", (1, 1, wide, width))
            yield from layer(f"{place}_2", (3, 3, width, width))
            yield from layer(f"{place}_3", (1, 1, width, 4 * width))
            wide = 4 * width
    yield "predictions/kernel", (2048, 1000)
    yield "predictions/bias", (1000,)


def digest(found: dict[str, Shape]) -> str:
    """A hash of the names with their shapes, in any order."""
    lines = "\n".join(f"{name} {tuple(shape)}" for name, shape in sorted(found.items()))
    return sha256(lines.encode()).hexdigest()


def value(name: str, shape: Shape) -> torch.Tensor:
    """A tensor by the name that Keras or another package gives it, scaled as in make.py."""
    if "/" not in name:
        return MAKE.tensor(name, shape)
    u = MAKE.values(name, shape)
    kind = name.partition("/")[2]
    if kind == "moving_variance":
        return 1 + u / 2
    if kind == "kernel":
        rows = torch.tensor(shape[:-1]).prod().item()
        return u * (6 / rows) ** 0.5
    return 1 + u / 10 if kind == "gamma" else u / 10


def _package(what: str) -> tuple[dict[str, Shape], torch.Tensor | None]:
    """The names that the package itself has, and its scores of the picture."""
    package, network = what.split()
    if package == "keras":
        return _keras(network, what in WITH_SCORES)
    if package == "torchvision":
        import torchvision

        made = torchvision.models.get_model(network)
    elif package == "timm":
        import timm

        made = timm.create_model(network)
    else:
        from pytorchcv.model_provider import get_model

        made = get_model(network)
    state = {name: tuple(t.shape) for name, t in made.state_dict().items()}
    if what not in WITH_SCORES:
        return state, None
    made.load_state_dict({name: value(name, shape) for name, shape in state.items()})
    with torch.no_grad():
        return state, made.eval()(MAKE.picture())


def _keras(network: str, scored: bool) -> tuple[dict[str, Shape], torch.Tensor | None]:
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    build = {"resnet50": keras.applications.ResNet50, "vgg16": keras.applications.VGG16}[network]
    made = build(weights=None, classifier_activation=None)
    found = {w.path: tuple(w.shape) for w in made.weights}
    if not scored:
        return found, None
    for w in made.weights:
        w.assign(value(w.path, tuple(w.shape)).numpy())
    blue_first = MAKE.picture().flip(1).permute(0, 2, 3, 1).numpy()
    return found, torch.tensor(made.predict(blue_first, verbose=0))


KINDS = (
    "torchvision resnet18",
    "torchvision resnet50",
    "torchvision vgg11",
    "timm vgg11",
    "pytorchcv resnet18",
    "pytorchcv resnet50",
    "keras resnet50",
    "keras vgg16",
)


def main() -> None:
    from importlib.metadata import version

    packages = ("torch", "torchvision", "timm", "pytorchcv", "keras")
    content: dict[str, object] = {"made with": {name: version(name) for name in packages}}
    for what in KINDS:
        found, scores = _package(what)
        assert found == names(what), f"{what}: {set(found) ^ set(names(what))}"
        content[what] = {"names": digest(found)} | ({} if scores is None else MAKE.digest(scores))
    FILE.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
