"""Data sets in files that were damaged, or made to do harm."""

import gzip
import io
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.io import savemat

from classicnets.data import download, matlab, published
from classicnets.data.packed import SPLITS
from classicnets.data.sets import open_data


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("CLASSICNETS_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "_require_published", lambda remote, path: None)
    return tmp_path / "cache"


def archive(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize(
    ("pixels", "labels", "message"),
    [
        (
            np.zeros((32, 32, 5, 20), np.uint8),
            range(20),
            r"X has uint8 \(32, 32, 5, 20\), not",
        ),
        (np.zeros((32, 32, 3, 20)), range(20), r"X has float64 .*, not uint8 \(32, 32, 3, n\)"),
        (np.zeros((32, 32), np.uint8), range(20), r"X has uint8 \(32, 32\), not uint8"),
        (np.zeros((32, 32, 3, 20), np.uint8), np.arange(20) / 2, "y has float64, not integers"),
    ],
)
def test_svhn_has_bytes_of_three_channels(cache, pixels, labels, message):
    (cache / "svhn").mkdir(parents=True)
    savemat(cache / "svhn" / "train_32x32.mat", {"X": pixels, "y": list(labels)})
    with pytest.raises(ValueError, match=rf"train_32x32\.mat is damaged, or another .*{message}"):
        open_data("svhn", 32, 3)


def mat(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    savemat(out, arrays)
    return out.getvalue()


SVHN = mat(X=np.zeros((32, 32, 3, 20), np.uint8), y=np.arange(20).reshape(-1, 1))


def test_a_mutated_mat_file_does_not_end_the_process(tmp_path):
    crashing = bytearray(SVHN)
    crashing[185] = 127  # the reader of SciPy 1.17 accesses memory that is not its own
    generator = np.random.default_rng(0)
    places = generator.integers(124, 260, 5)
    mutated = [SVHN[:place] + b"\xff" + SVHN[place + 1 :] for place in places]
    for content in (bytes(crashing), SVHN[:300], b"", *mutated):
        try:
            (tmp_path / "x.mat").write_bytes(content)
            matlab.read_mat(tmp_path / "x.mat", "X")
        except ValueError as error:
            assert "\n" not in str(error)  # noqa: PT017  # some mutations are legal files


def test_a_crash_of_the_reader_of_mat_files_is_reported(tmp_path, monkeypatch):
    program = tmp_path / "crash.py"
    program.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setattr(matlab, "__file__", str(program))
    with pytest.raises(ValueError, match=r"^SciPy's reader crashed with signal 11$"):
        matlab.read_mat(tmp_path / "x.mat", "X")


def test_the_reader_of_mat_files_never_unpickles_and_names_what_is_missing(tmp_path):
    (tmp_path / "x.mat").write_bytes(mat(X=np.array([[1, "a"]], object)))
    with pytest.raises(ValueError, match="X is not an array of numbers or words"):
        matlab.read_mat(tmp_path / "x.mat", "X")
    with pytest.raises(ValueError, match="KeyError: 'y'"):
        matlab.read_mat(tmp_path / "x.mat", "y")


@pytest.mark.parametrize(
    ("claimed", "held", "message"),
    [
        (1, 2, r"not the 784 bytes that an array of \(1, 28, 28\) has"),
        (2, 1, r"not the 1,568 bytes that an array of \(2, 28, 28\) has"),
        (2**31, 1, r"an array of 1,683,627,180,032 bytes; at most 1,073,741,824 are read"),
    ],
)
def test_no_more_of_an_idx_file_is_read_than_its_header_claims(tmp_path, claimed, held, message):
    header = struct.pack(">HBB3I", 0, 8, 3, claimed, 28, 28)
    (tmp_path / "x.gz").write_bytes(gzip.compress(header + bytes(784 * held)))
    with pytest.raises(ValueError, match=message):
        published.read_idx(tmp_path / "x.gz", 28, 28)


@pytest.mark.parametrize(
    ("name", "file"),
    [("cifar10", "cifar-10-binary.tar.gz"), ("imagenette", "imagenette2-320.tgz")],
)
def test_an_archive_that_unpacks_to_too_much_is_refused(cache, monkeypatch, name, file):
    monkeypatch.setattr(download, "UNPACKED", 2**20)
    archive(cache / name / file, {"test_batch.bin": bytes(2**20)})
    with pytest.raises(ValueError, match=rf"{file} is damaged, .*it unpacks to more than"):
        open_data(name, 32, 3)
    assert [path.name for path in (cache / name).iterdir()] == [file]


def test_a_mutated_archive_is_refused_in_one_sentence(cache):
    path = cache / "cifar10" / "cifar-10-binary.tar.gz"
    archive(path, {"test_batch.bin": bytes(3073), "batches.meta.txt": b"a b"})
    content, generator = path.read_bytes(), np.random.default_rng(0)
    for k in range(40):
        mutated = bytearray(content)
        for place in generator.integers(0, len(content), 3):
            mutated[place] = generator.integers(256)
        path.write_bytes(mutated[: generator.integers(len(content))] if k % 4 == 0 else mutated)
        with pytest.raises(ValueError, match="is damaged, or another file") as caught:
            open_data("cifar10", 32, 3)
        assert "\n" not in str(caught.value)


NESTED = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ('[["a"], ["b"]]', "its classes must be a list of names"),
        ('[{"a": 1}, "b"]', "its classes must be a list of names"),
        ('{"a": 0, "b": 1}', "its classes must be a list of names"),
        ('"ab"', "its classes must be a list of names"),
        ("[0, 1]", "its classes must be a list of names"),
        (NESTED, "its classes must be a list of names"),
        ('["a", "a"]', "two of its classes have the same name"),
        ("[", "Expecting value"),
    ],
)
def test_the_classes_of_a_packed_file_are_names(tmp_path, classes, message):
    save_packed(tmp_path / "x.pack", classes=classes)
    with pytest.raises(ValueError, match=rf"x\.pack is not a packed data set, .*{message}"):
        open_data(str(tmp_path / "x.pack"), 4, 1)


def save_packed(path: Path, train=(1, 4, 4), test=(1, 4, 4), classes='["a", "b"]') -> None:
    tensors = {}
    for split in SPLITS:
        shape = test if split == "test" else train
        tensors[f"{split}.pixels"] = torch.zeros(2, *shape, dtype=torch.uint8)
        tensors[f"{split}.labels"] = torch.tensor([0, 1])
    save_file(tensors, path, metadata={"classes": classes})


@pytest.mark.parametrize(
    ("train", "test"),
    [((1, 0, 0),) * 2, ((1, 4, 0),) * 2, ((0, 4, 4),) * 2, ((1, 4, 4), (1, 5, 5))],
)
def test_the_images_of_a_packed_file_have_one_size_that_is_not_empty(tmp_path, train, test):
    save_packed(tmp_path / "x.pack", train, test)
    message = r"x\.pack is not a packed .* images have the sizes \[\(.*, not one that is not empty"
    with pytest.raises(ValueError, match=message):
        open_data(str(tmp_path / "x.pack"), 4, 1)


def test_a_mutated_packed_file_is_read_or_refused_in_one_sentence(tmp_path):
    save_packed(tmp_path / "x.pack")
    content, generator = (tmp_path / "x.pack").read_bytes(), np.random.default_rng(0)
    for k in range(200):
        mutated = bytearray(content)
        for place in generator.integers(0, len(content), 3):
            mutated[place] = generator.integers(256)
        (tmp_path / "x.pack").write_bytes(mutated[:place] if k % 4 == 0 else mutated)
        try:
            open_data(str(tmp_path / "x.pack"), 4, 1)
        except ValueError as error:
            assert "\n" not in str(error)  # noqa: PT017  # pixels may have any value
