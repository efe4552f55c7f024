"""Published weights give the scores that they give in their own package, or are refused.

The packages are not needed: tests/goldens/make_weights.py has their names of tensors, which it
compared with the packages' own, and kept their scores of one picture.
"""

import json
import os
import pickle
import runpy
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

import classicnets as cn
from classicnets import catalog
from classicnets.weights.bridges import BRIDGES, _dense, translate
from classicnets.weights.files import read_weights
from classicnets.weights.released import DESIGNS, PIXELS, RELEASED, imagenet_classes

ORACLE = SimpleNamespace(
    **runpy.run_path(str(Path(__file__).parents[1] / "goldens/make_weights.py"))
)
STORED = json.loads(ORACLE.FILE.read_text())
# the file of a package -> our network
FITS = {
    "torchvision resnet18": "resnet18",
    "torchvision resnet50": "resnet50_v15",
    "torchvision vgg11": "vgg_a",
    "timm vgg11": "vgg_a",
    "pytorchcv resnet18": "resnet18",
    "pytorchcv resnet50": "resnet50",
    "keras resnet50": "resnet50",
    "keras vgg16": "vgg_d",
}

pytestmark = pytest.mark.agreement


def _tensors(what: str) -> dict[str, torch.Tensor]:
    return {name: ORACLE.value(name, shape) for name, shape in ORACLE.names(what).items()}


def _save_torch(tensors: dict[str, torch.Tensor], path: Path) -> None:
    torch.save(tensors, path)


def _save_old_torch(tensors: dict[str, torch.Tensor], path: Path) -> None:
    torch.save(tensors, path, _use_new_zipfile_serialization=False)


def _save_checkpoint(tensors: dict[str, torch.Tensor], path: Path) -> None:
    state = {f"module.{name}": tensor for name, tensor in tensors.items()}
    torch.save({"epoch": 90, "state_dict": state}, path)


