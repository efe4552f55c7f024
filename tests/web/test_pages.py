"""The pages in a real browser: what they show, in both languages, at any width."""

import http.client
import re
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from classicnets.catalog import find
from classicnets.studies.index import select
from classicnets.web.pages.networks import DRAWINGS, TITLES

from .conftest import HOSTILE, charts, open_page

ROOT = Path(__file__).parents[2]


def test_every_paper_has_a_card_and_its_networks_lead_to_their_pages(page):
    page.goto("/")
    for title in ("LeNet-5", "AlexNet", "ZFNet", "VGG", "GoogLeNet", "ResNet"):
        assert page.get_by_text(title, exact=True).count() == 1
        figure = page.get_by_role("link", name=title, exact=True).get_by_role("img")
        figure.scroll_into_view_if_needed()
        page.wait_for_function("image => image.naturalWidth > 0", arg=figure.element_handle())
    page.get_by_role("link", name="vgg_d", exact=True).click()
    page.get_by_text("138,357,544").first.wait_for()
    page.get_by_role("button", name=re.compile("conv5_1.*7x7")).click()
    row = page.get_by_role("row", name="conv5_3 Conv2d 512x14x14 2,359,808", exact=True)
    row.wait_for()
    heads = row.locator("xpath=../tr[1]/th")
    assert heads.all_inner_texts() == ["layer", "type", "output", "parameters"]
    edges = [
        [cell.bounding_box()["x"] for cell in cells]
        for cells in (heads.all(), row.locator("td").all())
    ]
    assert edges[0] == edges[1]


def test_the_figures_of_the_cards_are_those_of_the_documentation():
    drawn = {path.name: path.read_bytes() for path in (ROOT / "docs/figures").glob("*.svg")}
    shown = {path.name: path.read_bytes() for path in DRAWINGS.glob("*.svg")}
    assert drawn == shown
    assert {f"{name}.svg" for _, name in TITLES.values()} == drawn.keys()


def test_what_is_said_of_a_family_stands_on_its_networks_with_verdicts(page):
    page.goto("/network/lenet5")
    page.get_by_text("Where the paper leaves a choice", exact=True).click()
    paper = find("lenet5").paper
    assert paper
    page.get_by_text(paper.choices).first.wait_for()
    # by the keyboard, as it moves while what is above it opens
    page.get_by_role("button", name="What is said of these networks").press("Enter")
    claims = page.get_by_role("link", name=re.compile("^lenet5-"))
    claims.first.wait_for()
    count = len(select(family="lenet"))
    assert claims.count() == count
    page.locator("a[href='/studies?family=lenet']").press("Enter")
    page.wait_for_url("**/studies?family=lenet")
    page.get_by_text(f"{count} studies").wait_for()


def test_the_source_of_a_network_is_its_file_with_the_papers_table_or_its_design(page):
    page.goto("/network/vgg_d")
    page.get_by_text("Source code: classicnets.models.vgg").click()
    page.get_by_text(re.compile(r"TABLE_1 = .*def vgg", re.DOTALL)).wait_for()
    page.goto(f"/network/{quote(HOSTILE, safe='')}.net")
    page.get_by_text(f"Source code: {HOSTILE}.net").click()
    page.get_by_text("conv1: 4 3x3 filters").wait_for()


def test_the_layers_are_sorted_by_a_column_and_the_receptive_field_moves(page):
    page.goto("/network/lenet5")
    page.get_by_role("columnheader", name="parameters").click()
    page.get_by_role("columnheader", name="parameters").click()
    page.wait_for_function("document.querySelector('tbody td').innerText === 'C5'")
    assert page.get_by_text("C1: 5 / 32").is_visible()
    page.locator(".q-slider__track-container").focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    page.get_by_text("S2: 6 / 32").wait_for()


