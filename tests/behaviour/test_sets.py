"""Published sets, from the files their authors gave out, and how these are downloaded."""

import errno
import gzip
import io
import os
import struct
import tarfile
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from hashlib import md5
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from shutil import rmtree
from threading import Thread
from types import SimpleNamespace

import jaxtyping
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from classicnets.data import download, imagenet, published
from classicnets.data.download import Remote, fetch
from classicnets.data.sets import SETS, open_data, open_test

REAL = Path(os.environ.get("CLASSICNETS_TEST_DATA", Path(__file__).parents[3] / "shared/data"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("CLASSICNETS_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def put(path: Path, content: bytes) -> str:
    """Writes a file and returns its MD5 sum."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return md5(content).hexdigest()


def picture(path: Path, light: int = 0, size: tuple[int, int] = (12, 10)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, light).save(path)
    return path


# downloads


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, goes on where it is asked to, and breaks off where `broken` says."""

    broken: tuple[int, ...] = ()  # after how many bytes the next answers stop
    slow = 0.0  # seconds before each answer and in its middle
    asked: tuple[str, ...] = ()

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        begin = self.headers["Range"]
        Handler.asked += (begin or "all",)
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        start = int(begin.removeprefix("bytes=").rstrip("-")) if begin else 0
        if start and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if Handler.slow:
            time.sleep(Handler.slow)
            self.wfile.write(content[start : start + 300_000])
            start += 300_000
            time.sleep(Handler.slow)
        stop = len(content)
        if Handler.broken:
            stop, *rest = Handler.broken
            Handler.broken = tuple(rest)
        self.wfile.write(content[start:stop])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path) -> Iterator[tuple[Path, str]]:
    """A folder that is served, and its address."""
    (tmp_path / "served").mkdir()
    handler = partial(Handler, directory=str(tmp_path / "served"))
    Handler.broken, Handler.asked, Handler.slow = (), (), 0.0
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        yield tmp_path / "served", f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


def test_a_file_is_fetched_once_and_its_progress_can_be_watched(server, cache):
    served, url = server
    content = bytes(range(256)) * 3000
    remote = Remote("x.bin", put(served / "x.bin", content), (url,))
    seen = []
    token = download.progress.set(lambda *told: seen.append(told))
    assert fetch(remote, "set") == fetch(remote, "set") == cache / "set" / "x.bin"
    download.progress.reset(token)
    assert (cache / "set" / "x.bin").read_bytes() == content
    assert [path.name for path in (cache / "set").iterdir()] == ["x.bin"]
    assert Handler.asked == ("all",)
    assert seen[-1] == ("x.bin", 768_000, 768_000)
    assert [done for _, done, _ in seen] == sorted({done for _, done, _ in seen})


def test_a_mirror_is_asked_when_the_first_has_it_not_or_has_another(server):
    served, url = server
    sum_of_it = put(served / "right/x.bin", b"what it was")
    put(served / "wrong/x.bin", b"a page that says sorry")
    mirrors = (f"{url}none/", f"{url}wrong/", "http://127.0.0.1:9/", f"{url}right/")
    assert fetch(Remote("x.bin", sum_of_it, mirrors), "set").read_bytes() == b"what it was"


def test_what_nobody_has_is_answered_with_every_address_and_where_to_put_it(server, cache):
    served, url = server
    put(served / "wrong/x.bin", b"a page that says sorry")
    remote = Remote("x.bin", "0" * 32, (url, f"{url}wrong/", "http://127.0.0.1:9/"))
    with pytest.raises(OSError, match=r"x\.bin could not be had from ") as caught:
        fetch(remote, "set")
    sentence = str(caught.value)
    assert f"{url}x.bin (404 " in sentence
    assert f"{url}wrong/x.bin (another file than it was)" in sentence
    assert "http://127.0.0.1:9/x.bin (" in sentence
    assert "refused" in sentence
    assert sentence.endswith(f"put it at {cache / 'set' / 'x.bin'}")
    assert "\n" not in sentence
    assert list((cache / "set").iterdir()) == []


def test_a_download_that_breaks_off_goes_on_where_it_stopped(server, cache):
    served, url = server
    content = bytes(range(256)) * 3000
    remote = Remote("x.bin", put(served / "x.bin", content), (url,))
    Handler.broken = (300_000,)
    with pytest.raises(OSError, match="broke off after 300,000 of 768,000 bytes"):
        fetch(remote, "set")
    assert fetch(remote, "set").read_bytes() == content
    assert Handler.asked == ("all", "bytes=300000-")


def in_processes(workers: int) -> Executor:
    return ProcessPoolExecutor(workers, get_context("spawn"))


@pytest.mark.parametrize("pool", [ThreadPoolExecutor, in_processes])
def test_who_wants_a_file_that_is_being_fetched_waits_for_it(server, cache, pool):
    served, url = server
    content = bytes(range(256)) * 3000
    remote = Remote("x.bin", put(served / "x.bin", content), (url,))
    Handler.slow = 0.5
    with pool(3) as workers:
        paths = set(workers.map(fetch, [remote] * 3, ["set"] * 3))
    assert paths == {cache / "set" / "x.bin"}
    assert (cache / "set" / "x.bin").read_bytes() == content
    assert Handler.asked == ("all",)


def test_a_file_system_without_locks_is_no_hindrance(server, monkeypatch):
    served, url = server

    def no_locks(file, kind):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(download, "fcntl", SimpleNamespace(flock=no_locks, LOCK_EX=0))
    assert fetch(Remote("x.bin", put(served / "x.bin", b"it"), (url,)), "set").is_file()
    monkeypatch.setattr(download, "fcntl", None)
    assert fetch(Remote("y.bin", put(served / "y.bin", b"it"), (url,)), "set").is_file()


def test_a_file_put_there_by_hand_is_taken(cache):
    put(cache / "set" / "x.bin", b"by hand")
    assert fetch(Remote("x.bin", "0" * 32, ()), "set").read_bytes() == b"by hand"


# published sets, in small


def idx(values: np.ndarray) -> bytes:
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    return gzip.compress(header + values.astype(np.uint8).tobytes())


def write_mnist(folder: Path, each: int = 501) -> None:
    labels = np.arange(10 * each) % 10
    pictures = np.zeros((len(labels), 28, 28))
    pictures[:, 0, 0], pictures[:, 27, 27] = 20 * labels, 255
    for name, values in (
        ("train-images-idx3-ubyte.gz", pictures),
        ("train-labels-idx1-ubyte.gz", labels),
        ("t10k-images-idx3-ubyte.gz", pictures[:30]),
        ("t10k-labels-idx1-ubyte.gz", labels[:30]),
    ):
        put(folder / name, idx(values))


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "kmnist"])
def test_sets_in_mnists_form_stand_in_the_middle_of_32_pixels(cache, name):
    write_mnist(cache / name)
    data = open_data(name, 32, 1)
    assert len(data.classes) == 10
    assert data.sizes == (10, 5000, 30)
    assert set(data.counts().values()) == {(1, 500, 3)}
    pixels, labels = data.train.pixels, data.train.labels
    assert pixels.shape == (10, 1, 32, 32)
    assert torch.equal(pixels[:, 0, 2, 2], (20 * labels).to(torch.uint8))
    assert pixels[:, 0, 29, 29].unique().tolist() == [255]
    assert pixels.sum() == pixels[:, 0, 2, 2].sum() + 10 * 255
    assert open_data(name, 32, 3).test.pixels.shape == (30, 3, 32, 32)


