"""The page as people see it: in a real browser, on a telephone and a large screen, by day and by night, on paper."""

from __future__ import annotations

import base64
import json
import time

import pytest

from . import browser as chromium
from .conftest import HOSTILE

pytestmark = pytest.mark.skipif(bool(chromium.missing()), reason=chromium.missing() or "there is a browser")

OVERLAPS = """
const boxes = [...document.querySelectorAll('h1, h2, h3, h4, p, dt, dd, th, td, figcaption, nav a, pre, img, .card, .legend li')]
    .filter(e => e.checkVisibility()).map(e => [e, e.getBoundingClientRect()]).filter(([, r]) => r.width && r.height);
const found = [];
for (const [i, [a, r]] of boxes.entries()) {
  for (const [b, s] of boxes.slice(i + 1, i + 60)) {
    if (a.contains(b) || b.contains(a)) continue;
    const across = Math.min(r.right, s.right) - Math.max(r.left, s.left);
    const down = Math.min(r.bottom, s.bottom) - Math.max(r.top, s.top);
    if (across > 1.5 && down > 1.5) found.push(`${a.outerHTML.slice(0, 80)} over ${b.outerHTML.slice(0, 80)}`);
  }
}
return found;
"""

SHOWN = "return ['nav', '.script'].map(where => document.querySelector(where).checkVisibility())"

CUT = """
return [...document.querySelectorAll('h1, h2, h3, h4, p, dt, dd, figcaption, .card, svg, nav')]
    .filter(e => e.checkVisibility() && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80));
"""


@pytest.fixture(scope="module")
def driver():
    with chromium.browser() as driver:
        yield driver


@pytest.mark.parametrize("width", chromium.WIDTHS)
@pytest.mark.parametrize("run", ["page", "hostile_page"])
def test_nothing_lies_over_anything_else_or_leaves_the_screen(driver, run, width, request):
    chromium.show(driver, request.getfixturevalue(run), width)
    assert driver.execute_script("return [innerWidth, document.documentElement.scrollWidth]") == [width, width]
    assert driver.execute_script(CUT) == []
    assert driver.execute_script(OVERLAPS) == []
    assert driver.get_log("browser") == []


def test_it_is_light_or_dark_as_the_system_is(driver, page):
    def colours():
        return driver.execute_script("const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]")

    chromium.show(driver, page, scheme="light")
    light = [sum(json.loads(f"[{c[4:-1]}]")) for c in colours()]
    chromium.show(driver, page, scheme="dark")
    dark = [sum(json.loads(f"[{c[4:-1]}]")) for c in colours()]
    assert light[0] > 600 > 200 > light[1]
    assert dark[0] < 200 < 600 < dark[1]


def test_every_picture_is_shown(driver, page):
    chromium.show(driver, page)
    widths = driver.execute_script("return [...document.images].map(i => i.complete ? i.naturalWidth : 0)")
    assert len(widths) > 100
    assert all(widths)


def test_a_cell_shows_its_images_under_the_pointer_and_holds_them_when_pressed(driver, page):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    chromium.show(driver, page, 1600)
    data = json.loads(driver.execute_script("return document.getElementById('cells').textContent"))

    def panel():
        panel = driver.find_element(By.ID, "cell")
        images = [image.get_attribute("src") for image in panel.find_elements(By.TAG_NAME, "img")]
        return panel.find_element(By.TAG_NAME, "h3").get_property("textContent"), images

    def expected(key):
        words, places = data["cells"][key]
        return words, [data["thumbnails"][str(place)][0] for place in places]

    zero, three = (driver.find_element(By.CSS_SELECTOR, f"[data-cell='{key}']") for key in ("0-0", "3-3"))
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", three)
    ActionChains(driver).move_to_element(zero).perform()
    assert panel() == expected("0-0")
    ActionChains(driver).move_to_element(three).click().move_to_element(zero).perform()
    assert panel() == expected("3-3")
    assert three.get_attribute("aria-pressed") == "true"


def test_without_javascript_nothing_is_missing_but_the_choice_of_a_cell(driver, page):
    chromium.show(driver, page, script=False)
    until = time.monotonic() + 30  # without scripts nobody tells the driver that the page is there
    words = ""
    while "This page needs no network" not in words and time.monotonic() < until:
        words = " ".join(driver.execute_cdp_cmd("DOMSnapshot.captureSnapshot", {"computedStyles": []})["strings"])
    assert "This page needs no network" in words
    chromium.picture(driver, path := page.with_name("shot.png"))
    assert path.stat().st_size > 50_000
    source = page.read_text()
    panel = source.partition('id="cell"')[2].partition("</section>")[0]
    assert "taken for" in panel
    assert "data:image/png" in panel


def test_it_prints(driver, page):
    chromium.show(driver, page)
    pdf = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})["data"])
    assert pdf.startswith(b"%PDF")
    assert 3 <= pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") <= 25


def test_paper_has_no_links_to_press(driver, page):
    chromium.show(driver, page)
    screen = driver.execute_script(SHOWN)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    paper = driver.execute_script(SHOWN)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen"})
    assert (screen, paper) == ([True, True], [False, False])


def test_hostile_names_are_read_not_run(driver, hostile_page):
    chromium.show(driver, hostile_page)
    text = driver.execute_script("return document.body.innerText")
    assert all(name in text for name in HOSTILE)
    assert driver.get_log("browser") == []
    assert driver.execute_script("return document.body.checkVisibility()")
