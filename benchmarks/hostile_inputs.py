"""The inputs of hostile.py: small valid ones, made here, and one mutation of them for each number.

`build(part, number, material)` writes a case into the current directory and returns the words of a
command; the same number gives the same case on every machine with the same versions.
"""

import gzip
import io
import json
import random
import shutil
import struct
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from hostile_mutations import VALUES, damaged, mangled, places, put
from PIL import Image
from safetensors.torch import load_file, save_file

COUNTS = {
    "images": 3000, "runs": 1500, "checkpoints": 700, "safetensors": 700, "packed": 500,
    "csv": 600, "archives": 200, "idx": 300, "cifar": 200, "designs": 1000, "weights": 500,
    "recipes": 500, "set": 600, "hub": 100, "shards": 600,
}  # fmt: skip
# not verbs, but the functions below them
OPEN, READ, PREPARE = "open-data", "read-weights", "prepare-training"
EVIL = "import pathlib\npathlib.Path(__file__).with_name('executed').touch()\nnet = None\n"


def images(rng: random.Random, material: Path) -> list[str]:
    source = rng.choice(sorted((material / "formats").iterdir()))
    name = rng.choice([source.name, source.name, f"x{source.suffix}", "x.jpg", "x"])
    Path(name).write_bytes(damaged(source.read_bytes(), rng))
    return ["predict", str(material / "run"), name]


def _run(material: Path, name: str = "run") -> Path:
    return Path(shutil.copytree(material / name, "run"))


def _verb(rng: random.Random, material: Path) -> list[str]:
    image = str(material / "photos/light/1.png")
    return rng.choice([
        ["predict", "run", image], ["evaluate", "run"], ["compare", "run"],
        ["see", "run", image, "--what", "filters"], ["train", "--resume", "run"],
        ["export", "run", "--out", "out.safetensors"],
    ])  # fmt: skip


def runs(rng: random.Random, material: Path) -> list[str]:
    run = _run(material, rng.choice(["run", "half"]))
    file = run / rng.choice(["run.json"] * 4 + ["metrics.jsonl", "metrics.csv", "design.net"])
    if not file.exists():
        file = run / "run.json"
    if rng.random() < 0.3:
        file.write_bytes(damaged(file.read_bytes(), rng))
    elif file.name == "design.net":
        file.write_text(mangled(file.read_text(), rng), errors="surrogatepass")
    elif file.name == "metrics.csv":
        file.write_text(file.read_text().replace(rng.choice("0123456789,"), "x" * 9))
    else:
        _put_anywhere(file, rng, ())
    if rng.random() < 0.05:
        other = rng.choice(sorted(run.iterdir()))
        shutil.rmtree(other) if other.is_dir() else other.unlink()
        rng.choice([other.mkdir, lambda: other.symlink_to("/dev/zero"), lambda: None])()
    return _verb(rng, material)


def _put_anywhere(file: Path, rng: random.Random, below: tuple) -> None:
    text = file.read_text()
    content = json.loads(text if file.suffix == ".json" else text.splitlines()[0])
    inside = content
    for key in below:
        inside = inside[key]
    for _ in range(rng.randint(1, 2)):
        content = put(content, (*below, *rng.choice(places(inside))), rng.choice(VALUES))
        inside = {}
    file.write_text(json.dumps(content) + "\n")


def recipes(rng: random.Random, material: Path) -> list[str]:
    run = _run(material, "half")
    _put_anywhere(run / "run.json", rng, ("recipe",))
    return rng.choice([["train", "--resume", "run"], ["evaluate", "run"], ["compare", "run"]])


class _Touch:
    def __reduce__(self):
        return (eval, ("__import__('pathlib').Path('executed').touch()",))


def checkpoints(rng: random.Random, material: Path) -> list[str]:
    file = _run(material, "half") / "last.pt"
    if rng.random() < 0.4:
        file.write_bytes(damaged(file.read_bytes(), rng))
    else:
        content = torch.load(file, weights_only=True)
        value = rng.choice([*VALUES, _Touch(), torch.zeros(3), torch.zeros(0), np.zeros(2)])
        path = rng.choice([p for p in places(content) if p])
        content = put(content, path, value)
        torch.save(content, file, _use_new_zipfile_serialization=rng.random() < 0.8)
    return ["train", "--resume", "run"]


def safetensors(rng: random.Random, material: Path) -> list[str]:
    file = _run(material) / "weights.safetensors"
    if rng.random() < 0.6:
        file.write_bytes(damaged(file.read_bytes(), rng))
    else:
        tensors = load_file(file)
        key = rng.choice(sorted(tensors))
        x = tensors[key]
        tensors[key] = rng.choice([
            x.half(), x.bool(), x[..., :1].contiguous(), torch.full_like(x, 2**62), x.double() / 0,
            x.flatten(), x[:0].clone(), torch.full_like(x, float("nan")),
        ])  # fmt: skip
        save_file(tensors, file, rng.choice([None, {"classes": "x"}]))
    return _verb(rng, material)


