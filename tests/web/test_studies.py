"""Claims are listed, run and reported in the page, and so are the experiments of the folder."""

import re
import shutil

import pytest

import classicnets as cn
from classicnets.api import following_experiments
from classicnets.studies import index, keeping
from classicnets.web.terms import MEANINGS
from classicnets.web.texts import CHINESE

from .conftest import HOSTILE


def test_claims_are_filtered_by_family_and_kind(page):
    page.goto("/studies")
    page.get_by_text(f"{len(index.STUDIES)} studies").wait_for()
    for label, option in (("family", "lenet"), ("kind", "structure")):
        page.get_by_role("combobox", name=label).click()
        page.get_by_role("option", name=option, exact=True).click()
    some = index.select(family="lenet", kind="structure")
    page.get_by_text(f"{len(some)} studies").wait_for()
    assert page.get_by_role("link", name="lenet5-layers").count() == 1
    assert page.get_by_text("LeNet-5 has 5 layers. (case study)").count() == 1
    assert page.get_by_role("link", name="vgg-stack").count() == 0


def test_a_study_of_structure_runs_at_once_and_its_report_and_figure_are_shown(page, folder):
    page.goto("/study/vgg-average")
    page.get_by_text("as the package has it").wait_for()
    page.get_by_role("button", name="Run").click()
    page.get_by_text("run in this folder").wait_for()
    page.locator(".q-img img").wait_for()
    kept = keeping.read_kept(folder / "studies" / "vgg-average")
    assert kept is not None
    assert page.get_by_text(kept.answer).is_visible()
    assert page.get_by_text(kept.criterion).is_visible()


@pytest.mark.slow
def test_a_study_that_trains_is_a_process_that_is_followed_and_stopped(page, folder):
    page.goto("/study/lenet5-partial")
    page.get_by_role("checkbox").click()
    page.get_by_role("button", name="Run").click()
    page.get_by_text("runs that have ended", exact=True).wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Run").wait_for()
    place = folder / "studies" / "lenet5-partial-quick"
    assert (place / "experiment" / "plan.json").is_file()
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def experiment(folder, write_folder, tmp_path_factory):
    """Two learning rates of a tiny network on two classes, compared by two pairs."""
    root = tmp_path_factory.mktemp("compared")
    data = write_folder(root / "squares", 5)
    (data / "light").rename(data / HOSTILE)
    (root / "tiny.net").write_text("[8x8x1] input\nconv1: 2 3x3 filters\nfc2: 2 neurons\n")
    made = cn.experiment(
        root / "tiny.net", data, overrides={"lr": [0.01, 0.02], "batch": 4}, seeds=2, epochs=1,
        processes=1, out=root / "made",
    )  # fmt: skip
    made.finish()
    # not where this process holds the lock
    place = folder / "experiments" / HOSTILE
    shutil.copytree(root / "made", place, ignore=shutil.ignore_patterns(".lock"))
    (folder / "experiments" / "broken").mkdir()
    (folder / "experiments" / "broken" / "plan.json").write_text("{")
    return made.report


def test_experiments_of_the_folder_are_shown_with_their_reports(page, experiment):
    page.goto("/studies")
    page.get_by_text("4 / 4").wait_for()
    assert page.get_by_text("damaged").count() == 1
    page.get_by_role("link", name=HOSTILE).click()
    page.locator(".q-img img").wait_for()
    for line in experiment.text().splitlines():
        assert line in page.locator(".mono").first.inner_text()
    assert page.get_by_role("button", name="Stop").count() == 0
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.locator(".q-img").bounding_box()["width"] == 700  # of which a part is seen
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.goto("/experiment/broken")
    page.get_by_text("plan.json is damaged").first.wait_for()


@pytest.fixture
def search(folder, write_folder, tmp_path):
    """A search of the learning rate, and the folder as it is before its trials have ended all."""
    data = write_folder(tmp_path / "squares", 5)
    (tmp_path / "tiny.net").write_text("[8x8x1] input\nconv1: 2 3x3 filters\nfc2: 2 neurons\n")
    made = cn.experiment(
        tmp_path / "tiny.net", data, overrides={"lr": "0.01..0.02", "batch": 4}, trials=2, seeds=2,
        epochs=1, processes=1, out=tmp_path / "made",
    )  # fmt: skip
    made.finish()
    place = folder / "experiments" / "search"
    ignored = shutil.ignore_patterns(".lock", "trials.csv")
    shutil.copytree(tmp_path / "made" / "trials", place / "trials", ignore=ignored)
    yield made
    shutil.rmtree(place)


def test_an_experiment_that_still_searches_is_listed_with_its_trials(page, search, folder):
    page.goto("/studies")
    row = page.locator(".q-pa-md > div").filter(has_text="2 trials have ended").last
    row.wait_for()
    assert "stopped" in row.inner_text()
    page.get_by_role("link", name="search", exact=True).click()
    page.get_by_text("lr=0.01..0.02").wait_for()
    best = min(outcome.validation for _, outcome in search.done)
    page.get_by_text(re.compile(rf"^{best:.2f} \(trial[12]-lr")).wait_for()
    page.get_by_text("A report needs two pairs").wait_for()
    (folder / "experiments" / "search" / "trials" / "trials.csv").write_text("")
    page.get_by_text("ended", exact=True).wait_for()
    followed = following_experiments.follow_experiment(folder / "experiments" / "search")
    assert (followed.searching, followed.done, followed.total) == (True, 2, 0)
    assert following_experiments.follow_experiment(search.directory).searching is False


@pytest.mark.parametrize(
    "path", ["/study/nothing", "/study/..%5Cx", "/experiment/nothing", "/experiment/.hidden"]
)
def test_what_there_is_not_is_said(page, path):
    page.goto(path)
    page.get_by_role("alert").wait_for()
    assert page.get_by_text("Traceback").count() == 0


def test_both_pages_are_chinese_at_phone_width(page):
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto("/studies")
    page.get_by_role("button", name="中文").click()
    page.get_by_text(f"{len(index.STUDIES)} 项研究").wait_for()
    page.get_by_text(keeping.chinese()["lenet5-layers"]["claim"]).first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.goto("/study/lenet5-gaussian")
    page.get_by_text("更正", exact=True).first.wait_for()
    page.get_by_text("先于结果写明").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_every_term_is_explained_in_both_languages():
    assert set(MEANINGS) | set(MEANINGS.values()) <= CHINESE.keys()
    assert {*index.KINDS} == {"structure", "history", "training"}


def test_what_the_package_has_of_studies_is_of_studies_that_exist():
    kept = keeping.published()
    assert len(kept) > 50
    for name, one in kept.items():
        assert one.claim == index.STUDIES[name].claim
        assert one.criterion == index.STUDIES[name].criterion
