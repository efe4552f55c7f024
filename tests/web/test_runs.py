"""A run is evaluated, exported and compared in its page."""

import fcntl
import json
import re
import shutil

import pytest

import classicnets as cn
from classicnets.support.files import lock_holder

from .conftest import Site, charts, open_page
from .test_training import choose, number_field


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
    assert line.inner_text().endswith(f": {expected.images} of 10 images")
    line.click()
    run_page.locator("canvas:visible").nth(2).wait_for()  # after the two of the curves
    kept = json.loads((squares / "evaluations" / "ten-crop.json").read_text())
    assert kept["confusion"] == [list(row) for row in expected.confusion]


@pytest.fixture
def on_digits(squares, folder):
    """A run that says that it was trained on a named set."""
    run = folder / "runs" / "on digits"
    shutil.copytree(squares, run, ignore=shutil.ignore_patterns(".lock", "e*"))
    about = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(about | {"data": "digits"}))
    yield run, about["test"]
    shutil.rmtree(run)


def test_data_are_offered_once_and_a_result_says_on_what_it_rests(page, on_digits):
    run, test = on_digits
    page.goto(f"/run/{run.name}")
    page.get_by_text("Evaluate").first.click()
    page.get_by_role("combobox", name="data").click()
    page.get_by_role("option", name="mnist", exact=True).wait_for()
    options = page.get_by_role("option").all_inner_texts()
    assert options[0] == "the run's own test images: digits"
    assert "digits" not in options[1:]
    page.keyboard.press("Escape")
    line = f"single: {test['top1_error']:.2f} % · the test part of digits: {test['images']} images"
    page.get_by_text(f"{line} · at the end of training").wait_for()
    kept = run / "evaluations"
    kept.mkdir()
    for name, which in (("one", "all images of /a/b"), ("two", "the test part of mnist")):
        (kept / f"{name}.json").write_text(json.dumps(test | {"data": which}))
    page.context.add_cookies([{"name": "language", "value": "zh", "url": page.url}])
    page.reload()
    page.get_by_text("评估", exact=True).first.click()
    page.get_by_text(f"b 的全部图像\uff1a{test['images']} 张图像").wait_for()
    page.get_by_text(f"mnist 的测试部分\uff1a{test['images']} 张图像").wait_for()


def test_the_axes_of_a_run_and_its_confusion_say_what_they_are(run_page, squares):
    run_page.locator("canvas").nth(1).wait_for()
    names = [(one["xAxis"][0]["name"], one["yAxis"][0]["name"]) for one in charts(run_page)]
    assert names[:2] == [("epoch", "loss"), ("epoch", "top-1 error, %")]
    run_page.get_by_text("Evaluate").first.click()
    run_page.get_by_text("at the end of training").click()
    run_page.get_by_text("Rows are true classes, columns predicted ones").first.wait_for()
    run_page.get_by_text("The number in a cell counts images.").first.wait_for()
    run_page.locator("canvas:visible").nth(2).wait_for()
    box = run_page.locator("canvas:visible").nth(2).bounding_box()
    assert box["height"] > box["width"]  # a square, and below it the names
    matrix = charts(run_page)[2]
    assert (matrix["xAxis"][0]["name"], matrix["yAxis"][0]["name"]) == ("predicted", "true class")
    assert matrix["visualMap"][0]["show"]
    counts = json.loads((squares / "run.json").read_text())["test"]["confusion"]
    for cell in matrix["series"][0]["data"]:
        column, row, share, count = cell["value"]
        assert int(cell["label"]["formatter"]) == count == counts[row][column]
        assert share == pytest.approx(100 * count / sum(counts[row]), abs=0.05)


