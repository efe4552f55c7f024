"""A training is started, watched, stopped and resumed from the page, and outlives the server."""

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from classicnets.support.files import lock_holder

from .conftest import Site, open_page


def choose(page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label).click()
    page.get_by_role("option", name=option, exact=True).click()


def number_field(page, label: str):
    """One of the fields above the recipe's own list, which has some of the same names."""
    return page.get_by_role("textbox", name=label, exact=True).first


def test_a_training_is_estimated_and_started_and_its_run_is_shown(page, folder):
    page.goto("/train")
    choose(page, "recipe", "fast (modern)")
    number_field(page, "epochs").fill("2")
    page.get_by_role("button", name="Estimate").click()
    page.get_by_text("lenet5 · 1,259 images of digits · 1x32x32 · batches of").wait_for()
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/run/lenet5-digits-1")
    page.get_by_text("ended", exact=True).wait_for()
    assert page.get_by_text("2 / 2").is_visible()
    page.get_by_role("button", name="Log").click()
    page.get_by_text("epoch 2/2: lr").wait_for()
    page.goto("/runs")
    page.get_by_role("link", name="lenet5-digits-1").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="cancel").click()
    page.get_by_role("dialog").wait_for(state="hidden")
    assert (folder / "runs" / "lenet5-digits-1" / "run.json").exists()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_url("**/runs")
    assert not (folder / "runs" / "lenet5-digits-1").exists()
    thrown, log = sorted((folder / "trash").glob("lenet5-digits-1-*"))
    assert (thrown / "weights.safetensors").exists()
    assert log.name == f"{thrown.name}.log"
    page.goto("/run/lenet5-digits-1")
    page.get_by_role("alert").filter(has_text="no run 'lenet5-digits-1'").wait_for()


def test_every_value_has_its_source_and_a_changed_one_is_checked_and_used(page, folder):
    page.goto("/train?network=alexnet&data=mnist")  # which has many images
    page.get_by_text("Every value of the recipe").click()
    page.get_by_text("section 5").first.wait_for()
    batch, decay = (page.get_by_label(name, exact=True) for name in ("batch", "optimizer"))
    assert batch.input_value() == "128"  # section 5: "a batch size of 128 examples"
    assert "weight_decay=0.0005" in decay.input_value()
    batch.fill("0")
    page.get_by_text("batch must be a whole number of at least 1, not 0").first.wait_for()
    page.get_by_role("button", name="Start").click()
    refused = page.get_by_role("alert").filter(has_text="batch must be")
    refused.last.wait_for()
    assert not page.get_by_text("Something failed").count()
    assert not list((folder / "runs").glob("alexnet*"))


@pytest.mark.parametrize("typed", ["-3", "1e-"])
def test_what_is_no_legal_number_is_said_below_its_field_and_starts_nothing(page, folder, typed):
    page.goto("/train?network=plain20")
    page.get_by_text("Adapted to these images").wait_for()
    for name, negative, other in (
        ("epochs", "epochs must be a whole number of at least 1, not -3", "epochs cannot be '1e-'"),
        ("learning rate", "lr must be at least 0, not -3", "'1e-'; it takes a number, Constant"),
        ("batch size", "batch must be a whole number of at least 1, not -3", "batch cannot be "),
        ("seed", "seed must be a whole number from 0 to 2**64 - 1, not -3", "2**64 - 1, not '1e-'"),
    ):
        said = negative if typed == "-3" else other
        field = number_field(page, name)
        before = field.input_value()
        field.fill(typed)
        page.get_by_role("button", name="Start").click()
        page.get_by_role("alert").filter(has_text=said).nth(1).wait_for()  # below it, and at Start
        assert field.input_value() == typed
        field.fill(before)
    assert not list((folder / "runs").glob("plain20*"))


def test_few_images_have_the_values_adapted_to_them_and_others_follow_a_changed_one(page):
    page.goto("/train?network=resnet20")
    page.get_by_text("Adapted to these images, as the list says: ").wait_for()
    page.get_by_text("Every value of the recipe").click()
    batch, lr = (page.get_by_label(name, exact=True) for name in ("batch", "learning rate (lr)"))
    # docs/training.md: the largest power of two with 25 batches in an epoch of 1,259 images, and
    # the paper's rate of 0.1 in proportion to its batch of 128
    assert batch.input_value() == "32"
    assert "start=0.025," in lr.input_value()
    page.get_by_text("the recipe has 128, section 4.2").wait_for()
    rate = number_field(page, "learning rate")
    assert rate.get_attribute("placeholder").startswith("0.025, ")
    number_field(page, "batch size").fill("64")
    rate.click()
    page.get_by_text("64 in place of 128").wait_for()
    assert "start=0.05," in lr.input_value()
    assert batch.input_value() == "64"


