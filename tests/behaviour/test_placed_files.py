"""Files of published data sets that someone put into the cache by hand."""

import gzip
import os
import struct
import tracemalloc
from hashlib import md5
from pathlib import Path

import pytest

from classicnets.data import imagenet, published
from classicnets.data.download import Remote, fetch
from classicnets.data.sets import open_data

REAL = Path(os.environ.get("CLASSICNETS_TEST_DATA", Path(__file__).parents[3] / "shared/data"))
FIRST = {  # the file of each set that is read first
    **{name: (published.IDX_FILES[0], idx.sums[0]) for name, idx in published.IDX_SETS.items()},
    "cifar10": (published.CIFAR10.name, published.CIFAR10.md5),
    "cifar100": (published.CIFAR100.name, published.CIFAR100.md5),
    "svhn": (published.SVHN[0].name, published.SVHN[0].md5),
    "imagenette": (imagenet.IMAGENETTE.name, imagenet.IMAGENETTE.md5),
}
PARSERS = (
    (published, "read_idx"),
    (published, "_unpack"),
    (published, "read_mat"),
    (imagenet, "_unpack"),
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("CLASSICNETS_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def put(path: Path, content: bytes) -> str:
    """Writes a file and returns its MD5 sum."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return md5(content).hexdigest()


@pytest.mark.parametrize("name", FIRST)
def test_another_file_is_refused_with_both_sums_before_a_parser_sees_it(cache, monkeypatch, name):
    def parse(*_):
        raise AssertionError("a parser saw the file")

    for module, parser in PARSERS:
        monkeypatch.setattr(module, parser, parse)
    file, published_sum = FIRST[name]
    found = put(cache / name / file, b"an error page")
    with pytest.raises(ValueError, match="is not the published file") as caught:
        open_data(name, 32, 3)
    assert str(caught.value) == (
        f"{cache / name / file} is not the published file: its MD5 sum is {found}, not "
        f"{published_sum}; delete it to download it, or put the published file in its place"
    )
    assert (cache / name / file).read_bytes() == b"an error page"


def test_the_published_file_is_used_however_it_was_compressed(cache):
    content = b"what was published" * 99
    first = gzip.compress(content, 1)
    again = gzip.compress(content, 9)
    assert first != again
    remote = Remote("x.gz", md5(first).hexdigest(), (), md5(content).hexdigest())
    for placed in (first, again):
        put(cache / "set" / "x.gz", placed)
        assert fetch(remote, "set").read_bytes() == placed
    for placed in (gzip.compress(content + b"."), again[:-9], b"\x1f\x8b", content):
        put(cache / "set" / "x.gz", placed)
        with pytest.raises(ValueError, match="is not the published file"):
            fetch(remote, "set")


def test_a_small_file_that_unpacks_to_much_is_refused_in_little_memory(cache):
    claimed = struct.pack(">4I", 0x803, 1, 28, 28) + bytes(784)  # one image of MNIST
    found = put(cache / "mnist" / FIRST["mnist"][0], gzip.compress(claimed + bytes(2**28), 1))
    assert (cache / "mnist" / FIRST["mnist"][0]).stat().st_size < 2**21
    tracemalloc.start()
    with pytest.raises(ValueError, match=f"is not the published file: its MD5 sum is {found}"):
        open_data("mnist", 32, 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


def test_what_is_not_a_file_is_neither_opened_nor_removed(cache):
    (cache / "set" / "folder").mkdir(parents=True)
    os.mkfifo(cache / "set" / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(
            ValueError, match=rf"{name} is not a file; remove it to download {name}"
        ):
            fetch(Remote(name, "0" * 32, ()), "set")
        assert (cache / "set" / name).exists()


@pytest.mark.skipif(not (REAL / "mnist").is_dir(), reason=f"no MNIST in {REAL}")
def test_the_real_files_of_mnist_are_the_published_ones(monkeypatch):
    monkeypatch.setenv("CLASSICNETS_DATA", str(REAL))
    assert open_data("mnist", 32, 1).sizes == (55_000, 5_000, 10_000)
