"""A set is looked at, and a messy folder or archive of images becomes one."""

import glob
import http.client
import io
import shutil
import zipfile
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from PIL import Image

from classicnets.api.overview import augmented, find_classes, overview

from .conftest import HOSTILE

FOX = "狐狸"


def coloured(kind: str, colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(file, kind)
    return file.getvalue()


def messy() -> dict[str, bytes]:
    """Two classes of ten images of mixed formats, and what lies about in such folders."""
    kinds = ("JPEG", "PNG", "BMP", "GIF", "WEBP")
    files = {}
    for k in range(10):
        kind = kinds[k % 5]
        files[f"photos/{FOX}/照片 {k}.{kind.lower()}"] = coloured(kind, (200, 20 * k, 0))
        files[f"photos/{HOSTILE}/{k}"] = coloured(kind, (0, 20 * k, 200))  # without an ending
    same = coloured("PNG", (9, 9, 9))
    return files | {
        f"photos/{FOX}/坏.jpg": b"not an image",
        f"photos/{HOSTILE}/empty.png": b"",
        f"photos/{FOX}/same.png": same,
        f"photos/{HOSTILE}/same.png": same,
        f"photos/{FOX}/notes.txt": b"text",
        f"photos/{FOX}/more.zip": b"PK\x05\x06" + bytes(18),
        f"photos/{FOX}/Thumbs.db": b"",
        "photos/loose.png": same,
        f"__MACOSX/photos/{FOX}/._0.jpeg": b"\0",
    }


def archive(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return file.getvalue()


def send(page, name: str, content: bytes) -> None:
    file: Any = {"name": name, "mimeType": "application/zip", "buffer": content}
    page.set_input_files("input[accept='.zip']", file)


def test_a_messy_archive_becomes_a_set_and_all_of_it_is_said(page, folder):
    page.goto("/data")
    page.get_by_role("button", name="Choose a zip file").wait_for()
    send(page, f"{HOSTILE}.zip", archive(messy()))
    # of 11 images of each class a tenth and a fifth are split off
    page.get_by_text(f"{FOX} · 8 / 1 / 2").wait_for()
    page.get_by_text(f"{HOSTILE} · 8 / 1 / 2").wait_for()
    page.get_by_text("Unreadable files: 2").wait_for()
    page.get_by_text(f"{FOX}/坏.jpg cannot be read as an image: unknown image").wait_for()
    page.get_by_text("Duplicates: 1").wait_for()
    page.get_by_text("are the same image under two labels").wait_for()
    page.get_by_text("not an image or of an unknown format (2)").wait_for()
    page.get_by_text("an image in no class folder (1): loose.png").wait_for()
    page.get_by_text("left by an operating system (1): __MACOSX").wait_for()
    page.get_by_text(f"left by an operating system (1): {FOX}/Thumbs.db").wait_for()
    page.get_by_text("30 x 40", exact=True).wait_for()
    page.locator("canvas").wait_for()
    assert page.locator("canvas").count() == 1
    (made,) = [p for p in (folder / "data").iterdir() if p.name != f"{HOSTILE} set"]
    assert {p.name for p in made.iterdir() if p.is_dir()} == {FOX, HOSTILE}
    page.get_by_text("side 32, crop 32, RandomCrop(pad=2").wait_for()
    page.reload()
    page.get_by_text(f"{FOX} · 8 / 1 / 2").wait_for()
    first = page.get_by_role("combobox", name="network").input_value()
    page.get_by_role("link", name="Train on it").click()
    page.wait_for_url(f"**/train?data={made.name}")
    assert page.get_by_role("combobox", name="network").input_value() == first
    page.get_by_role("combobox", name="data").click()
    page.get_by_role("option", name=made.name, exact=True).wait_for()
    page.goto("/data?name=digits")
    page.get_by_text("median height and width").wait_for()
    assert not page.get_by_role("button", name="Delete").count()  # of the package
    page.goto(f"/data?name={quote(made.name)}")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_url("**/data")
    assert not made.exists()
    assert len(list((folder / "trash").glob(f"{glob.escape(made.name)}-*"))) == 1


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"../up.png": b""}, "leads out of its folder"),
        ({"a.png": b"", "b.png": b""}, "has no class folders (loose images: 2)"),
        ({"a/a.txt": b"", "b/b.txt": b""}, "the folders in what was sent hold no images"),
        ({f"{HOSTILE}/a.png": b"", "b/b.png": b""}, f"'{HOSTILE}', 'b' in data/bad have too few"),
    ],
)
def test_what_is_refused_is_said_and_nothing_is_left(page, folder, files, why):
    before = sorted((folder / "data").iterdir())
    page.goto("/data")
    page.get_by_role("button", name="Choose a zip file").wait_for()
    send(page, "bad.zip", archive(files))
    page.get_by_role("alert").wait_for()
    assert why in page.get_by_role("alert").inner_text()
    assert sorted((folder / "data").iterdir()) == before


