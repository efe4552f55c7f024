"""An image is dropped or drawn, and explained; class names and file names are text."""

import io
import shutil
import struct
import zlib
from typing import Any

import pytest
from PIL import Image

import classicnets as cn

from .conftest import HOSTILE


@pytest.fixture(scope="module", autouse=True)
def run(folder, write_folder) -> None:
    """LeNet-5 on two classes, one of them with a hostile name."""
    data = write_folder(folder / "squares", 5)
    (data / "light").rename(data / HOSTILE)
    cn.train("lenet5", data, "fast", 3, folder / "squares run").finish()
    # not where this process holds the lock, for which the queue would wait
    shutil.copytree(folder / "squares run", folder / "runs" / "squares")


def sent(light: int) -> dict[str, Any]:
    file = io.BytesIO()
    Image.new("L", (30, 40), light).save(file, "PNG")
    return {"name": f"{HOSTILE}.png", "mimeType": "image/png", "buffer": file.getvalue()}


def test_an_image_is_explained_and_names_stay_text(page):
    page.goto("/look?run=squares")
    page.set_input_files("input[type=file]", sent(220))
    page.get_by_text("Feature maps").wait_for()
    page.get_by_text("C1 · 6 of 6 maps, the strongest first; zero is middle grey").wait_for()
    assert page.get_by_text("F6 · 32 of 84 maps").count() == 1
    page.get_by_role("button", name="dark ·").click()
    page.get_by_text("Evidence for dark").wait_for()
    page.get_by_role("button", name=HOSTILE).first.click()
    page.get_by_text(f"Evidence for {HOSTILE}").wait_for()
    for method in ("occlusion", "gradients"):
        page.get_by_role("button", name=method).click()
        page.locator("[aria-pressed=true]", has_text=method).wait_for()


def test_what_is_not_an_image_is_said_by_its_name(page):
    page.goto("/look?run=squares")
    page.set_input_files(
        "input[type=file]",
        {"name": f"{HOSTILE}.png", "mimeType": "image/png", "buffer": b"no image"},
    )
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert f"{HOSTILE}.png cannot be read as an image: unknown image format" in alert.inner_text()


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(page):
    page.goto("/look?run=squares")
    head = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    good = sent(220)["buffer"]
    bomb = good[:12] + head + struct.pack(">I", zlib.crc32(head)) + good[33:]
    page.set_input_files(
        "input[type=file]", {"name": "bomb.png", "mimeType": "image/png", "buffer": bomb}
    )
    page.get_by_role("alert").wait_for()
    assert "pixels; at most" in page.get_by_role("alert").inner_text()


def test_a_digit_that_is_drawn_is_answered(page):
    page.goto("/look?run=squares")
    square = page.locator(".cursor-crosshair")
    square.wait_for()
    page.wait_for_timeout(300)
    box = square.bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    for k in range(5):
        page.mouse.move(box["x"] + 60 + 30 * k, box["y"] + 60 + 30 * k)
    page.mouse.up()
    page.get_by_text("Likeliest classes").wait_for()
    assert page.locator("polyline").count() == 1
    page.get_by_role("button", name="clear").click()
    page.wait_for_function("document.querySelectorAll('polyline').length === 0")