def test_what_is_typed_before_the_page_is_connected_comes_before_the_click(page):
    page.add_init_script("""
        const later = Date.now() + 1000;
        let connected = false;
        Object.defineProperty(window, "did_handshake", {
            get() { return connected && Date.now() > later },
            set(value) { connected = value },
        });
    """)
    for _ in range(4):
        page.goto("/train?network=lenet5", wait_until="commit")
        for name, value in {"learning rate": "0.1", "seed": "3", "epochs": "7"}.items():
            number_field(page, name).fill(value)
        page.get_by_role("button", name="Estimate").click()
        page.get_by_text(" · 7 epochs · ").wait_for()


def test_what_is_given_is_there_again_when_one_comes_back(page):
    page.goto("/train?network=resnet20")
    page.get_by_text("Every value of the recipe").click()
    epochs = number_field(page, "epochs")
    lr = page.get_by_label("learning rate (lr)", exact=True)
    own = lr.input_value()
    lr.fill("")
    epochs.fill("2")  # 80 steps: 1,259 images in batches of 32
    lr.click()
    page.get_by_text("80 steps will hardly train a network").wait_for()
    page.get_by_text("8 epochs would do").wait_for()
    assert lr.input_value() == own
    size = number_field(page, "batch size")
    assert size.get_attribute("placeholder") == "32, adapted"
    page.get_by_label("patience", exact=True).fill("3")
    epochs.click()
    page.wait_for_url("**epochs=2*set.patience=3*")
    page.goto("/runs")
    page.go_back()
    page.get_by_text("80 steps will hardly train a network").wait_for()
    assert epochs.input_value() == "2"
    page.get_by_text("Every value of the recipe").click()
    assert page.get_by_label("patience", exact=True).input_value() == "3"
    page.goto("/train?network=nonsense")
    page.get_by_role("alert").filter(has_text="no network 'nonsense'").wait_for()


def test_a_training_starts_from_the_weights_of_a_run(page, folder, squares):
    page.goto("/train")
    page.get_by_text("Every value of the recipe").click()
    batch = page.get_by_label("batch", exact=True)
    batch.wait_for()
    choose(page, "weights to start from", "squares")
    batch.fill("40")  # while the page still reads the recipe of a fine-tuning
    number_field(page, "epochs").fill("1")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/run/lenet5-digits-*")
    page.get_by_text("ended", exact=True).wait_for()
    run = folder / "runs" / page.url.rpartition("/")[2]
    config = json.loads((run / "run.json").read_text())
    assert config["recipe"]["batch"] == 40
    assert config["recipe"]["init"]["kind"] == "FromRun"


def test_what_is_changed_in_the_list_stays_with_another_recipe(page):
    page.goto("/train?network=resnet20&set.patience=3&set.unknown=1")
    page.get_by_text("Changed in the list: patience", exact=True).wait_for()
    page.get_by_text("Every value of the recipe").click()
    batch, patience = (page.get_by_label(name, exact=True) for name in ("batch", "patience"))
    batch.fill("128")
    choose(page, "recipe", "fast (modern)")
    page.get_by_text("Changed in the list: patience, batch", exact=True).wait_for()
    assert (patience.input_value(), batch.input_value()) == ("3", "128")
    batch.fill("")
    patience.click()
    page.get_by_text("Changed in the list: patience", exact=True).wait_for()
    assert batch.input_value() == "32"  # as above: of 1,259 images 25 batches in an epoch
    page.wait_for_url("**recipe=fast&set.patience=3")
    choose(page, "recipe", "fine-tune")
    batch.fill("x")
    page.get_by_text("batch cannot be 'x'; it takes").first.wait_for()
    choose(page, "recipe", "fast (modern)")
    page.get_by_text("batch cannot be 'x'; it takes").first.wait_for()
    assert batch.input_value() == "x"


def test_a_mistake_is_said_and_starts_nothing(page, folder):
    (folder / "designs" / "wrong.net").write_text("[8x8x1] input\nconv1: 4 9x9 filters\n")
    page.goto("/train?network=wrong.net")
    page.get_by_role("alert").filter(has_text="line 2").wait_for()
    page.get_by_role("button", name="Start").click()
    page.get_by_role("alert").filter(has_text="line 2").nth(1).wait_for()
    assert not (folder / "runs" / "wrong-digits-1").exists()


@pytest.mark.slow
def test_a_training_outlives_the_server_and_is_stopped_and_resumed_after_it(browser, tmp_path):
    first = Site(tmp_path)
    page = open_page(browser, first.url)
    page.goto("/train")
    number_field(page, "epochs").fill("500")
    page.get_by_role("button", name="Start").click()
    page.get_by_text("training", exact=True).first.wait_for()
    page.close()
    os.kill(first.process.pid, signal.SIGKILL)
    first.stop()
    directory = tmp_path / "runs" / "lenet5-digits-1"
    process = lock_holder(directory)
    assert process

    second = Site(tmp_path)
    page = open_page(browser, second.url)
    try:
        page.goto("/run/lenet5-digits-1")
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("stopped", exact=True).wait_for()
        assert not lock_holder(directory)
        page.get_by_role("button", name="Resume").click()
        page.get_by_text("training", exact=True).first.wait_for()
        assert page.get_by_role("button", name="Stop").is_visible()
        assert lock_holder(directory) not in (0, process)
    finally:
        page.close()
        _end(directory)
        assert second.stop() == 0