@pytest.mark.parametrize(
    "content", [b"a page", gzip.compress(b"short"), gzip.compress(struct.pack(">HBBI", 0, 8, 1, 9))]
)
def test_a_file_that_is_no_idx_array_is_named(cache, content):
    write_mnist(cache / "mnist")
    put(cache / "mnist" / "t10k-labels-idx1-ubyte.gz", content)
    with pytest.raises(ValueError, match=r"t10k-labels-idx1-ubyte.gz is damaged, or another file"):
        open_data("mnist", 32, 1)


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        (
            "train-images-idx3",
            np.zeros(20),
            r"train-images-\S* is damaged, or another file .*\(20,\)",
        ),
        ("t10k-labels-idx1", np.zeros((3, 28, 28)), r"t10k-labels-\S* is .* of \(3, 28, 28\), not"),
        ("train-labels-idx1", np.full(5010, 200), "^mnist has the label 200; there are 10 classes"),
        ("t10k-labels-idx1", np.full(30, 10), "^mnist, test part, has the label 10; there are 10"),
        ("train-labels-idx1", np.arange(5010) % 9, "^class '9' in mnist has 0 .* at least 501"),
        ("train-labels-idx1", np.arange(5009) % 10, "^mnist has 5010 pictures and 5009 labels"),
    ],
)
def test_files_put_there_by_hand_must_fit_together(cache, monkeypatch, name, values, sentence):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as outside of tests
    write_mnist(cache / "mnist")
    put(cache / "mnist" / f"{name}-ubyte.gz", idx(values))
    with pytest.raises(ValueError, match=sentence):
        open_data("mnist", 32, 1)


