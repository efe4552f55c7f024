"""Tar files in the layout of WebDataset: what is in them, in which order, and who reads them."""

import io
import json
import os
import pickle
import tarfile
import threading
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

import classicnets as cn
from classicnets.data import index
from classicnets.data.image_file import open_image
from classicnets.data.images import ImageFiles
from classicnets.data.members import MIXED, shard_order
from classicnets.data.sets import open_data, open_test, resolve
from classicnets.data.shard_index import INDEX, read_index

webdataset = pytest.importorskip("webdataset")


def write_images(root: Path, count: int = 20) -> Path:
    """Two classes of images of many sizes; the light of each image is its own."""
    for k in range(count):
        for name, light in (("dark", 2 * k), ("light", 150 + 2 * k)):
            (root / name).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20 + k % 3, 16 + k % 5), (light,) * 3).save(root / name / f"{k}.png")
    return root


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CLASSICNETS_DATA", str(tmp_path / "cache"))


@pytest.fixture
def packed(tmp_path) -> Path:
    """Those images in three shards for training, and others for the other splits."""
    done = cn.pack(write_images(tmp_path / "images"), tmp_path / "shards", shards=3)
    assert (done.images, done.classes) == (40, 2)
    return tmp_path / "shards"


def names(folder: Path) -> str:
    return f"{folder}/train-{{000000..000002}}.tar"


def lights(images) -> list[int]:
    """The light of each image, by its label."""
    x = images.pixels[:, 0, 0, 0] if not isinstance(images, ImageFiles) else images.crop(
        torch.arange(len(images)), torch.tensor([[0.0, 0, 8, 8]]).expand(len(images), 4), 8
    )[:, 0, 0, 0]  # fmt: skip
    return sorted(zip(images.labels.tolist(), x.tolist(), strict=True))


@pytest.mark.parametrize("whole", [False, True])
def test_packed_shards_hold_the_images_of_the_folder(tmp_path, packed, whole):
    data = open_data(names(packed), 8, 3, whole=whole)
    folder = open_data(tmp_path / "images", 8, 3, whole=whole)
    assert data.counts() == folder.counts() == {"dark": (14, 2, 4), "light": (14, 2, 4)}
    assert data.name == names(packed)
    for split in ("train", "validation", "test"):
        assert lights(getattr(data, split)) == lights(getattr(folder, split)), split


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # its open files
def test_webdataset_reads_what_is_packed(tmp_path, packed):
    """The library is the oracle of its layout; its own decoders are not used."""
    samples = list(webdataset.WebDataset(
        [str(path) for path in sorted(packed.glob("train-*.tar"))], shardshuffle=False
    ))  # fmt: skip
    folder = open_data(tmp_path / "images", 8, 3, whole=True)
    pairs = zip(folder.train.paths, folder.train.labels.tolist(), strict=True)
    files = {(Path(path).read_bytes(), label) for path, label in pairs}
    assert {(s["png"], int(s["cls"])) for s in samples} == files
    assert len(samples) == 28


def test_shards_that_webdataset_writes_are_read_without_an_index(tmp_path):
    with webdataset.ShardWriter(f"{tmp_path}/%02d.tar", maxcount=11, verbose=0) as writer:
        for k in range(40):
            pixels = torch.full((9, 9, 3), 5 * k, dtype=torch.uint8).numpy()
            writer.write({"__key__": f"{k:03}", "png": pixels, "cls": 9 + k % 3, "json": {"a": k}})
    data = open_data(f"{tmp_path}/{{00..03}}.tar", 9, 1)
    assert data.classes == ("9", "10", "11")
    assert sum(data.sizes) == 40
    found = lights(data.train) + lights(data.validation) + lights(data.test)
    assert sorted(found) == sorted((k % 3, 5 * k) for k in range(40))
    assert open_data(f"{tmp_path}/{{00..03}}.tar", 9, 1).digest == data.digest  # from the cache
    test = open_test(f"{tmp_path}/0{{0,1}}.tar", 9, 1, ("9", "10", "11"))
    assert (len(test.images), test.which) == (22, "all images of")