def _save_keras(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """As Keras 2 wrote them: the layer twice, and the number of an output behind each name."""
    with h5py.File(path, "w") as file:
        for name, tensor in tensors.items():
            layer = name.partition("/")[0]
            file[f"{layer}/{name}:0"] = tensor.numpy()


def _network(name: str) -> torch.nn.Module:
    with torch.device("meta"):
        return catalog.find(name).build()


@pytest.mark.parametrize("what", FITS)
def test_the_names_in_the_tests_are_those_of_the_package(what):
    assert ORACLE.digest(ORACLE.names(what)) == STORED[what]["names"]


@pytest.mark.parametrize("what", FITS)
def test_every_tensor_of_a_package_has_its_place_in_ours(what):
    there, network = ORACLE.names(what), _network(FITS[what])
    family = catalog.find(FITS[what]).paper.page
    tables = [
        dict(b.names(network)) for b in BRIDGES if (b.source, b.family) == (what.split()[0], family)
    ]
    (table,) = tables
    folded = {name for name in there if name.endswith("_conv/bias")} if "resnet" in what else set()
    assert set(table.values()) == there.keys() - folded
    for own, name in table.items():
        assert network.state_dict()[own].numel() == torch.Size(there[name]).numel()


@pytest.mark.parametrize(
    ("what", "save", "name"),
    [
        ("torchvision resnet18", _save_torch, "a.pth"),
        ("torchvision resnet18", _save_old_torch, "a.pth"),
        ("torchvision resnet18", _save_checkpoint, "a.pt"),
        ("torchvision resnet18", safetensors.torch.save_file, "a.safetensors"),
        ("pytorchcv resnet18", _save_torch, "a.bin"),
        pytest.param("keras resnet50", _save_keras, "a.h5", marks=pytest.mark.slow),
    ],
)
def test_the_scores_are_those_of_the_package(what, save, name, tmp_path):
    save(_tensors(what), tmp_path / name)
    run = cn.import_weights(FITS[what], tmp_path / name, tmp_path / "run")
    with torch.no_grad():
        scores = cn.load(run.directory)(ORACLE.MAKE.picture())
    stored = STORED[what]
    close = {"rel": 2e-5, "abs": 2e-5 * stored["norm"]}
    assert scores[0, ::20].tolist() == pytest.approx(stored["scores"], **close)
    assert scores.norm().item() == pytest.approx(stored["norm"], rel=2e-5)


def test_the_pixels_come_with_the_weights_and_others_change_the_answer(resnet18, tmp_path):
    tensors = torch.load(resnet18, weights_only=True)
    last = {name: tensors[name] / 100 for name in ("fc.weight", "fc.bias")}  # several are likely
    torch.save(tensors | last, tmp_path / "a.pth")
    run = cn.import_weights("resnet18", tmp_path / "a.pth", tmp_path / "run")
    image = Image.effect_noise((256, 256), 60).convert("RGB")
    answers = dict(cn.predict(run.directory, image, top=1000)[0].top)
    at = (256 - 224) // 2
    pixels = torch.from_numpy(np.asarray(image)[at:-at, at:-at].copy()).permute(2, 0, 1)[None]
    network = cn.load(run.directory)
    far = {}
    for source in ("torchvision", "keras"):
        with torch.no_grad():
            p = network(PIXELS[source].scaling(pixels)).softmax(1)[0].tolist()
        named = zip(run.config.classes, p, strict=True)
        far[source] = max(abs(answers[name] - one) for name, one in named)
    assert far["torchvision"] < 1e-4 < 1e-3 < far["keras"]


def test_a_layer_behind_maps_is_transposed_pixel_by_pixel():
    """Keras flattens (h, w, c), torch (c, h, w): row 2 p + c becomes column 3 c + p."""
    kernel = torch.arange(12.0).reshape(6, 2)  # 3 pixels of 2 maps, 2 neurons
    assert _dense(kernel, 2).tolist() == [[0, 4, 8, 2, 6, 10], [1, 5, 9, 3, 7, 11]]
    assert _dense(kernel, 0).tolist() == kernel.T.tolist()


def test_every_release_fits_a_network_and_says_where_it_is():
    assert len({one.name for one in RELEASED}) == len(RELEASED) == 21
    for one in RELEASED:
        kind, known = one.file.sum
        assert one.network in {*catalog.CATALOG, *DESIGNS}
        assert (kind, len(known)) in (("MD5", 32), ("SHA-1", 40), ("SHA-256", 8))
        assert known in one.file.name or kind != "SHA-256"
        # four bytes for each parameter, and what a format adds
        count = sum(p.numel() for p in _network(one.network).parameters())
        assert one.megabytes == pytest.approx(count * 4e-6, rel=0.01)
        assert all(place.startswith("http") and place.endswith("/") for place in one.file.mirrors)


def test_the_classes_are_the_thousand_of_the_ilsvrc():
    known = imagenet_classes()
    assert list(known) == sorted(known)
    assert len(set(known.values())) == 1000
    assert list(known.values())[:2] == ["tench", "goldfish"]
    assert (known["n02102040"], known["n03888257"]) == ("English springer", "parachute")


@pytest.fixture(scope="module")
def resnet18(tmp_path_factory) -> Path:
    """A file of ResNet-18 as torchvision has it."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    _save_torch(_tensors("torchvision resnet18"), path)
    return path


def _without(name: str) -> Callable[[dict], dict]:
    return lambda tensors: {n: t for n, t in tensors.items() if n != name}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_without("layer1.0.conv1.weight"), "it lacks layer1.0.conv1.weight, by the names of"),
        (lambda t: t | {"extra.weight": torch.ones(2)}, "no place for extra.weight of the file"),
        (lambda t: t | {"fc.bias": torch.ones(7)}, "fc.weight is (1000, 512) in the file, and"),
        (lambda t: t | {"bn1.bias": torch.ones(63)}, "bn1.bias is (63,) in the file, and bn1.bias"),
        (
            lambda t: t | {"bn1.bias": torch.full((64,), torch.nan)},
            "bn1.bias holds NaN or infinite values",
        ),
        (
            lambda t: {"a": torch.ones(1), "b": torch.ones(1)},
            "no known package names the tensors of resnet like those in it: a, b",
        ),
        (
            lambda t: cn.resnet18().state_dict(),
            "its tensors have the names of this package, whose weights are read from their run",
        ),
        (lambda t: {}, "holds no tensors"),
        (lambda t: [1], "holds a list, not a state dict"),
    ],
)
def test_other_tensors_are_refused_by_name(change, reason, resnet18, tmp_path):
    torch.save(change(torch.load(resnet18)), tmp_path / "a.pth")
    with pytest.raises(ValueError) as error:  # noqa: PT011  # the words follow
        cn.import_weights("resnet18", tmp_path / "a.pth", tmp_path / "run")
    assert reason in str(error.value)
    assert str(tmp_path / "a.pth") in str(error.value)
    assert not (tmp_path / "run").exists()


def test_weights_without_the_counts_of_batches_are_taken(resnet18, tmp_path):
    """Those saved before torch 0.4.1 lack them."""
    old = {n: t for n, t in torch.load(resnet18).items() if "num_batches" not in n}
    _, state = translate(_network("resnet18"), "resnet", old)
    assert state["bn1.num_batches_tracked"] == 0


@pytest.mark.parametrize(
    ("what", "network", "reason"),
    [
        ("torchvision resnet50", "resnet50", "stride in the 3x3 of a bottleneck block; they fit"),
        ("keras resnet50", "resnet50_v15", "stride in the 1x1 of a bottleneck block; they fit"),
    ],
)
def test_the_wrong_stride_is_refused_though_every_tensor_fits(what, network, reason):
    empty = {name: torch.zeros(()).expand(shape) for name, shape in ORACLE.names(what).items()}
    with pytest.raises(ValueError, match=reason):
        translate(_network(network), "resnet", empty)


def test_a_network_without_published_weights_is_named(resnet18, tmp_path):
    with pytest.raises(ValueError, match="no published weights for zfnet that fit it"):
        cn.import_weights("zfnet", resnet18, tmp_path / "run")
    with pytest.raises(
        ValueError, match=r"of zfnet; there are those of alexnet-bvlc\.net, googlenet"
    ):
        cn.list_weights("zfnet")


class _Code:
    def __reduce__(self):
        return Path("/tmp/classicnets-was-here").touch, ()


def _hostile(path: Path, resnet18: Path) -> Iterator[tuple[str, bytes, str]]:
    whole = resnet18.read_bytes()
    touch = pickle.dumps({"a": _Code()}, protocol=2)
    yield (
        "code.pth",
        touch,
        "holds more than tensors, getattr, which could run code; save its state",
    )
    yield "list.pth", pickle.dumps([1], protocol=4), "damaged: it is not as torch.save writes it"
    yield "cut.pth", whole[:100_000], "damaged: its end is missing"
    yield "text.pth", b"hello", "not a file of weights: a .pth begins with the signature of a zip"
    yield "text.txt", b"hello", "it does not begin like any of them; PyTorch's .pth, .safet"
    yield "text.safetensors", b"<html>", "a .safetensors begins with the length of its header, and"
    yield "empty.pth", b"", "not a file of weights: it is empty"
    tensor = safetensors.torch.save({"a": torch.ones(9)})
    yield "cut.safetensors", tensor[:40], "damaged: it has no whole header"
    yield "short.safetensors", tensor[:-4], "damaged: it has not as many bytes as its header says"
    with h5py.File(path / "whole.h5", "w") as file:
        file["fc/fc/kernel"] = [1.0]
    yield "cut.h5", (path / "whole.h5").read_bytes()[:900], "damaged"
    with h5py.File(path / "huge.h5", "w") as file:
        file.create_dataset("fc/fc/kernel", (2**20, 2**20), "f4", chunks=(1, 1024))
    yield "huge.h5", (path / "huge.h5").read_bytes(), "claims 1,099,511,627,776 numbers"
    (path / "secret").write_bytes(b"\0" * 64)
    with h5py.File(path / "outside.h5", "w") as file:
        file.create_dataset("fc/kernel", (16,), "f4", external=[(path / "secret", 0, 64)])
    yield "outside.h5", (path / "outside.h5").read_bytes(), "lies in another file"
    with h5py.File(path / "linked.h5", "w") as file:
        file["fc"] = h5py.ExternalLink(str(path / "whole.h5"), "/fc")
    yield "linked.h5", (path / "linked.h5").read_bytes(), "holds no tensors"
    with zipfile.ZipFile(path / "other.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    yield "other.zip", (path / "other.zip").read_bytes(), "damaged"


def test_a_damaged_or_hostile_file_is_one_sentence_with_its_name(tmp_path, resnet18):
    seen = Path("/tmp/classicnets-was-here")
    seen.unlink(missing_ok=True)
    for name, content, reason in list(_hostile(tmp_path, resnet18)):
        path = tmp_path / f"x-{name}"
        path.write_bytes(content)
        with pytest.raises(ValueError) as error:  # noqa: PT011  # the words follow
            read_weights(path)
        assert reason in str(error.value), name
        assert path.name in str(error.value)
        assert "\n" not in str(error.value)
    assert not seen.exists()
    os.mkfifo(tmp_path / "pipe.pth")  # to open it would wait
    for path in (tmp_path, tmp_path / "pipe.pth"):
        with pytest.raises(ValueError, match="no file of weights at"):
            cn.import_weights("resnet18", path, tmp_path / "run")


def test_without_h5py_the_message_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(ValueError, match=r"needs h5py: pip install 'classicnets\[weights\]'"):
        read_weights(tmp_path / "a.h5")