def test_what_evaluate_refuses_is_said(run_page, squares):
    run_page.get_by_text("Evaluate").first.click()
    choose(run_page, "data", "digits")
    run_page.get_by_role("button", name="Evaluate", exact=True).last.click()
    run_page.get_by_role("alert").wait_for()
    said = run_page.get_by_role("alert").inner_text()
    assert said.startswith("digits has the classes ")
    assert not list((squares / "evaluations").glob("*digits*.json"))


def test_a_run_is_exported_and_its_file_downloaded(run_page, squares):
    run_page.get_by_text("Export", exact=True).first.click()
    choose(run_page, "format", "safetensors")
    run_page.get_by_role("button", name="Export", exact=True).last.click()
    file = squares / "exports" / "squares-fp32.safetensors"
    with run_page.expect_download() as download:
        run_page.get_by_role("button", name=file.name).click()
    assert download.value.path().read_bytes() == file.read_bytes()


def test_runs_are_sorted_by_a_column(page, squares, folder):
    for name, error in (("worse", 40.0), ("better", 2.0)):
        (folder / "runs" / name).mkdir()
        (folder / "runs" / name / "run.json").write_bytes((squares / "run.json").read_bytes())
        epoch = json.loads((squares / "metrics.jsonl").read_text().splitlines()[0])
        lines = [json.dumps(epoch | {"epoch": k, "step": k, "validation_top1_error": error})
                 for k in (1, 2, 3)]  # fmt: skip
        (folder / "runs" / name / "metrics.jsonl").write_text("\n".join(lines))
    page.goto("/runs")
    heading = page.get_by_role("columnheader", name="best validation error")
    for order in (["better", "worse"], ["worse", "better"]):
        heading.click()
        named = page.locator("tbody tr").filter(has_text=re.compile("^(better|worse)"))
        page.wait_for_function(
            "name => [...document.querySelectorAll('tbody tr td:first-child')].map("
            "e => e.innerText).filter(n => ['better', 'worse'].includes(n))[0] === name",
            arg=order[0],
        )
        assert named.locator("td:first-child").all_inner_texts() == order
    for name in ("worse", "better"):
        shutil.rmtree(folder / "runs" / name)


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


@pytest.fixture
def stopped(squares, folder):
    """A run that was stopped after an epoch, while another process trains in the folder."""
    run, other = folder / "runs" / "stopped", folder / "runs" / "other"
    training = cn.train("lenet5", folder / "squares", "fast", 400, folder / "stopped run")
    next(iter(training))
    training.save()
    shutil.copytree(folder / "stopped run", run)
    other.mkdir()
    with (other / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield run
    for path in (run, other, folder / "stopped run"):
        shutil.rmtree(path)


def test_a_run_is_resumed_once_and_stop_withdraws_it_while_it_waits(page, folder, stopped):
    page.goto("/run/stopped")
    resume = page.get_by_role("button", name="Resume")
    resume.dblclick()
    page.get_by_text(re.compile("Waiting for . before it")).wait_for()
    assert not resume.is_visible()
    assert not page.get_by_role("button", name="Delete").is_visible()
    queue = folder / "runs" / "queue.json"
    assert [job["name"] for job in json.loads(queue.read_text())] == ["stopped"]
    page.get_by_role("button", name="Stop").click()
    resume.wait_for()
    assert json.loads(queue.read_text()) == []
    assert not page.get_by_text("waits or is being trained").count()


def test_a_training_that_has_only_begun_is_stopped(browser, tmp_path):
    site = Site(tmp_path)
    page = open_page(browser, site.url)
    try:
        page.goto("/train")
        number_field(page, "epochs").fill("500")
        page.get_by_role("button", name="Start").click()
        page.wait_for_url("**/run/*")
        page.get_by_text("Training begins.").wait_for()
        assert not page.locator("canvas").first.is_visible()
        page.get_by_role("button", name="Stop").click()
        page.get_by_role("button", name="Stop").wait_for(state="hidden")
        assert not lock_holder(tmp_path / "runs" / "lenet5-digits-1")
    finally:
        page.close()
        assert site.stop() == 0