def test_the_memory_of_the_layers_is_in_mib_and_the_rows_are_counted_in_both_languages(page):
    page.goto("/network/alexnet")
    page.get_by_role("columnheader", name="memory, MiB").wait_for()
    # conv1 of section 3.5 gives 96 maps of 55 x 55 float32
    row = page.locator(".q-table tbody tr").first
    assert f"{96 * 55 * 55 * 4 / 2**20:.3g}" in row.locator("td").all_inner_texts()
    page.context.add_cookies([{"name": "language", "value": "zh", "url": page.url}])
    page.reload()
    page.get_by_text(re.compile(r"^1-\d+ / \d+$")).wait_for()
    page.get_by_text("源代码\N{FULLWIDTH COLON}classicnets.models.alexnet").wait_for()


@pytest.mark.parametrize(
    ("path", "names"),
    [("/network/lenet5", ("layer", "share of the network")), ("/data?name=digits", ("images", ""))],
)
def test_the_axes_of_a_chart_have_names(page, path, names):
    page.goto(path)
    page.locator("canvas").first.wait_for()
    (chart,) = charts(page)
    assert (chart["xAxis"][0]["name"], chart["yAxis"][0].get("name", "")) == names


def test_two_networks_are_shown_side_by_side(page):
    page.goto("/network/alexnet")
    page.get_by_role("combobox").last.fill("alexnet_merged")
    page.get_by_role("option", name="alexnet_merged").click()
    page.get_by_text("+  [27x27x256]  conv2: 256 5x5 filters, pad 2").wait_for()


def test_a_design_with_a_hostile_name_is_text(page):
    page.goto("/")
    page.get_by_role("link", name=f"{HOSTILE}.net").click()
    page.get_by_text("conv1", exact=True).first.wait_for()
    assert page.get_by_text(f"{HOSTILE}.net").first.is_visible()


@pytest.mark.usefixtures("squares")
@pytest.mark.parametrize(
    ("path", "said", "near"),
    [
        ("/network/nonsense", "no network 'nonsense'", "Networks"),
        ("/network/vgg_dd", "no network 'vgg_dd'", "vgg_d"),
        ("/network/wronk.net", "no design 'wronk.net'", "Networks"),
        ("/study/vgg-batch", "no study 'vgg-batch'", "vgg-batches"),
        ("/run/nonsense", "no run 'nonsense'", "Runs"),
        ("/run/square", "no run 'square'", "squares"),
        ("/experiment/nonsense", "no experiment 'nonsense'", "Studies"),
    ],
)
def test_an_unknown_address_says_so_with_the_nearest_names(page, path, said, near):
    page.goto(path)
    page.get_by_role("alert").wait_for()
    assert page.get_by_role("alert").inner_text() == said
    assert "classicnets list" not in page.locator(".content").inner_text()
    page.get_by_role("link", name=near, exact=True).last.click()
    page.wait_for_function("path => location.pathname !== path", arg=path)
    page.wait_for_load_state("networkidle")
    assert not page.get_by_role("alert").count()


@pytest.mark.parametrize(
    ("language", "said"),
    [("en", "There is no page at this address."), ("zh", "这个地址没有页面。")],
)
def test_an_address_without_a_page_has_the_menu_and_a_sentence(browser, site, language, said):
    page = open_page(browser, site)
    page.context.add_cookies([{"name": "language", "value": language, "url": site}])
    assert page.goto("/nonsense").status == 404
    page.get_by_text(said, exact=True).wait_for()
    page.get_by_role("navigation").get_by_role("link").first.click()
    page.wait_for_url(f"{site}/")
    page.close()
    connection = http.client.HTTPConnection(urlsplit(site).netloc, timeout=60)
    connection.request("GET", "/drawings/nonsense.svg")  # no page
    answer = connection.getresponse()
    assert (answer.status, b"<html" in answer.read()) == (404, False)
    connection.close()


