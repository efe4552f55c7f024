"""The time and the memory that one image may take."""

import os
import struct
import subprocess
import sys
import time
import warnings
import zlib
from io import BytesIO
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from classicnets.api.pack import pack
from classicnets.data.decode import read_image, read_images, read_sizes
from classicnets.data.image_file import Reading, max_pixels
from classicnets.data.sets import open_data


def encoded(values: np.ndarray, kind: str, **options) -> bytes:
    out = BytesIO()
    Image.fromarray(values).save(out, kind, **options)
    return out.getvalue()


def noise(h: int, w: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (16 * h, 16 * w, 3), dtype=np.uint8)


BYTES = {kind: encoded(noise(2, 3), kind) for kind in ("JPEG", "PNG", "WEBP")}


def test_one_limit_holds_wherever_an_image_is_read(tmp_path, monkeypatch):
    for name in "ab":
        for k in range(4):
            path = tmp_path / "images" / name / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(noise(1, 1 + k), "PNG"))
    large = tmp_path / "images" / "a" / "3.png"  # 16 x 64
    monkeypatch.setenv("CLASSICNETS_MAX_PIXELS", "1023")
    reason = (
        f"{large} cannot be read as an image: 64 x 16 are 1,024 pixels; at most 1,023 are read "
        "(--max-pixels 1024, or CLASSICNETS_MAX_PIXELS, to read it)"
    )
    assert read_images([large], 8, 3)[1] == {0: reason}
    assert read_sizes([large])[1] == read_sizes([large], 3)[1] == {0: reason}
    for whole in (False, True):
        skipped = open_data(str(tmp_path / "images"), 8, 3, whole=whole).skipped
        assert [why for why in skipped if "3.png" in why and "a/" in why] == [reason]
    assert reason in pack(str(tmp_path / "images"), tmp_path / "x.pack", side=8).skipped
    monkeypatch.setenv("CLASSICNETS_MAX_PIXELS", "1024")
    assert read_images([large], 8, 3)[1] == read_sizes([large], 3)[1] == {}


@pytest.mark.parametrize("value", ["x", "0", "-1", "1e9", "1.5"])
def test_an_illegal_limit_is_refused_before_anything_is_read(monkeypatch, value):
    monkeypatch.setenv("CLASSICNETS_MAX_PIXELS", value)
    with pytest.raises(ValueError, match=f"MAX_PIXELS, must be a whole number .*, not '{value}'$"):
        read_images(["none.png"], 8, 3)


