"""Files as they come: turned, huge, mutated, of any format, or no files at all."""

import os
import socket
import subprocess
import sys
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, features

from classicnets.api.pack import pack
from classicnets.data import decode, image_file
from classicnets.data.decode import read_image, read_images, read_sizes
from classicnets.data.image_file import formats, image_kind
from classicnets.data.sets import open_data

TURNS = {  # as the EXIF standard says where row 0 and column 0 of the stored pixels belong
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
    9: lambda a: a,  # no legal value
}
EXACT = {"quality": 100, "subsampling": "4:4:4"}
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")


def noise(h: int, w: int, cell: int = 16) -> np.ndarray:
    small = np.random.default_rng(0).integers(0, 256, (h, w, 3), dtype=np.uint8)
    return np.kron(small, np.ones((cell, cell, 1), np.uint8))


def encoded(values: np.ndarray, kind: str, **options) -> bytes:
    out = BytesIO()
    Image.fromarray(np.ascontiguousarray(values)).save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("kind", "options", "within"),
    [
        ("PNG", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("JPEG", EXACT, 12),
        ("MPO", EXACT, 12),
        pytest.param("AVIF", EXACT, 12, marks=needs_avif),
    ],
)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_once_by_its_orientation(tmp_path, kind, options, within, orientation):
    values = noise(5, 9)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path, by_hand = tmp_path / "turned", tmp_path / "by_hand"
    path.write_bytes(encoded(values, kind, exif=exif, **options))
    upright = TURNS[orientation](values)
    by_hand.write_bytes(encoded(upright, "PNG"))
    h, w = upright.shape[:2]
    for channels in (0, 3):
        assert read_sizes([path], channels)[0].tolist() == [[h, w]]
    window = [h - 48.0, w - 48.0, 32.0, 32.0]
    for side, box in ((80, None), (20, None), (32, window), (8, window)):
        x, y = (read_image(p, side, 3, box).int() for p in (path, by_hand))
        assert (x - y).abs().max() <= within


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_that_is_decoded_smaller_is_turned_too(tmp_path, orientation):
    values = noise(5, 9, cell=160)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path, by_hand = tmp_path / "turned", tmp_path / "by_hand"
    path.write_bytes(encoded(values, "JPEG", exif=exif, **EXACT))
    by_hand.write_bytes(encoded(TURNS[orientation](values), "PNG"))
    box = [160.0, 0.0, 640.0, 640.0]
    x, y = (read_image(p, 16, 3, box).int() for p in (path, by_hand))
    assert (x - y).abs().float().mean() < 2


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 6, 9])
def test_an_orientation_may_be_in_xmp(tmp_path, kind, orientation):
    values = noise(5, 9)
    xmp = f'<x tiff:Orientation="{orientation}"/>'
    if kind == "PNG":
        from PIL.PngImagePlugin import PngInfo

        options: dict = {"pnginfo": PngInfo()}
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp)
    elif kind == "TIFF":
        options = {"tiffinfo": {700: xmp.encode()}}
    else:
        options = {"xmp": xmp.encode()}
    (tmp_path / "x").write_bytes(encoded(values, kind, **options))
    h, w = TURNS[orientation](values).shape[:2]
    assert read_sizes([tmp_path / "x"], 3)[0].tolist() == [[h, w]]


def test_packed_squares_of_a_tiff_are_those_of_its_png(tmp_path):
    values = noise(5, 9)
    exif = Image.Exif()
    exif[0x0112] = 6
    packs = []
    for kind in ("PNG", "TIFF"):
        for name in "ab":
            for k in range(3):
                path = tmp_path / kind / name / f"{k}.{kind.lower()}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encoded(values + np.uint8(k), kind, exif=exif))
        pack(str(tmp_path / kind), tmp_path / f"{kind}.pack", side=20)
        packs.append(open_data(str(tmp_path / f"{kind}.pack"), 20, 3))
    assert torch.equal(packs[0].train.pixels, packs[1].train.pixels)