def packed(rng: random.Random, material: Path) -> list[str]:
    Path("x.pack").write_bytes(damaged((material / "photos.pack").read_bytes(), rng))
    return rng.choice([[OPEN, "x.pack"], ["evaluate", str(material / "run"), "--data", "x.pack"]])


def csv(rng: random.Random, material: Path) -> list[str]:
    photos = Path(shutil.copytree(material / "photos", "photos"))
    rows = [f"{path},{path.parent.name}" for path in sorted(photos.rglob("*.png"))]
    odd = ["", ",", "\0", '"', '"a', "\ud800,x", "/dev/zero,a", "../../etc/passwd,a", "x" * 200_000]
    odd += ["a,b,c,d", "path\tlabel", ";;;", f"{rows[0]},extra", "\r", "=1+1,a", "\x1b[31m,a"]
    text = "\n".join(["path,label", *rows])
    if rng.random() < 0.5:
        lines = text.split("\n")
        for _ in range(rng.randint(1, 4)):
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(odd))
        encoding = rng.choice(["utf-8", "utf-8", "utf-8", "utf-16", "latin-1"])
        content = "\n".join(lines).encode(encoding, "replace")
    else:
        content = damaged(text.encode(), rng)
    Path("x.csv").write_bytes(content)
    return rng.choice([[OPEN, "x.csv"], ["evaluate", str(material / "run"), "--data", "x.csv"]])


def _tar(files: dict[str, bytes], rng: random.Random) -> bytes:
    """An archive, damaged before it is compressed, with a link or path that leads out of it."""
    file = io.BytesIO()
    odd = rng.choice(sorted(files)) if rng.random() < 0.4 else ""
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, content in files.items():
            out = rng.choice([name, "../../out", "/tmp/out", "a/../../out"])
            info = tarfile.TarInfo(out if name == odd else name)
            info.size = len(content)
            if name == odd and rng.random() < 0.5:
                info.type, info.linkname = rng.choice([tarfile.SYMTYPE, tarfile.LNKTYPE]), "/etc"
            tar.addfile(info, io.BytesIO(content))
    return damaged(file.getvalue(), rng) if rng.random() < 0.6 else file.getvalue()


