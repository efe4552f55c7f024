"""A run is evaluated, exported and compared in its page."""

import json

import pytest

import classicnets as cn

from .test_training import choose


@pytest.fixture
def run_page(page, squares):
    page.goto(f"/run/{squares.name}")
    return page


def test_the_predictions_of_validation_images_are_shown_with_their_classes(run_page):
    run_page.get_by_text("Sample predictions").click()
    run_page.get_by_text("is dark").first.wait_for()


def test_a_run_is_evaluated_by_a_protocol_and_the_result_is_kept(run_page, squares):
    run_page.get_by_text("Evaluate").first.click()
    choose(run_page, "protocol", "ten-crop")
    run_page.get_by_role("button", name="Evaluate", exact=True).last.click()
    expected = cn.evaluate(squares, protocol="ten-crop")
    line = run_page.get_by_text(f"ten-crop: {expected.top1_error:.2f} %")
    line.wait_for()
    line.click()
    run_page.locator("canvas:visible").nth(2).wait_for()  # after the two of the curves
    kept = json.loads((squares / "evaluations" / "own-ten-crop.json").read_text())
    assert kept["confusion"] == [list(row) for row in expected.confusion]


def test_what_evaluate_refuses_is_said(run_page, squares):
    run_page.get_by_text("Evaluate").first.click()
    choose(run_page, "data", "digits")
    run_page.get_by_role("button", name="Evaluate", exact=True).last.click()
    run_page.get_by_role("alert").wait_for()
    said = run_page.get_by_role("alert").inner_text()
    assert said.startswith("digits has the classes ")
    assert not list((squares / "evaluations").glob("digits*.json"))


def test_a_run_is_exported_and_its_file_downloaded(run_page, squares):
    run_page.get_by_text("Export", exact=True).first.click()
    choose(run_page, "format", "safetensors")
    run_page.get_by_role("button", name="Export", exact=True).last.click()
    file = squares / "exports" / "squares-fp32.safetensors"
    with run_page.expect_download() as download:
        run_page.get_by_role("button", name=file.name).click()
    assert download.value.path().read_bytes() == file.read_bytes()


def test_confusion_matrices_stand_side_by_side(page, squares, folder):
    other = folder / "runs" / "squares too"
    other.mkdir()
    for name in ("run.json", "metrics.jsonl"):
        (other / name).write_bytes((squares / name).read_bytes())
    page.goto("/runs")
    page.get_by_role("combobox", name="Runs").wait_for()
    for name in ("squares", "squares too"):
        if not page.locator(".q-chip", has_text=name).count():
            choose(page, "Runs", name)
    page.locator("canvas").nth(2).wait_for()  # the curves, and a matrix for each