BYTES = {
    **{kind: encoded(noise(2, 3), kind) for kind in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP")},
    "PPM": encoded(noise(2, 3), "PPM"),
    "HEIF": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "AVIF": b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif",
}


@pytest.mark.parametrize("kind", BYTES)
@pytest.mark.parametrize("name", ["phone", "x.jpg", "x.txt", "x.PNG"])
def test_the_first_bytes_tell_an_image_and_not_its_name(tmp_path, kind, name):
    (tmp_path / name).write_bytes(BYTES[kind])
    assert image_kind(tmp_path / name) == kind
    if kind not in ("HEIF", "AVIF"):
        assert read_image(tmp_path / name, 16, 3).shape == (3, 16, 16)


@pytest.mark.parametrize(
    "content", [b"", b"P1 and P2", b"BMW 3 series is", b"GIF", b"II", b"{}", b"RIFF1234WAVE"]
)
def test_other_files_are_not_images(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    assert image_kind(tmp_path / "x.png") is None
    with pytest.raises(ValueError, match=r"x\.png cannot be read as an image: "):
        read_image(tmp_path / "x.png", 8, 3)


def test_a_file_of_a_known_format_that_cannot_be_opened_is_reported_as_damaged(tmp_path):
    (tmp_path / "x").write_bytes(BYTES["PNG"].replace(b"IHDR", b"IHDX"))
    with pytest.raises(ValueError, match=r"image: a damaged PNG, or an unknown variant$"):
        read_image(tmp_path / "x", 8, 3)


@pytest.mark.parametrize("kind", ["WEBP", "PNG"])  # a JPEG is read as it is
def test_exif_that_is_damaged_is_refused_in_our_words(tmp_path, kind):
    (tmp_path / "a").write_bytes(encoded(noise(2, 2), kind, exif=b"Exif\0\0" + b"x" * 5_000))
    reason = f"{tmp_path}/a cannot be read as an image: its EXIF data, which say how it is turned, "
    with pytest.raises(ValueError, match=f"^{reason}are damaged$"):
        read_image(tmp_path / "a", 8, 3)
    assert read_sizes([tmp_path / "a"])[1] == {0: f"{reason}are damaged"}


def test_a_format_that_needs_a_package_says_which(tmp_path, monkeypatch):
    without = tuple({*formats()} - {"HEIF", "AVIF"})
    monkeypatch.setattr(image_file, "formats", lambda: without)
    for kind, package in (("HEIF", r"pip install 'classicnets\[heif\]'"), ("AVIF", "Pillow 11.3")):
        (tmp_path / "x").write_bytes(BYTES[kind])
        with pytest.raises(ValueError, match=rf"x cannot be read as an image: {kind} .*{package}"):
            read_image(tmp_path / "x", 8, 3)
    assert {".heic", ".HEIF".lower(), ".avif"} <= image_file.image_suffixes()


PLUGIN = """
from PIL import Image, ImageFile
class Heif(ImageFile.ImageFile):
    format = "HEIF"
    def _open(self):
        self._size, self._mode = (6, 4), "L"
    def load(self):
        self.im = Image.new("L", (6, 4), 77).im
        return Image.Image.load(self)
def register_heif_opener():
    Image.register_open("HEIF", Heif, lambda start: start[4:8] == b"ftyp")
"""
READ = (
    "import sys; from classicnets.data.decode import *; print(read_image(sys.argv[1], 4, 1).max())"
)


def test_heif_is_read_where_its_package_is_installed(tmp_path):
    (tmp_path / "pillow_heif.py").write_text(PLUGIN)
    (tmp_path / "x").write_bytes(BYTES["HEIF"])
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    read = [sys.executable, "-c", READ, tmp_path / "x"]
    assert "tensor(77" in subprocess.run(read, env=env, capture_output=True, text=True).stdout


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "F"])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_is_the_same_whether_converted_whole_or_in_bands(monkeypatch, mode, channels):
    image = Image.fromarray(noise(3, 5)).convert(mode)
    if mode == "F":
        image = image.point(lambda v: v / 255)
    if mode == "P":
        image.info["transparency"] = 3
    monkeypatch.setattr(image_file, "BAND", 300)  # 3 rows
    banded = decode.as_square(image, 20, channels)
    monkeypatch.setattr(image_file, "BAND", 10**9)
    assert torch.equal(banded, decode.as_square(image, 20, channels))


@pytest.mark.skipif(os.name != "posix", reason="needs named pipes")
def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(tmp_path / "socket"))
        kinds = {
            tmp_path / "pipe": "it is a named pipe, not a regular file",
            tmp_path / "socket": "it is a socket, not a regular file",
            Path("/dev/zero"): "it is a device, not a regular file",
            tmp_path: "Is a directory",
        }
        (tmp_path / "link").symlink_to(tmp_path / "pipe")
        kinds[tmp_path / "link"] = kinds[tmp_path / "pipe"]
        _, reasons = read_images(list(kinds), 8, 3)
        assert reasons == {
            k: f"{path} cannot be read as an image: {why}"
            for k, (path, why) in enumerate(kinds.items())
        }
        assert {image_kind(path) for path in kinds} == {None}


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_several_frames_the_first_is_read(tmp_path, kind):
    first, *others = (Image.new("RGB", (8, 8), (50 * k, 50 * k, 50 * k)) for k in range(1, 4))
    options = {"lossless": True} if kind == "WEBP" else {}
    first.save(tmp_path / "x", kind, save_all=True, append_images=others, **options)
    assert read_image(tmp_path / "x", 8, 3).unique().tolist() == [50]


def test_a_colour_profile_and_a_zero_byte_file_do_no_harm(tmp_path):
    (tmp_path / "profile").write_bytes(encoded(noise(1, 1), "PNG", icc_profile=b"no profile"))
    (tmp_path / "empty").write_bytes(b"")
    _, reasons = read_images([tmp_path / "profile", tmp_path / "empty"], 8, 3)
    assert list(reasons) == [1]
    assert "empty cannot be read as an image: unknown image format" in reasons[1]


def mutations(content: bytes, count: int, seed: int = 0):
    """The file cut short, with bytes changed in its first 200, and anywhere."""
    generator = np.random.default_rng(seed)
    for k in range(count):
        mutated = bytearray(content)
        for place in generator.integers(0, (len(content), 200)[k % 2], 4):
            mutated[place % len(mutated)] = generator.choice([0, 127, 128, 255])
        yield bytes(mutated[: generator.integers(len(content))] if k % 3 == 0 else mutated)


@pytest.mark.parametrize("kind", sorted({"ICO", "PCX", "SGI", "TGA", "QOI", "DDS", *BYTES}))
def test_a_mutated_image_is_read_or_refused_in_one_sentence(tmp_path, kind):
    content = encoded(noise(2, 3), kind) if kind not in ("HEIF", "AVIF") else BYTES[kind]
    paths = [tmp_path / str(k) for k in range(24)]
    for path, mutated in zip(paths, mutations(content, len(paths)), strict=True):
        path.write_bytes(mutated)
    _, reasons = read_images(paths, 8, 3)
    _, found = read_sizes(paths, 3)
    assert reasons.keys() == found.keys()
    for k, reason in reasons.items():
        assert reason.startswith(f"{paths[k]} cannot be read as an image: ")
        assert "\n" not in reason
    assert not any(a == b for a, b in pairwise(sorted(reasons)))  # each file once
