"""Published data sets in their original formats, and their download."""

import errno
import fcntl
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
    """An empty cache, where small stand-ins for the published files may lie."""
    monkeypatch.setenv("CLASSICNETS_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "_require_published", lambda remote, path: None)
    return tmp_path / "cache"


def put(path: Path, content: bytes) -> str:
    """Writes a file and returns its MD5 sum."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return md5(content).hexdigest()


def write_image(path: Path, light: int = 0, size: tuple[int, int] = (12, 10)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, light).save(path)
    return path


# downloads


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, with range requests; `broken` makes it stop early."""

    broken: tuple[int, ...] = ()  # the next responses stop after this many bytes
    slow = 0.0  # seconds to wait before and in the middle of each response
    requests: tuple[str, ...] = ()

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        begin = self.headers["Range"]
        Handler.requests += (begin or "all",)
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
    """A folder that is served, and its URL."""
    (tmp_path / "served").mkdir()
    handler = partial(Handler, directory=str(tmp_path / "served"))
    Handler.broken, Handler.requests, Handler.slow = (), (), 0.0
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        yield tmp_path / "served", f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


def test_a_file_is_downloaded_once_with_progress(server, cache):
    served, url = server
    content = bytes(range(256)) * 3000
    remote = Remote("x.bin", put(served / "x.bin", content), (url,))
    seen = []
    token = download.progress.set(lambda *report: seen.append(report))
    assert fetch(remote, "set") == fetch(remote, "set") == cache / "set" / "x.bin"
    download.progress.reset(token)
    assert (cache / "set" / "x.bin").read_bytes() == content
    assert [path.name for path in (cache / "set").iterdir()] == ["x.bin"]
    assert Handler.requests == ("all",)
    assert seen[-1] == ("x.bin", 768_000, 768_000)
    assert [done for _, done, _ in seen] == sorted({done for _, done, _ in seen})


def test_other_mirrors_are_tried_when_one_lacks_the_file_or_has_another(server):
    served, url = server
    md5_sum = put(served / "right/x.bin", b"the file")
    put(served / "wrong/x.bin", b"an error page")
    mirrors = (f"{url}none/", f"{url}wrong/", "http://127.0.0.1:9/", f"{url}right/")
    assert fetch(Remote("x.bin", md5_sum, mirrors), "set").read_bytes() == b"the file"


def test_a_failed_download_names_every_url_and_where_to_put_the_file(server, cache):
    served, url = server
    put(served / "wrong/x.bin", b"an error page")
    remote = Remote("x.bin", "0" * 32, (url, f"{url}wrong/", "http://127.0.0.1:9/"))
    with pytest.raises(OSError, match=r"x\.bin could not be downloaded from ") as caught:
        fetch(remote, "set")
    message = str(caught.value)
    assert f"{url}x.bin (404 " in message
    assert f"{url}wrong/x.bin (its MD5 sum differs)" in message
    assert "http://127.0.0.1:9/x.bin (" in message
    assert "refused" in message
    assert message.endswith(f"put it at {cache / 'set' / 'x.bin'}")
    assert "\n" not in message
    assert list((cache / "set").iterdir()) == []


def test_an_interrupted_download_resumes(server, cache):
    served, url = server
    content = bytes(range(256)) * 3000
    remote = Remote("x.bin", put(served / "x.bin", content), (url,))
    Handler.broken = (300_000,)
    with pytest.raises(OSError, match="stopped after 300,000 of 768,000 bytes"):
        fetch(remote, "set")
    assert fetch(remote, "set").read_bytes() == content
    assert Handler.requests == ("all", "bytes=300000-")


def in_processes(workers: int) -> Executor:
    return ProcessPoolExecutor(workers, get_context("spawn"))


@pytest.mark.parametrize("pool", [ThreadPoolExecutor, in_processes])
def test_a_second_process_waits_for_the_first_download(server, cache, pool):
    served, url = server
    content = bytes(range(256)) * 3000
    remote = Remote("x.bin", put(served / "x.bin", content), (url,))
    Handler.slow = 0.5
    with pool(3) as workers:
        paths = set(workers.map(fetch, [remote] * 3, ["set"] * 3))
    assert paths == {cache / "set" / "x.bin"}
    assert (cache / "set" / "x.bin").read_bytes() == content
    assert Handler.requests == ("all",)


def test_downloads_work_on_a_file_system_without_locks(server, monkeypatch):
    served, url = server

    def no_locks(file, operation):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert fetch(Remote("x.bin", put(served / "x.bin", b"it"), (url,)), "set").is_file()


# small stand-ins for the published data sets


def idx(values: np.ndarray) -> bytes:
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    return zipped(header + values.astype(np.uint8).tobytes())


def zipped(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def write_mnist(folder: Path, each: int = 501) -> None:
    labels = np.arange(10 * each) % 10
    images = np.zeros((len(labels), 28, 28))
    images[:, 0, 0], images[:, 27, 27] = 20 * labels, 255
    for name, values in (
        ("train-images-idx3-ubyte.gz", images),
        ("train-labels-idx1-ubyte.gz", labels),
        ("t10k-images-idx3-ubyte.gz", images[:30]),
        ("t10k-labels-idx1-ubyte.gz", labels[:30]),
    ):
        put(folder / name, idx(values))


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "kmnist"])
def test_data_sets_in_mnists_format_are_centred_in_32_pixels(cache, name):
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
    "content", [b"a page", zipped(b"short"), zipped(struct.pack(">HBBI", 0, 8, 1, 9))]
)
def test_a_file_that_is_not_an_idx_array_is_named(cache, content):
    write_mnist(cache / "mnist")
    put(cache / "mnist" / "t10k-labels-idx1-ubyte.gz", content)
    with pytest.raises(ValueError, match=r"t10k-labels-idx1-ubyte.gz is damaged, or another file"):
        open_data("mnist", 32, 1)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("train-images-idx3", np.zeros(20), r"train-images-\S* is damaged, or another .*\(20,\)"),
        ("t10k-labels-idx1", np.zeros((3, 28, 28)), r"t10k-labels-\S* is .* of \(3, 28, 28\), not"),
        ("train-labels-idx1", np.full(5010, 200), "^mnist has the label 200; .* be 0 to 9$"),
        (
            "t10k-labels-idx1",
            np.full(30, 10),
            "^mnist, test split, has the label 10; .* be 0 to 9$",
        ),
        (
            "train-labels-idx1",
            np.arange(5010) % 9,
            "^class '9' in mnist has .*: 0, .* at least 501",
        ),
        ("train-labels-idx1", np.arange(5009) % 10, "^there are 5010 images and 5009 labels"),
    ],
)
def test_files_put_into_the_cache_by_hand_must_match(cache, monkeypatch, name, values, message):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as outside of tests
    write_mnist(cache / "mnist")
    put(cache / "mnist" / f"{name}-ubyte.gz", idx(values))
    with pytest.raises(ValueError, match=message):
        open_data("mnist", 32, 1)