def test_a_published_set_that_was_replaced_is_another_though_all_counts_are_the_same(cache):
    write_mnist(cache / "mnist")
    first = open_data("mnist", 32, 1).digest
    assert first == open_data("mnist", 32, 3).digest
    pictures = np.zeros((30, 28, 28))
    pictures[7, 3, 4] = 1
    put(cache / "mnist" / "t10k-images-idx3-ubyte.gz", idx(pictures))
    second = open_data("mnist", 32, 1).digest
    put(cache / "mnist" / "t10k-labels-idx1-ubyte.gz", idx(9 - np.arange(30) % 10))
    assert len({first, second, open_data("mnist", 32, 1).digest}) == 3


@pytest.mark.skipif(not (REAL / "mnist").is_dir(), reason=f"there is no MNIST in {REAL}")
def test_the_real_mnist_has_its_known_numbers(monkeypatch):
    monkeypatch.setenv("CLASSICNETS_DATA", str(REAL))
    data = open_data("mnist", 32, 1)
    assert data.sizes == (55_000, 5_000, 10_000)
    counts = data.counts()
    # how often each digit occurs in the 60,000 and in the 10,000, as known from the literature
    train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    test = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert [a + b for a, b, _ in counts.values()] == train
    assert [c for *_, c in counts.values()] == test
    inner = torch.cat([data.train.pixels, data.validation.pixels])[:, 0, 2:30, 2:30].double() / 255
    assert inner.mean().item() == pytest.approx(0.1307, abs=5e-5)  # the constants everybody uses
    assert inner.std().item() == pytest.approx(0.3081, abs=5e-5)


def archive(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as held:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"folder/{name}")
            entry.size = len(content)
            held.addfile(entry, io.BytesIO(content))


def row(*labels: int, light: int) -> bytes:
    """A CIFAR picture: red is `light`, green 2, blue as the place in the row."""
    blue = bytes(range(32)) * 32
    return bytes(labels) + bytes([light]) * 1024 + bytes([2]) * 1024 + blue


def test_cifar10_is_read_from_the_binary_version_without_unpickling(cache):
    rows = [row(k % 10, light=k % 10) for k in range(5010)]
    files = {f"data_batch_{k + 1}.bin": b"".join(rows[1002 * k :][:1002]) for k in range(5)}
    files |= {
        "test_batch.bin": row(7, light=9),
        "batches.meta.txt": "\n".join("abcdefghij").encode(),
    }
    archive(cache / "cifar10" / "cifar-10-binary.tar.gz", files)
    data = open_data("cifar10", 32, 3)
    assert data.classes == tuple("abcdefghij")
    assert data.sizes == (10, 5000, 1)
    assert data.test.labels.tolist() == [7]
    red, green, blue = data.test.pixels[0]
    assert (red.unique().item(), green.unique().item()) == (9, 2)
    assert blue[0].tolist() == blue[31].tolist() == list(range(32))
    assert torch.equal(data.train.pixels[:, 0, 0, 0].long(), data.train.labels)
    grey = open_data("cifar10", 32, 1).test.pixels[0, 0, 0, 10].item()
    assert grey == round(0.299 * 9 + 0.587 * 2 + 0.114 * 10)


