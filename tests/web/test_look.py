"""An image is dropped or drawn, and explained; class names and file names are text."""

import io
import re
import shutil
import struct
import zlib
from base64 import b64decode
from typing import Any

import pytest
from PIL import Image

from .conftest import HOSTILE

pytestmark = pytest.mark.usefixtures("squares")


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


def test_each_method_has_evidence_of_its_own(page):
    page.goto("/look?run=squares")
    page.get_by_role("button", name="One of the test images").click()
    page.get_by_text(re.compile("^Evidence for")).wait_for()
    over = page.locator(".q-img[style*='absolute']")
    sources = set()
    for method in ("Grad-CAM", "occlusion", "gradients"):
        page.get_by_role("button", name=method).click()
        page.locator("[aria-pressed=true]", has_text=method).wait_for()
        for _ in range(60):  # each method has its own
            source = over.locator("img").last.get_attribute("src")
            if source not in sources:
                break
            page.wait_for_timeout(500)
        assert source not in sources
        sources.add(source)


def test_the_legend_has_the_colours_of_the_evidence(page):
    page.goto("/look?run=squares")
    page.get_by_role("button", name="One of the test images").click()
    page.get_by_text(re.compile("^Evidence for")).wait_for()
    page.get_by_text("no evidence").wait_for()
    page.get_by_text("most evidence").wait_for()
    over, scale = page.locator(".q-img[style*='absolute']"), page.locator("[style*=gradient]")
    source = over.locator("img").last.get_attribute("src")
    with Image.open(io.BytesIO(b64decode(source.partition("base64,")[2]))) as seen:
        pixels = {pixel for _, pixel in seen.getcolors(10_000)}
    (colour,) = {pixel[:3] for pixel in pixels}
    assert max(pixel[3] for pixel in pixels) == 255
    drawn = scale.evaluate("e => getComputedStyle(e).backgroundImage")
    assert f"rgba{(*colour, 0)}, rgb{colour}" in drawn
    page.locator(".q-slider__track-container").focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("e => e.style.opacity === '0.55'", arg=scale.element_handle())


def test_what_is_not_an_image_is_said_by_its_name(page):
    page.goto("/look?run=squares")
    page.set_input_files(
        "input[type=file]",
        {"name": f"{HOSTILE}.png", "mimeType": "image/png", "buffer": b"no image"},
    )
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert f"{HOSTILE}.png cannot be read as an image: unknown image format" in alert.inner_text()


def test_each_file_leaves_the_uploader_which_stays_as_high(page):
    page.goto("/look?run=squares")
    listed, uploader = page.locator(".q-uploader__file"), page.locator(".q-uploader")
    uploader.wait_for()
    height = uploader.evaluate("e => e.offsetHeight")
    for light in (20, 220, 120):
        page.set_input_files("input[type=file]", sent(light))
        page.get_by_text(re.compile("^Evidence for")).wait_for()
        listed.wait_for(state="detached")
        assert uploader.evaluate("e => e.offsetHeight") == height
    assert not page.get_by_text("0.00%").is_visible()


def test_a_run_that_is_not_there_is_not_taken_for_another(page, folder, squares):
    (folder / "runs" / "bare").mkdir()
    shutil.copy(squares / "run.json", folder / "runs" / "bare")
    page.goto("/look?run=bare")
    page.get_by_role("alert").get_by_text("bare has no weights yet", exact=True).wait_for()
    shutil.rmtree(folder / "runs" / "bare")
    page.goto("/look?run=square")
    page.get_by_role("alert").wait_for()
    assert page.get_by_role("alert").inner_text() == "no run 'square'"
    assert not page.get_by_role("button", name="Camera").count()
    page.get_by_role("link", name="squares").click()
    page.get_by_role("button", name="Camera").wait_for()


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
    page.get_by_text("F6 · 32 of 84 maps").wait_for()
    assert page.locator("polyline").count() == 1
    page.get_by_role("button", name="clear").click()
    page.wait_for_function("document.querySelectorAll('polyline').length === 0")
    page.get_by_text("F6 · 32 of 84 maps").wait_for(state="hidden")


def test_on_a_phone_a_finger_draws_and_the_answer_stands_below_it(page):
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto("/look?run=squares")
    square = page.locator(".cursor-crosshair")
    square.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    box = square.bounding_box()
    touch = page.context.new_cdp_session(page)
    for k, kind in enumerate(("touchStart", "touchMove", "touchMove", "touchMove", "touchEnd")):
        point = {"x": box["x"] + 40 + 30 * k, "y": box["y"] + 40 + 30 * k}
        points = [] if kind == "touchEnd" else [point]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    page.get_by_role("button", name=re.compile(r"· \d")).last.wait_for()
    answers = page.locator(".order-first").element_handle()  # whose buttons change meanwhile
    page.wait_for_function(  # the first answer may come before the last corner
        "document.querySelector('polyline').getAttribute('points').split(' ').length >= 4"
    )
    drawn = page.locator("polyline").get_attribute("points")
    scale = 280 / box["width"]
    corners = [[scale * (40 + 30 * k)] * 2 for k in range(4)]
    assert [[float(x) for x in at.split(",")] for at in drawn.split()] == [
        pytest.approx(corner, abs=2) for corner in corners
    ]
    box, below = square.bounding_box(), answers.bounding_box()
    assert box["y"] + box["height"] < below["y"] < box["y"] + 350
    page.set_viewport_size({"width": 1280, "height": 900})
    box, below = square.bounding_box(), answers.bounding_box()
    assert box["width"] == 280
    assert below["x"] > 320  # beside the image, as ever


def test_a_test_image_is_explained_by_all_that_layers_see(page):
    page.goto("/look?run=squares")
    page.get_by_role("button", name="One of the test images").click()
    page.get_by_text("· is ").wait_for()
    for kind, said in (
        ("Deconvnet", "C1 · the strongest maps projected back to the pixels"),
        ("Strongest patches", "C1 · the test images' parts that activate maps"),
        ("Nearest training images", "By the distance of what the last layer reads"),
    ):
        page.get_by_role("button", name=kind).click()
        page.get_by_text(said).wait_for()
    assert page.get_by_role("alert").count() == 0


def test_a_photo_by_the_camera_is_explained(page):
    page.goto("/look?run=squares")
    page.get_by_role("button", name="Camera").click()
    page.wait_for_function("document.querySelector('video.camera')?.videoWidth > 0")
    page.get_by_role("button", name="Take a photo").click()
    page.get_by_text("Likeliest classes").wait_for()


def test_the_opacity_of_the_evidence_is_set_by_the_keyboard(page):
    page.goto("/look?run=squares")
    page.get_by_role("button", name="One of the test images").click()
    page.get_by_text(re.compile("^Evidence for")).wait_for()
    over = page.locator(".q-img[style*='absolute']")
    assert over.evaluate("image => image.style.opacity") == "0.6"
    page.locator(".q-slider__track-container").focus()
    for key, opacity in (("ArrowRight", "0.65"), ("ArrowRight", "0.7"), ("ArrowLeft", "0.65")):
        page.keyboard.press(key)
        for _ in range(60):
            if (now := over.evaluate("image => image.style.opacity")) == opacity:
                break
            page.wait_for_timeout(250)
        assert now == opacity
