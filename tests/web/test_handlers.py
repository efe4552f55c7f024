"""What a page or one of its handlers raises is said in the page, never lost, never a traceback."""

import ast
import asyncio
import shutil
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest

import classicnets
from classicnets.web import shell
from classicnets.web.texts import Text

from .conftest import Site, open_page

T = TypeVar("T")
WEB = Path(classicnets.__file__).parent / "web"
TREES = {
    path.name: ast.parse(path.read_text(encoding="utf-8"))
    for path in [*(WEB / "pages").glob("*.py"), WEB / "shell.py", WEB / "dropzone.py"]
}
# what begins something of which nobody hears what it raises; background_tasks tells the page
LOST = {"create_task", "ensure_future", "call_soon", "call_later", "run_coroutine_threadsafe"}


def _pages() -> list[ast.AsyncFunctionDef | ast.FunctionDef]:
    return [
        node
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)
        and any(ast.unparse(one).startswith("ui.page(") for one in node.decorator_list)
    ]


def test_all_of_every_page_stands_in_the_frame_that_says_what_fails():
    pages = _pages()
    assert len(pages) >= 11
    for page in pages:
        (only,) = page.body
        assert isinstance(only, ast.With), page.name
        assert ast.unparse(only.items[0].context_expr).startswith("frame("), page.name


def test_no_page_begins_what_nobody_hears_of():
    called = {
        (name, node.attr)
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in LOST
    }
    assert called == set()


class Place:
    """A column of which only the content is looked at."""

    def __init__(self) -> None:
        self.content: list[str] = []

    def classes(self, *_: str) -> "Place":
        return self

    def clear(self) -> None:
        self.content.clear()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def answer(monkeypatch) -> Any:
    """An answer whose work is an event to wait for, and what it then gives or raises."""

    async def computed(work: Any) -> str:
        ready, found = work
        await ready.wait()
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(shell, "computed", computed)
    monkeypatch.setattr(shell.ui, "column", Place)
    answer: Any = shell.Answer(Text("en"))
    said = answer.place.content
    monkeypatch.setattr(shell, "failed", lambda t, error: said.append(str(error)))
    return answer


def run(work: Coroutine[Any, Any, T]) -> T:
    """What it returns; in a thread of its own, since that of the browser has a loop already."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, work).result()


@pytest.mark.parametrize("older", ["older", ValueError("older"), OSError("older")])
@pytest.mark.parametrize("newer", ["newer", ValueError("newer")])
def test_an_older_answer_that_comes_later_is_dropped(answer, older, newer):
    async def both() -> list[bool]:
        slow, fast = asyncio.Event(), asyncio.Event()
        draw = answer.place.content.append
        tasks = [
            asyncio.create_task(answer.show((ready, found), draw))
            for ready, found in ((slow, older), (fast, newer))
        ]
        await asyncio.sleep(0)
        fast.set()
        await tasks[1]
        slow.set()
        return await asyncio.gather(*tasks)

    assert run(both()) == [False, newer == "newer"]
    assert answer.place.content == ["newer"]


def test_an_answer_to_what_is_not_asked_any_longer_is_dropped(answer):
    async def cleared() -> bool:
        ready = asyncio.Event()
        task = asyncio.create_task(answer.show((ready, "late"), answer.place.content.append))
        await asyncio.sleep(0)
        answer.clear()
        ready.set()
        return await task

    assert run(cleared()) is False
    assert answer.place.content == []


# a page -> its buttons, of which the last cannot do what it says where the folder is gone
NEED_THE_FOLDER = {
    "/design": ["Save"],
    "/train": ["Start"],
    "/run/squares": ["Delete", "Delete"],
    "/study/vgg-average": ["Run"],
    "/study/lenet5-partial": ["Run"],
}


@pytest.fixture(scope="module")
def desk(squares, tmp_path_factory) -> Iterator[tuple[Path, str]]:
    """A folder, and the address of pages that work in it."""
    folder = tmp_path_factory.mktemp("gone") / "desk"
    shutil.copytree(squares, folder / "runs" / "squares")
    site = Site(folder)
    yield folder, site.url
    assert site.stop() == 0


@pytest.mark.parametrize("path", NEED_THE_FOLDER)
def test_a_button_says_what_it_cannot_do_when_the_folder_is_gone(browser, desk, path):
    folder, address = desk
    page = open_page(browser, address)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(path)
    first, *others = NEED_THE_FOLDER[path]
    page.get_by_role("button", name=first, exact=True).wait_for()
    page.wait_for_load_state("networkidle")
    away = folder.rename(folder.with_name("away"))
    folder.write_text("")  # a file stands where the folder was
    try:
        page.get_by_role("button", name=first, exact=True).click()
        for name in others:
            page.get_by_role("dialog").get_by_role("button", name=name, exact=True).click()
        said = page.locator("[role=alert]:visible, .text-negative[role=status]:not(:empty)").first
        said.wait_for()
        assert "Traceback" not in said.inner_text()
    finally:
        folder.unlink()
        away.rename(folder)
        page.close()
    assert faults == []