def test_images_that_are_gone_meanwhile_are_said(page, folder):
    page.goto("/data")
    page.get_by_role("button", name="Choose a zip file").wait_for()
    many = {f"{n:02}/{k}.png": coloured("PNG", (n, k, 0)) for n in range(12) for k in range(3)}
    send(page, "many.zip", archive(many))
    page.get_by_text("00 · 1 / 1 / 1").wait_for()
    (folder / "data" / "many").rename(folder / "elsewhere")
    page.get_by_role("button", name="2", exact=True).click()
    page.get_by_role("alert").filter(has_text="no such file").wait_for()
    shutil.rmtree(folder / "elsewhere")


def choose(page, path: str) -> None:
    page.set_input_files("input[webkitdirectory]", path)


def drop(page, path: str) -> None:
    """As from the desktop, which no script of a page can do."""
    box = page.get_by_text("Drop a folder").bounding_box()
    at = {"x": box["x"] + 9, "y": box["y"] + 9}
    data = {"items": [], "files": [path], "dragOperationsMask": 1}
    browser = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        browser.send("Input.dispatchDragEvent", {"type": kind, **at, "data": data})


@pytest.mark.parametrize("send", [choose, drop])
def test_a_folder_is_sent_with_its_paths(page, folder, write_folder, tmp_path, send):
    write_folder(tmp_path / f"{send.__name__} squares", 5)
    page.goto("/data")
    page.get_by_role("button", name="Choose a folder").wait_for()
    send(page, str(tmp_path / f"{send.__name__} squares"))
    page.get_by_text("light · 3 / 1 / 1").wait_for()
    place = folder / "data" / f"{send.__name__}-squares"
    assert len(list(place.rglob("*.png"))) == 10
    content = (tmp_path / f"{send.__name__} squares/dark/4.png").read_bytes()
    assert (place / "dark" / "4.png").read_bytes() == content


def test_a_known_set_is_shown_in_chinese_at_phone_width(page):
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto("/data?name=digits")
    page.get_by_role("button", name="中文").click()
    page.get_by_text("各类别的样本").wait_for()
    page.get_by_text("0 · 124 / 18 / 36").wait_for()
    page.get_by_text("side 32, crop 32, RandomCrop(pad=2").wait_for()
    mean = page.get_by_text("各通道的均值")
    assert mean.get_attribute("aria-description").startswith("像素取值 0 到 255")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    height = page.evaluate("document.documentElement.scrollHeight")
    page.mouse.wheel(0, height)
    page.wait_for_function("[...document.images].every(image => image.naturalWidth)")
    assert page.evaluate("document.documentElement.scrollHeight") == height  # nothing jumps


@pytest.mark.parametrize("name", ["/etc", "../data", HOSTILE])
def test_only_data_of_the_folder_are_shown(page, name):
    page.goto(f"/data?name={name}")
    page.get_by_role("alert").wait_for()
    assert "choose from" in page.get_by_role("alert").inner_text()


def test_pieces_are_taken_of_open_pages_only(site, folder):
    before = sorted((folder / "data").iterdir())
    connection = http.client.HTTPConnection(urlsplit(site).netloc, timeout=60)
    connection.request("POST", "/data/pieces/nothing?path=a.png&at=0", b"x")
    assert connection.getresponse().status == 404
    connection.close()
    assert sorted((folder / "data").iterdir()) == before


def test_the_classes_may_be_folders_within_folders(tmp_path):
    for name in ("a/b/cat", "a/b/dog", "__MACOSX/a"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("cat", "dog"):
        (tmp_path / "a/b" / name / "1.png").write_bytes(coloured("PNG", (1, 2, 3)))
    (tmp_path / "a" / ".DS_Store").touch()
    left = ("left by an operating system (2): __MACOSX, a/.DS_Store",)
    assert find_classes(tmp_path) == (tmp_path / "a/b", left)
    (tmp_path / "a/b/dog").rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="what was sent has only one class, 'cat'"):
        find_classes(tmp_path / "a")


def test_channels_counts_and_augmented_images_of_constant_colours_are_known(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for k in range(10):
            (tmp_path / name / f"{k}.png").write_bytes(coloured("PNG", (10, 20, 30)))
    found = overview(tmp_path)
    assert found.mean == pytest.approx((10, 20, 30))
    assert found.std == pytest.approx((0, 0, 0))
    assert (found.sizes, found.size, found.lacking) == ((14, 2, 4), (30, 40), [])
    made = augmented(found, "resnet20", "fast")
    first, *seen = made.rows[0]
    assert [image.getpixel((16, 16)) for image in (first, *seen)] == [(10, 20, 30)] * 5
    assert "HorizontalFlip()" in made.steps
    assert {image.size for image in seen} == {(32, 32)}