def _place(name: str, content: bytes) -> None:
    path = Path("cache", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def archives(rng: random.Random, material: Path) -> list[str]:
    files = {
        f"imagenette2-320/{split}/{name}/{path.name}": path.read_bytes()
        for split in ("train", "val") for name in ("dark", "light")
        for path in sorted((material / "photos" / name).iterdir())
    }  # fmt: skip
    _place("imagenette/imagenette2-320.tgz", gzip.compress(_tar(files, rng), 1))
    return [OPEN, "imagenette"]


def idx(rng: random.Random, material: Path) -> list[str]:
    for split, count in (("train", 20), ("t10k", 10)):
        shapes = {"images-idx3": (count, 28, 28), "labels-idx1": (count,)}
        for name, shape in shapes.items():
            content = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
            content += bytes(k % 10 for k in range(int(np.prod(shape))))
            content = damaged(content, rng) if rng.random() < 0.5 else content
            content = gzip.compress(content, 1)
            content = damaged(content, rng) if rng.random() < 0.1 else content
            _place(f"mnist/{split}-{name}-ubyte.gz", content)
    return [OPEN, "mnist"]


def cifar(rng: random.Random, material: Path) -> list[str]:
    rows = b"".join(bytes([k % 10]) + bytes(3072) for k in range(20))
    files = {f"c/data_batch_{k}.bin": rows for k in range(1, 6)}
    files |= {"c/test_batch.bin": rows, "c/batches.meta.txt": b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n"}
    _place("cifar10/cifar-10-binary.tar.gz", gzip.compress(_tar(files, rng), 1))
    return [OPEN, "cifar10"]


def designs(rng: random.Random, material: Path) -> list[str]:
    names = ("lenet5", "alexnet", "vgg_a", "googlenet", "resnet20", "resnet18", "net")
    text = (material / f"{rng.choice(names)}.net").read_text()
    if rng.random() < 0.2:
        Path("x.net").write_bytes(damaged(text.encode(), rng))
    else:
        Path("x.net").write_text(mangled(text, rng), errors="surrogatepass")
    return rng.choice([["show", "x.net"], ["show", "x.net"], ["design", "x.net"],
                       ["diff", "x.net", str(material / "lenet5.net")]])  # fmt: skip


def weights(rng: random.Random, material: Path) -> list[str]:
    files = [path for path in sorted(material.iterdir()) if path.stem in ("w", "new", "old")]
    source = rng.choice(files)
    content = damaged(source.read_bytes(), rng)
    if source.suffix == ".pth" and rng.random() < 0.2:
        torch.save({"a": torch.zeros(2), "b": _Touch()}, "x.pth")
        content = Path("x.pth").read_bytes()
    Path(f"x{source.suffix}").write_bytes(content)
    return [READ, f"x{source.suffix}"]


FIELDS = {
    "lr": "OneCycle(0.1)", "augment": "(HorizontalFlip(), ColourNoise(0.1))", "epochs": "9",
    "crop_sampler": "RandomCrop(pad=2)", "optimizer": "SGD(momentum=0.9)", "patience": "5",
    "average": "Ema(0.9)", "loss": "CrossEntropy(smoothing=0.1)", "batch": "8", "side": "40",
    "pixels": "Standardise()", "sampler": "balanced", "init": "HeNormal()", "steps": "100",
    "class_weights": "balanced", "constraint": "FilterRms(0.1)", "layer_rates": "HeadFirst(0.5)",
}  # fmt: skip
CODE = [
    "__import__('pathlib').Path('executed').touch()", "open('executed', 'w')", "9**9**9",
    "[0]*10**10", "(lambda: 0)()", "Constant.__init__.__globals__", "evil.py:net", "''.join('a')",
    "Constant(0.1).__class__", "'%99999999d' % 1", "(((" * 300, "-" * 5000 + "1", "{**{}}",
    "f'{1}'", "SGD(**{})", "SGD(momentum=SGD())", "1e999", "0x" + "f" * 400, "1" * 5000,
]  # fmt: skip


def set_(rng: random.Random, material: Path) -> list[str]:
    words = [PREPARE, rng.choice(["lenet5", "resnet20"]), str(material / "photos")]
    for _ in range(rng.randint(1, 2)):
        name = rng.choice(sorted(FIELDS))
        odd = [mangled(FIELDS[name], rng), rng.choice(CODE), str(rng.choice(VALUES))]
        value = rng.choice([FIELDS[name], *odd, rng.choice(list(FIELDS.values()))])
        name = rng.choice([name] * 9 + [mangled(name, rng)])
        words.append(f"{name}={value}".replace("\0", "")[:120_000])
    return words


def hub(rng: random.Random, material: Path) -> list[str]:
    """A stand-in for the package `datasets` that gives what nobody expects."""
    kinds = {
        name: type(name, (), {"names": ["a", "b"]}) for name in ("Image", "ClassLabel", "Value")
    }
    odd = [
        None,
        0,
        "x",
        b"x",
        [],
        {},
        Image.new("RGB", (9, 9)),
        Image.new("F", (3, 0)),
        np.zeros(3),
    ]

    def kind() -> Any:
        return kinds[rng.choice(sorted(kinds))]()

    features = {rng.choice(["image", "img", "\x1b"]): kind(), rng.choice(["label", "x"]): kind()}

    class Rows(list):
        @property
        def features(self) -> dict[str, Any]:
            return features

        def __getitem__(self, key: Any) -> Any:
            return (
                [k % 2 for k in range(len(self))]
                if isinstance(key, str)
                else super().__getitem__(key)
            )

    def load(name: str, **options: Any) -> Any:
        if rng.random() < 0.2:
            raise rng.choice([OSError, KeyError, RuntimeError])("the hub\nsaid no")
        rows = Rows({key: Image.new("RGB", (9, 9), k) for key in features} for k in range(30))
        for _ in range(rng.randint(0, 2)):
            rows[rng.randrange(30)] = {key: rng.choice(odd) for key in features}
        return {rng.choice(["train", "train", "all"]): rows, "test": Rows(rows[:9])}

    sys.modules["datasets"] = SimpleNamespace(load_dataset=load, __version__="9")  # type: ignore
    return [OPEN, "hf:owner/name"]


def shards(rng: random.Random, material: Path) -> list[str]:
    folder = Path(shutil.copytree(material / "shards", "shards"))
    if rng.random() < 0.5:
        (folder / "index.safetensors").unlink()
    for path in rng.sample(sorted(folder.iterdir()), rng.choice([0, 1, 2])):
        path.write_bytes(damaged(path.read_bytes(), rng))
    spec = "shards/train-{000000..000001}.tar"
    spec = spec if rng.random() < 0.8 else mangled(spec, rng).replace("\0", "") + ".tar"
    return rng.choice([[OPEN, spec], ["evaluate", str(material / "run"), "--data", spec]])


PARTS: dict[str, Callable[[random.Random, Path], list[str]]] = {
    name: globals()[name if name != "set" else "set_"] for name in COUNTS
}


def build(part: str, number: int, material: Path) -> list[str]:
    """Writes this case into the current directory, and returns the words of its command."""
    Path("evil.py").write_text(EVIL)
    return PARTS[part](random.Random(f"{part} {number}"), material)