def test_pillows_own_limit_and_warnings_are_as_before_after_reading(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(BYTES["WEBP"])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow refuses from 201
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        assert read_images([tmp_path / "x"] * 4, 8, 3)[1] == {}
        assert warnings.filters == before
    assert Image.MAX_IMAGE_PIXELS == 100


def test_a_photograph_of_108_megapixels_is_read_at_an_eighth(tmp_path):
    assert max_pixels() >= 16384 * 12288  # the largest sensor of a phone
    Image.new("L", (12000, 9000), 99).save(tmp_path / "phone.jpg")
    start = time.monotonic()
    assert read_image(tmp_path / "phone.jpg", 32, 3).unique().tolist() == [99]
    assert read_sizes([tmp_path / "phone.jpg"], 3)[0].tolist() == [[9000, 12000]]
    assert time.monotonic() - start < 5  # 0.3 s on an idle machine


def test_threads_share_the_room_for_pixels(monkeypatch):
    monkeypatch.setenv("CLASSICNETS_MAX_PIXELS", "100")
    reading, together = Reading(), []

    def read(pixels: int) -> None:
        with reading.room(pixels):
            together.append(reading.pixels)
            time.sleep(0.01)

    threads = [Thread(target=read, args=(pixels,)) for pixels in (60, 60, 40, 40, 100, 10, 300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(together) == 7
    assert all(pixels <= 100 for pixels in together if pixels != 300)
    assert reading.pixels == 0


MEASURE = """
import resource, sys, torch
from classicnets.data.decode import read_images, read_sizes
from classicnets.support.machine import keep_memory
if sys.argv.pop(1) == "command line":
    keep_memory()
torch.set_num_threads(4)
read_images([sys.argv[1]], 32, 3)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
box = [0.0, 0.0, 32.0, 32.0]
_, reasons = read_images(sys.argv[2:] * 4, 32, 3, [box] * 4)
read_sizes(sys.argv[2:] * 4, 3)
assert not reasons, reasons
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
SIDE = 4000


def large(mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(np.full((SIDE, SIDE), 30000, np.uint16))
    if mode == "F":
        return Image.fromarray(np.full((SIDE, SIDE), 0.5, np.float32))
    return Image.new(mode, (SIDE, SIDE), 50)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="measures in kilobytes")
@pytest.mark.parametrize(
    ("mode", "name", "options"),
    [
        ("I;16", "x.png", {}),
        ("I;16", "command line.png", {}),
        ("F", "x.tif", {"compression": "tiff_adobe_deflate"}),
        ("RGB", "x.png", {}),
        ("RGBA", "x.png", {}),
        ("CMYK", "x.tif", {"compression": "tiff_lzw"}),
        ("P", "x.gif", {}),
        ("L", "x.jpg", {"progressive": True}),
    ],
)
def test_a_pixel_takes_12_bytes_at_most_however_many_threads_read(tmp_path, mode, name, options):
    large(mode).save(tmp_path / name, **options)
    (tmp_path / "small.png").write_bytes(BYTES["PNG"])
    where = name.partition(".")[0]
    command = [sys.executable, "-c", MEASURE, where, tmp_path / "small.png", tmp_path / name]
    env = {**os.environ, "CLASSICNETS_MAX_PIXELS": str(SIDE**2), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    slack = 48 * 2**10  # for bands and the threads' heaps
    assert int(done.stdout) < 12 * SIDE**2 / 2**10 + slack


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def with_metadata(kind: str, parts: int) -> bytes:
    content = BYTES[kind]
    if kind == "PNG":  # 8 bytes, and the header of 25
        return content[:33] + chunk(b"abCd") * parts + content[33:]
    exif = b"\xff\xe1" + struct.pack(">H", 65535) + b"Exif\0\0".ljust(65533, b"\0")
    return content[:2] + exif * parts + content[2:]


@pytest.mark.parametrize(("kind", "few", "many"), [("JPEG", 40, 400), ("PNG", 1000, 200_000)])
def test_metadata_are_bounded_in_size_and_number(tmp_path, kind, few, many):
    for parts in (few, many):
        (tmp_path / str(parts)).write_bytes(with_metadata(kind, parts))
    start = time.monotonic()
    reasons = read_images([tmp_path / str(few), tmp_path / str(many)], 8, 3)[1]
    assert list(reasons) == [1]
    assert reasons[1].endswith("its metadata are longer than 16 MiB")
    assert time.monotonic() - start < 5


def test_small_chunks_behind_the_pixels_of_a_png_are_bounded_too(tmp_path):
    end = chunk(b"IEND")
    content = BYTES["PNG"].removesuffix(end) + chunk(b"abCd") * 200_000 + end
    (tmp_path / "x").write_bytes(content)
    start = time.monotonic()
    with pytest.raises(ValueError, match="its metadata are longer"):
        read_image(tmp_path / "x", 8, 3)
    assert time.monotonic() - start < 5


def test_the_scans_of_a_progressive_jpeg_are_bounded(tmp_path):
    content = encoded(noise(2, 3), "JPEG", progressive=True)
    last = content[content.rindex(b"\xff\xc4") : -2]  # the tables and data of the last scan
    (tmp_path / "few").write_bytes(content)
    (tmp_path / "many").write_bytes(content[:-2] + last * 100 + b"\xff\xd9")
    reasons = read_images([tmp_path / "few", tmp_path / "many"], 8, 3)[1]
    assert list(reasons) == [1]
    assert "many cannot be read as an image: a progressive JPEG of 1" in reasons[1]
    assert reasons[1].endswith("scans; at most 100 are read")