@pytest.mark.slow
def test_lenet5_learns_the_digits_though_the_server_is_killed_meanwhile(browser, tmp_path):
    first = Site(tmp_path)
    page = open_page(browser, first.url)
    page.goto("/train")
    page.get_by_role("button", name="Start").click()
    # an epoch may be over before the page looks again
    page.get_by_text(re.compile("^[1-9][0-9]? / 30$")).wait_for()
    os.kill(first.process.pid, signal.SIGKILL)
    directory = tmp_path / "runs" / "lenet5-digits-1"
    assert lock_holder(directory)  # it trains on
    page.close()
    first.stop()

    second = Site(tmp_path)
    page = open_page(browser, second.url)
    try:
        page.goto("/run/lenet5-digits-1")
        page.get_by_text("ended", exact=True).wait_for(timeout=240_000)
        page.get_by_text("30 / 30", exact=True).wait_for()
        run = json.loads((directory / "run.json").read_text())
        assert run["test"]["top1_error"] < 3
        page.get_by_text(f"{run['test']['top1_error']:.2f}", exact=True).wait_for()
    finally:
        page.close()
        _end(directory)
        assert second.stop() == 0


@pytest.mark.slow
def test_a_second_training_waits_for_the_first_and_is_withdrawn(browser, tmp_path):
    site = Site(tmp_path)
    page = open_page(browser, site.url)
    try:
        for _ in range(2):
            page.goto("/train")
            number_field(page, "epochs").fill("500")
            page.get_by_role("button", name="Start").dblclick()  # which starts one
            page.wait_for_url("**/run/*")
        page.get_by_text("Waiting for 1 before it").wait_for()
        page.goto("/runs")
        page.get_by_role("row", name="lenet5-digits-2 Waiting 0 lenet5 digits").wait_for()
        assert not page.get_by_text("lenet5-digits-3").count()
        page.goto("/train")
        page.get_by_text("Waiting", exact=True).wait_for()
        page.get_by_role("link", name="lenet5-digits-2").wait_for()
        page.goto("/runs")
        link = page.get_by_role("link", name="lenet5-digits-1")
        link.wait_for()
        page.get_by_role("cell", name="digits", exact=True).first.hover()
        page.mouse.down()  # beside the link, which it would follow
        page.wait_for_timeout(1500)  # until the server knows
        link.evaluate("link => link.setAttribute('data-marked', '')")
        page.wait_for_timeout(3500)  # in which the table would have new rows three times
        assert page.locator("[data-marked]").count() == 1
        page.mouse.up()
        for address in ("/run/lenet5-digits-1", "/run/lenet5-digits-2", "/train"):
            page.goto(address)
            _assert_kept(page)
        # pressed for longer than the page takes to look again
        page.get_by_role("button", name="withdraw").click(delay=2500)
        page.get_by_text("Waiting", exact=True).wait_for(state="detached")
        assert json.loads((tmp_path / "runs" / "queue.json").read_text()) == []
        assert not (tmp_path / "runs" / "lenet5-digits-2").exists()
    finally:
        page.close()
        assert site.stop() == 0
        _end(tmp_path / "runs" / "lenet5-digits-1")


def _assert_kept(page) -> None:
    """What can be pressed stays the same element while the page looks again: a click that begins
    on one element and ends on another is lost. A page that is still laid out is tried again."""
    pressable = "button:visible, a:visible, input:visible, [role=checkbox]:visible"
    page.locator(pressable).first.wait_for()
    seen = []
    for _ in range(5):
        marked = page.locator(pressable).evaluate_all(
            "them => them.map(one => one.setAttribute('data-marked', '')).length"
        )
        page.wait_for_timeout(4500)  # twice as long as until it looks again
        seen.append((marked, page.locator("[data-marked]:visible").count()))
        if marked == seen[-1][1]:
            return
    pytest.fail(f"{page.url}: {seen} (marked, kept)")


def _end(directory: Path) -> None:
    """Ends whatever trains there."""
    until = time.monotonic() + 30
    while (process := lock_holder(directory)) and time.monotonic() < until:
        os.kill(process, signal.SIGKILL)
        time.sleep(0.1)


def test_runs_with_any_names_are_compared_and_a_damaged_one_is_said(page, folder):
    from .conftest import HOSTILE

    for name in ("broken", HOSTILE):
        (folder / "runs" / name).mkdir(parents=True)
        (folder / "runs" / name / "run.json").write_text("{")
    try:
        page.goto("/runs")
        page.get_by_role("link", name=HOSTILE).wait_for()
        assert page.get_by_text("damaged").count() >= 2
        page.get_by_text("Compare", exact=True).wait_for()
        page.get_by_role("link", name=HOSTILE).click()
        page.get_by_text(re.compile("run.json is damaged")).wait_for()
    finally:
        for name in ("broken", HOSTILE):
            shutil.rmtree(folder / "runs" / name)