def test_the_digest_of_a_published_data_set_depends_on_pixels_and_labels(cache):
    write_mnist(cache / "mnist")
    first = open_data("mnist", 32, 1).digest
    assert first == open_data("mnist", 32, 3).digest
    images = np.zeros((30, 28, 28))
    images[7, 3, 4] = 1
    put(cache / "mnist" / "t10k-images-idx3-ubyte.gz", idx(images))
    second = open_data("mnist", 32, 1).digest
    put(cache / "mnist" / "t10k-labels-idx1-ubyte.gz", idx(9 - np.arange(30) % 10))
    assert len({first, second, open_data("mnist", 32, 1).digest}) == 3


@pytest.mark.skipif(not (REAL / "mnist").is_dir(), reason=f"no MNIST in {REAL}")
def test_the_real_mnist_has_its_known_counts_and_moments(monkeypatch):
    monkeypatch.setenv("CLASSICNETS_DATA", str(REAL))
    data = open_data("mnist", 32, 1)
    assert data.sizes == (55_000, 5_000, 10_000)
    counts = data.counts()
    # the published counts of each digit in the 60,000 and the 10,000
    train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    test = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert [a + b for a, b, _ in counts.values()] == train
    assert [c for *_, c in counts.values()] == test
    inner = torch.cat([data.train.pixels, data.validation.pixels])[:, 0, 2:30, 2:30].double() / 255
    assert inner.mean().item() == pytest.approx(0.1307, abs=5e-5)  # the usual constants
    assert inner.std().item() == pytest.approx(0.3081, abs=5e-5)


def archive(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"folder/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def row(*labels: int, light: int) -> bytes:
    """A CIFAR image: red is `light`, green 2, blue the column."""
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


def test_cifar100_has_the_fine_labels(cache):
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
def test_a_wrong_file_in_the_cache_is_named(cache, name, file):
    put(cache / name / file, b"an error page")
    with pytest.raises(ValueError, match=f"{file} is damaged, or another .* delete it") as caught:
        open_data(name, 32, 3)
    assert "\n" not in str(caught.value)
    archive(cache / name / file, {"other.txt": b"x"})
    with pytest.raises(ValueError, match="is damaged, or another file"):
        open_data(name, 32, 3)
    assert [path.name for path in (cache / name).iterdir()] == [file]


def test_the_digit_0_of_svhn_is_not_labelled_10(cache):
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


def test_imagenettes_published_validation_split_is_the_test_split(cache, tmp_path, monkeypatch):
    for split, count in (("train", 10), ("val", 2)):
        for wnid in ("n02", "n01"):
            for k in range(count):
                write_image(tmp_path / "imagenette2-320" / split / wnid / f"{k}.JPEG", 5 * k)
    with tarfile.open(tmp_path / "x.tgz", "w:gz") as tar:
        tar.add(tmp_path / "imagenette2-320", "imagenette2-320")
    content = (tmp_path / "x.tgz").read_bytes()
    mirror = (tmp_path / "mirror").as_uri() + "/"
    md5_sum = put(tmp_path / "mirror" / "imagenette2-320.tgz", content)
    monkeypatch.setattr(imagenet, "IMAGENETTE", Remote("imagenette2-320.tgz", md5_sum, (mirror,)))
    data = open_data("imagenette", 8, 3)
    assert data.counts() == {"n01": (9, 1, 2), "n02": (9, 1, 2)}
    assert data.name == "imagenette"
    assert len(open_test("imagenette", 8, 3, ("n01", "n02")).images) == 4
    rmtree(cache / "imagenette")
    with ThreadPoolExecutor(4) as threads:
        found = [threads.submit(imagenet.list_imagenette) for _ in range(4)]
        assert all(listing.result() == found[0].result() for listing in found)


def test_every_published_data_set_has_a_mirror_and_a_checksum():
    remotes = [*published.SVHN, published.CIFAR10, published.CIFAR100, imagenet.IMAGENETTE]
    for remote in remotes:
        assert remote.mirrors
        assert len(remote.md5) == 32
    assert set(published.IDX_SETS) <= set(SETS)
    sums = [md5_sum for idx in published.IDX_SETS.values() for md5_sum in idx.sums]
    assert len(set(sums)) == 12
    assert {len(md5_sum) for md5_sum in sums} == {32}