def test_figures_are_dimmed_in_the_dark(page):
    for dark in ("0", "1"):
        page.goto("/")
        page.context.add_cookies([{"name": "dark", "value": dark, "url": page.url}])
        page.reload()
        page.wait_for_function(f"Quasar.Dark.isActive === {str(dark == '1').lower()}")
        figure = page.get_by_role("img", name="VGG").first
        style = figure.evaluate("image => getComputedStyle(image).filter")
        assert style.startswith("invert") == (dark == "1")


@pytest.mark.parametrize("name", ["..secret.net", "nothing.net", HOSTILE, "mine.py:net"])
def test_what_is_not_offered_is_refused_in_a_sentence(page, name):
    page.goto(f"/network/{quote(name, safe='')}")
    page.get_by_role("alert").first.wait_for()
    assert page.get_by_text("Traceback").count() == 0


def test_the_language_and_the_colours_are_kept(page):
    page.goto("/")
    page.get_by_role("button", name="中文").click()
    page.get_by_text("六篇论文").wait_for()
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    assert "连接丢失" in page.content()  # what NiceGUI says of a connection that is lost
    page.goto("/network/lenet5")
    page.get_by_text("感受野").first.wait_for()
    before = page.evaluate("Quasar.Dark.isActive")
    with page.expect_navigation():
        page.get_by_role("button", name="深色或浅色").click()
    page.wait_for_function(f"Quasar.Dark.isActive === {str(not before).lower()}")
    page.get_by_role("button", name="English").click()
    page.get_by_role("link", name="Networks").wait_for()


@pytest.mark.parametrize("path", ["/", "/network/resnet18"])
def test_a_phone_shows_it_without_scrolling_sideways(page, path):
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(path)
    page.get_by_role("link").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("header").bounding_box()["height"] < 120
    for table in page.locator(".q-card table").all():  # of which nothing is cut
        assert table.bounding_box()["width"] <= table.locator("..").bounding_box()["width"]
    assert page.evaluate(
        "[...document.querySelectorAll('.q-card td')].every(cell => cell.offsetHeight < 24)"
    )  # each in one line


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "evil.example"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Connection": "Upgrade", "Upgrade": "websocket"}, 403),  # without an Origin
    ],
)
def test_other_sites_reach_neither_pages_nor_messages(site, headers, status):
    connection = http.client.HTTPConnection(urlsplit(site).netloc, timeout=60)
    if "Upgrade" in headers:
        key = {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "eHh4eHh4eHh4eHh4eHh4eA=="}
        path, headers = "/_nicegui_ws/socket.io/?EIO=4&transport=websocket", headers | key
    else:
        path = "/_nicegui_ws/socket.io/?EIO=4&transport=polling"
    connection.request("GET", path, headers=headers)
    assert connection.getresponse().status == status
    connection.close()


def test_to_get_a_page_changes_nothing(site, folder, squares):
    """As by an image of another site's page; without a websocket, which has an Origin."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    paths = ("/", "/design?network=vgg_d", "/data?name=digits", "/train", "/runs", "/run/squares")
    for path in (*paths, "/look?run=squares", "/studies", "/study/vgg-average", "/experiment/x"):
        connection = http.client.HTTPConnection(urlsplit(site).netloc, timeout=60)
        connection.request("GET", path)
        assert connection.getresponse().status == 200
        connection.close()
        connection.request("HEAD", path)
        connection.getresponse()
        connection.close()
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_page_says_what_it_may_load(site):
    connection = http.client.HTTPConnection(urlsplit(site).netloc, timeout=60)
    connection.request("GET", "/")
    answer = connection.getresponse()
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
    assert re.findall(rb'(?:src|href)="(https?:)?//', answer.read()) == []
    connection.close()


@pytest.mark.parametrize("name", ["../../etc/passwd", "..%2F..%2Fsecret.net", "%2Fetc%2Fpasswd"])
def test_no_address_leads_out_of_the_folder(site, name):
    connection = http.client.HTTPConnection(urlsplit(site).netloc, timeout=60)
    connection.request("GET", f"/network/{name}")
    assert connection.getresponse().status == 404
    connection.close()