def test_nothing_in_a_shard_is_executed(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    with webdataset.ShardWriter(f"{tmp_path}/%d.tar", verbose=0, encoder=False) as writer:
        for k in range(12):
            file = io.BytesIO()
            Image.new("L", (8, 8), k).save(file, "PNG")
            evil = {
                ending: pickle.dumps(Evil()) for ending in ("pyd", "pickle", "pkl", "pth", "py")
            }
            writer.write(
                {"__key__": str(k), "png": file.getvalue(), "cls": b"%d" % (k % 2), **evil}
            )
    open_data(f"{tmp_path}/0.tar", 8, 1)
    assert not (tmp_path / "executed").exists()


def test_each_process_reads_shards_of_its_own_and_an_epoch_every_image_once():
    shards = torch.arange(40).repeat_interleave(25)
    batches = [64] * 15 + [40]
    for processes in (1, 2, 4):
        order = shard_order(shards, batches, processes, torch.Generator().manual_seed(3))
        assert order.sort().values.equal(torch.arange(1000))
        read = [
            torch.cat([batch[rank::processes] for batch in order.split(batches)])
            for rank in range(processes)
        ]
        owned = [set(shards[part].tolist()) for part in read]
        shared = sum(map(len, owned)) - 40
        assert shared <= processes - 1  # a shard where two parts meet
        for part in read:  # no more than MIXED shards are open at a time
            for few in part.split(MIXED * 25 // 2):
                assert len(set(shards[few].tolist())) <= 2 * MIXED
        again = shard_order(shards, batches, processes, torch.Generator().manual_seed(3))
        other = shard_order(shards, batches, processes, torch.Generator().manual_seed(4))
        assert order.equal(again)
        assert not order.equal(other)


def test_images_of_one_file_are_mixed_as_a_whole():
    order = shard_order(torch.zeros(1000, dtype=torch.long), [100] * 10, 2,
                        torch.Generator().manual_seed(0))  # fmt: skip
    early = order[:100].double()
    assert abs(early.mean() - 499.5) < 100  # the deviation of the mean is 29


def test_a_training_resumes_in_the_middle_of_an_epoch_bit_for_bit(packed, tmp_path, stop_after):
    def begin(name: str):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                                nn.Linear(4, 2))  # fmt: skip
        changes = {
            "batch": "5",
            "side": "12",
            "crop": "8",
            "crop_sampler": "RandomCrop(whole=True)",
        }
        return network, cn.train(network, names(packed), epochs=3, out=tmp_path / name,
                                 overrides=changes)  # fmt: skip

    _, whole = begin("whole")
    whole.finish()
    network, training = begin("killed")
    assert isinstance(training.splits.train, ImageFiles)
    stop_after(training, whole.config.steps_per_epoch + 3)  # nothing is left of it but its files
    cn.resume(training.directory, network=network).finish()
    weights = [
        (tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "killed")
    ]
    assert weights[0] == weights[1]
    states = [torch.load(tmp_path / name / "last.pt", weights_only=True)["network"]
              for name in ("whole", "killed")]  # fmt: skip
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.fixture
def web(tmp_path):
    """The address at which this folder is served, and how often each file was asked for."""
    asked: Counter[str] = Counter()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked[self.path] += 1

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_shards_on_the_web_are_fetched_when_they_are_needed_and_once(packed, tmp_path, web):
    place, asked = web
    spec = f"{place}/shards/train-{{000000..000002}}.tar"
    data = open_data(spec, 8, 3, whole=True)
    assert sum(asked.values()) == asked["/shards/index.safetensors"] == 1
    assert data.digest == open_data(names(packed), 8, 3, whole=True).digest
    first = int((data.train.paths.rows[:, 0] == 0).sum())
    data.train.subset(torch.arange(first)).crop(
        torch.arange(first), torch.tensor([[0.0, 0, 8, 8]]).expand(first, 4), 8
    )
    assert {name for name in asked if name.endswith(".tar")} == {"/shards/train-000000.tar"}
    assert lights(data.train) == lights(open_data(names(packed), 8, 3, whole=True).train)
    assert all(count == 1 for name, count in asked.items() if name.endswith(".tar"))


def test_a_shard_on_the_web_that_is_another_one_is_refused(packed, web):
    place, _ = web
    path = packed / "train-000001.tar"
    data = open_data(f"{place}/shards/train-{{000000..000002}}.tar", 8, 3, whole=True)
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(ValueError, match="another file than its index says: its SHA-256 sum is"):
        lights(data.train)
    with pytest.raises(OSError, match=r"none.tar could not be downloaded \(404"):
        open_data(f"{place}/none.tar", 8, 3)


def write_tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "train-{000000..000003}.tar",
            r"shards has no train-000003.tar; it has train-\{000000..000002}.tar$",
        ),
        ("*.tar", r"has no \*.tar; it has train-\{000000..000002}.tar$"),
        (
            "train-{000000..000002.tar",
            r"are not legal: Unbalanced braces; they are written as in "
            r"data='.*/shards/train-\{000000..000002}.tar'$",
        ),
        ("train-{0..99999999}.tar", "at most 100,000 shards are read"),
        ("{0..999}{0..999}{0..999}.tar", "at most 100,000 shards are read"),
        ("{" * 1500 + ".tar", "are not legal: "),
        ("x{train-000000.tar", "Unbalanced braces"),
        ("{a,b.tar", "Unbalanced braces"),
    ],
)
def test_names_that_cannot_be_shards_are_refused(packed, spec, message):
    with pytest.raises(ValueError, match=message):
        resolve(f"{packed}/{spec}")


