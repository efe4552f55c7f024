"""A design is written in the page: errors at their lines, figures, moves, saving, training."""

import re

import pytest

from .test_training import choose


@pytest.fixture
def editor(page):
    page.goto("/design?network=lenet5")
    page.locator(".cm-content").wait_for()
    page.get_by_text("60,000").first.wait_for()
    return page


def replace_with(page, text: str) -> None:
    page.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(text)


def measured(page, parameters: str) -> None:
    """Waits until the figures of what is written are there, which move what stands below them."""
    page.get_by_text(parameters, exact=True).first.wait_for()


def test_an_error_is_said_at_its_line_and_figures_follow_what_is_typed(editor):
    replace_with(editor, "[8x8x1] input\nconv1: 4 3x3 filters\nfc2: 2 neurons, group 3")
    editor.get_by_text("3  ← line 3: 'fc2' has no option 'group 3'").wait_for()
    for _ in range(len(", group 3")):
        editor.keyboard.press("Backspace")
    editor.get_by_text("[6x6x4]").wait_for()
    editor.get_by_text("330", exact=True).wait_for()  # 4 (9 + 1) + 2 (144 + 1)
    editor.get_by_text("no non-linearity between conv1 and fc2").wait_for()


def test_typing_fast_loses_nothing(editor):
    replace_with(editor, "[8x8x1] input\n")
    typed = "conv1: 4 3x3 filters, pad 1, no bias"
    editor.keyboard.type(typed, delay=5)
    editor.get_by_text("[8x8x4]").wait_for()
    assert editor.locator(".cm-line").nth(1).inner_text() == typed


def test_a_move_is_shown_before_it_is_applied_and_taken_back(editor):
    replace_with(editor, "[8x8x1] input\nconv1: 4 3x3 filters -> relu\nfc2: 2 neurons")
    measured(editor, "330")  # 4 (9 + 1) + 2 (144 + 1)
    editor.get_by_role("button", name="Look for moves").click()
    editor.get_by_text("batch-norm: parameters").click()
    editor.get_by_text("with batch-norm").first.wait_for()
    assert editor.locator(".cm-content", has_text="batch norm").count() == 0
    # by the keyboard, as they move while what is above them opens
    editor.get_by_role("button", name="Apply").locator("visible=true").press("Enter")
    editor.locator(".cm-content", has_text="batch norm").wait_for()
    editor.get_by_text("batch-norm is applied").wait_for()
    measured(editor, "334")  # without the bias of conv1, with the scale and shift of four maps
    editor.get_by_role("button", name="Undo the move").press("Enter")
    editor.locator(".cm-content", has_text="batch norm").wait_for(state="detached")


def test_a_design_is_saved_and_leads_to_training(editor, folder):
    text = "[8x8x1] input\nconv1: 4 3x3 filters -> relu\nfc2: 2 neurons\n"
    replace_with(editor, text)
    editor.get_by_text("[6x6x4]").wait_for()
    name = editor.get_by_role("textbox", name="file")
    for wrong, why in (("../out.net", "is not a name in designs"), ("mine.py", "ends in .net")):
        name.fill(wrong)
        editor.get_by_role("button", name="Save", exact=True).click()
        editor.get_by_text(why).first.wait_for()
    name.fill("mine.net")
    editor.get_by_role("button", name="Save", exact=True).click()
    editor.get_by_text("mine.net is saved").wait_for()
    assert not editor.locator("[role=status]", has_text="Not saved").count()  # but for notices
    editor.get_by_role("button", name="Save and train").click()
    editor.wait_for_url("**/train?network=mine.net")
    assert (folder / "designs" / "mine.net").read_text() == text
    assert not (folder / "out.net").exists()


def test_a_network_to_begin_with_is_chosen_by_its_name_and_enter(editor):
    editor.get_by_role("combobox", name="Begin with").fill("alexnet")
    editor.keyboard.press("Enter")
    editor.wait_for_url("**/design?network=alexnet")


def test_a_design_that_is_not_saved_is_planned(editor, folder):
    before = sorted(folder.rglob("*.net"))
    replace_with(editor, "[28x28x1] input\nconv1: 4 3x3 filters -> relu\nfc2: 10 neurons")
    measured(editor, "27,090")
    editor.get_by_role("button", name="Estimate").click()
    editor.get_by_text("It fits.").wait_for()
    editor.get_by_text("Memory, part by part").click()
    # 4 (9 + 1) + 10 (4 x 26 x 26 + 1) parameters of 4 bytes
    weights = editor.get_by_role("row", name=re.compile("^weights ")).inner_text()
    assert weights.split()[1:3] == [f"{(40 + 27_050) * 4 / 1024:.2f}", "KiB"]
    heading = "the design · 1,259 images of digits · 1x28x28 · batches of 32 · "
    editor.get_by_text(f"{heading}32 epochs").wait_for()
    choose(editor, "recipe", "fine-tune")
    editor.get_by_role("button", name="Estimate").click()
    editor.get_by_text(f"{heading}20 epochs").wait_for()
    assert sorted(folder.rglob("*.net")) == before
    replace_with(editor, "[28x28x1] input\nfc2: 10 neurons, group 3")
    editor.get_by_role("button", name="Estimate").click()
    editor.get_by_role("alert").get_by_text("the design, line 2: 'fc2' has no option").wait_for()


def test_what_is_written_is_there_again_until_it_is_saved_or_begun_anew(editor, folder):
    text = "[8x8x1] input\nconv1: 4 3x3 filters -> relu\nfc2: 3 neurons"
    replace_with(editor, text)
    editor.get_by_text("[6x6x4]").wait_for()
    editor.goto("/data")
    editor.go_back()
    editor.get_by_text("What was written here before and not saved.").wait_for()
    editor.locator(".cm-line", has_text="fc2: 3 neurons").wait_for()
    editor.get_by_role("textbox", name="file").fill("kept")
    editor.get_by_role("button", name="Save", exact=True).click()
    editor.get_by_text("kept.net is saved").wait_for()
    assert (folder / "designs" / "kept.net").read_text() == text
    editor.reload()
    editor.locator(".cm-line", has_text="F6").first.wait_for()
    assert editor.get_by_text("not saved").count() == 0
    replace_with(editor, text)
    editor.get_by_text("[6x6x4]").wait_for()
    editor.reload()
    editor.get_by_role("button", name="Begin anew").click()
    editor.locator(".cm-line", has_text="F6").first.wait_for()


def test_while_there_is_an_error_figures_are_those_of_the_lines_above_it(editor):
    replace_with(editor, "[8x8x1] input\nconv1: 4 3x3 filters -> relu\nfc2: 2 neurons, group 3")
    editor.get_by_text("[6x6x4]").wait_for()
    faded = editor.locator(".opacity-40", has_text="60,000")
    faded.wait_for()
    editor.get_by_role("button", name="Save", exact=True).click()
    editor.get_by_text("Not saved: line 3: 'fc2' has no option 'group 3'").first.wait_for()
    for _ in range(len(", group 3")):
        editor.keyboard.press("Backspace")