def test_cifar100_is_labelled_finely(cache):
    rows = b"".join(row(k % 20, k % 100, light=0) for k in range(5100))
    names = "\n".join(f"class{k}" for k in range(100)).encode()
    files = {"train.bin": rows, "test.bin": row(3, 99, light=0), "fine_label_names.txt": names}
    archive(cache / "cifar100" / "cifar-100-binary.tar.gz", files)
    data = open_data("cifar100", 32, 3)
    assert data.sizes == (100, 5000, 1)
    assert data.classes[data.test.labels[0]] == "class99"


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cifar10", "cifar-10-binary.tar.gz"),
        ("cifar100", "cifar-100-binary.tar.gz"),
        ("svhn", "train_32x32.mat"),
        ("imagenette", "imagenette2-320.tgz"),
    ],
)
def test_a_file_put_there_by_hand_that_is_another_is_named(cache, name, file):
    put(cache / name / file, b"a page that says sorry")
    with pytest.raises(
        ValueError, match=f"{file} is damaged, or another file .* delete it"
    ) as caught:
        open_data(name, 32, 3)
    assert "\n" not in str(caught.value)
    archive(cache / name / file, {"other.txt": b"x"})
    with pytest.raises(ValueError, match="is damaged, or another file"):
        open_data(name, 32, 3)
    assert [path.name for path in (cache / name).iterdir()] == [file]


def test_a_nought_of_street_view_is_not_a_ten(cache):
    (cache / "svhn").mkdir(parents=True)
    pixels = np.zeros((32, 32, 3, 20), np.uint8)
    pixels[3, 4, 1, 5] = 77
    labels = (np.arange(20) % 10 + 1).reshape(-1, 1)
    for name in ("train_32x32.mat", "test_32x32.mat"):
        savemat(cache / "svhn" / name, {"X": pixels, "y": labels})
    data = open_data("svhn", 32, 3)
    assert data.sizes == (10, 10, 20)
    assert data.test.labels[:10].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    assert data.test.pixels[5, 1, 3, 4] == 77
    assert data.test.pixels.sum() == 77


def test_imagenette_keeps_its_published_validation_part_for_the_test(cache, tmp_path, monkeypatch):
    for part, count in (("train", 10), ("val", 2)):
        for wnid in ("n02", "n01"):
            for k in range(count):
                picture(tmp_path / "imagenette2-320" / part / wnid / f"{k}.JPEG", 5 * k)
    with tarfile.open(tmp_path / "x.tgz", "w:gz") as held:
        held.add(tmp_path / "imagenette2-320", "imagenette2-320")
    content = (tmp_path / "x.tgz").read_bytes()
    mirror = (tmp_path / "mirror").as_uri() + "/"
    sum_of_it = put(tmp_path / "mirror" / "imagenette2-320.tgz", content)
    monkeypatch.setattr(imagenet, "IMAGENETTE", Remote("imagenette2-320.tgz", sum_of_it, (mirror,)))
    data = open_data("imagenette", 8, 3)
    assert data.counts() == {"n01": (9, 1, 2), "n02": (9, 1, 2)}
    assert data.name == "imagenette"
    assert len(open_test("imagenette", 8, 3, ("n01", "n02"))) == 4
    rmtree(cache / "imagenette")
    with ThreadPoolExecutor(4) as threads:
        found = [threads.submit(imagenet.list_imagenette) for _ in range(4)]
        assert all(listing.result() == found[0].result() for listing in found)


def test_every_named_set_can_be_had_somewhere_and_has_a_checksum():
    remotes = [*published.SVHN, published.CIFAR10, published.CIFAR100, imagenet.IMAGENETTE]
    for remote in remotes:
        assert remote.mirrors
        assert len(remote.md5) == 32
    assert set(published.IDX_SETS) <= set(SETS)
    sums = [sum_of_it for held in published.IDX_SETS.values() for sum_of_it in held.sums]
    assert len(set(sums)) == 12
    assert {len(sum_of_it) for sum_of_it in sums} == {32}