def test_a_folder_of_shards_is_answered_with_the_name_of_all_of_them(packed, tmp_path):
    """Which is then read."""
    with pytest.raises(ValueError, match="holds tar files") as caught:
        open_data(packed, 8, 3)
    assert str(caught.value).endswith(f"; write data={names(packed)!r}")
    (packed / INDEX).unlink()  # without it all are named, of any split
    with pytest.raises(ValueError, match="holds tar files") as caught:
        open_test(f"{packed}/", 8, 3, ("dark", "light"))
    whole = "{test-000000,train-{000000..000002},validation-000000}.tar"
    assert str(caught.value).endswith(f"; write data='{packed}/{whole}'")
    assert open_data(f"{packed}/{whole}", 8, 3).sizes == (28, 4, 8)
    place = tmp_path / "downloaded"
    place.mkdir()
    (place / "ILSVRC2012_img_train.tar").touch()
    with pytest.raises(ValueError, match=f"holds tar files; write data='imagenet:{place}'"):
        open_data(place, 8, 3)


def test_damaged_shards_and_indices_are_refused_in_a_sentence(packed, tmp_path):
    image = (tmp_path / "images" / "dark" / "1.png").read_bytes()
    cases = {
        "unlabelled.tar": (
            {"1.png": image, "2.png": image, "2.cls": b"1"},
            "has no label; that is",
        ),
        "empty.tar": ({"1.txt": b"x"}, "has no images with their labels"),
    }
    for name, (files, message) in cases.items():
        with pytest.raises(ValueError, match=message):
            open_data(write_tar(tmp_path / name, files), 8, 3)
    whole = (packed / "train-000000.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:1560])
    with pytest.raises(ValueError, match=r"cut.tar cannot be read: it is cut short: byte"):
        open_data(tmp_path / "cut.tar", 8, 3)
    (packed / "train-000001.tar").write_bytes(whole + bytes(512))
    with pytest.raises(ValueError, match=r"train-000001.tar has .* bytes, and by index"):
        open_data(names(packed), 8, 3)


def test_a_shard_with_another_byte_is_refused_where_damage_is(packed):
    """It is read as before by default; `refuse` reads all of it first, and the test's too."""
    assert len(open_data(names(packed), 8, 3, whole=True, unreadable="refuse").train) == 28
    for name in ("train-000002.tar", "test-000000.tar"):
        path = packed / name
        content = path.read_bytes()
        path.write_bytes(content[:-1] + b"x")
        assert len(open_data(names(packed), 8, 3, whole=True).train) == 28
        for opening in (open_data, partial(open_test, classes=("dark", "light"))):
            with pytest.raises(ValueError, match=f"{name} is damaged: its SHA-256 sum is "):
                opening(names(packed), 8, 3, whole=True, unreadable="refuse")
        path.write_bytes(content)


def test_the_sums_of_large_shards_that_have_not_changed_are_kept(packed, monkeypatch):
    for path in packed.glob("*.tar"):
        os.utime(path, (1_600_000_000, 1_600_000_000))
    read: list[str] = []
    digest = index.content_digest
    monkeypatch.setattr(index, "content_digest", lambda path: read.append(path) or digest(path))
    for large, times in ((2**30, 2), (1, 1)):
        monkeypatch.setattr(index, "LARGE", large)
        read.clear()
        for _ in range(2):
            open_data(names(packed), 8, 3, whole=True, unreadable="refuse")
        assert len(read) == times * 5


def rewrite(path: Path, change) -> None:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        metadata = dict(file.metadata())
    rows = load_file(path)["images"]
    shards = json.loads(metadata["shards"])
    change(rows, shards, metadata)
    save_file({"images": rows}, path, metadata | {"shards": json.dumps(shards)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda rows, shards, meta: shards[0].update(name="../../etc/passwd"),
            "cannot have the name",
        ),
        (lambda rows, shards, meta: shards[0].update(split="all"), "is not legal"),
        (lambda rows, shards, meta: shards.pop(), "in shard 4 of 4"),
        (lambda rows, shards, meta: rows[0].fill_(2**62), "is in shard"),
        (lambda rows, shards, meta: rows[0, 1].fill_(-1), "lies outside its shard"),
        (lambda rows, shards, meta: rows[0, 2].fill_(2**62), "lies outside its shard"),
        (lambda rows, shards, meta: rows[0, 4].fill_(2**62), "impossible size"),
        (lambda rows, shards, meta: rows[0, 3].fill_(7), "label 7; labels must be 0 to 1"),
        (lambda rows, shards, meta: meta.update(classes='{"a": 1}'), "a list of names"),
        (lambda rows, shards, meta: meta.pop("format"), "not an index of shards"),
    ],
)
def test_an_index_that_points_elsewhere_is_refused(packed, change, message):
    rewrite(packed / INDEX, change)
    with pytest.raises(ValueError, match=message):
        open_data(names(packed), 8, 3, whole=True)


def test_an_image_that_is_damaged_is_named_with_its_shard(packed):
    index = read_index(packed / INDEX, str(packed))
    offset, length = index.rows[3, 1:3].tolist()
    path = packed / "train-000000.tar"
    content = bytearray(path.read_bytes())
    content[offset : offset + length] = bytes(length)
    path.write_bytes(content)
    data = open_data(names(packed), 8, 3, whole=True)
    with pytest.raises(
        ValueError, match=r"train-000000.tar/00000003.png cannot be read as an image"
    ):
        lights(data.train)
    with pytest.raises(ValueError, match="cannot be read"), open_image(data.train.paths[3]):
        pass
