"""The report and the drawings as a browser shows them: on a desktop and a phone, light and dark."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.run.overview import overview
from edge.show.graph_svg import svg
from edge.show.html_report import html_report
from stacks.loader import load_site, site_files
from stacks.project import PROGRAM_ROOT
from tests.browser.chromium import Browser, Page
from tests.edge.graphs import graph, previewed
from tests.edge.test_html_report import MOST_BYTES, overview_of_500

pytestmark = pytest.mark.browser

DESKTOP, PHONE = 1280, 390
LEAST_PX = 12
LEAST_CONTRAST = 4.5
"""WCAG 2.1, level AA."""

# Of each piece of text that is shown: its size on the screen, its contrast with what is behind it, and the text.
_TEXTS = """(() => {
  const channels = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = colour => channels(colour).slice(0, 3).map(c => c / 255)
    .map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = element => {
    for (let one = element; one; one = one.parentElement) {
      const style = getComputedStyle(one);
      if (one instanceof SVGElement) {
        // What is drawn under it: the last shape before it in its group, as the drawings are made.
        const shapes = [...one.parentElement.children].filter(shape => shape.tagName === "rect"
          && shape.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_FOLLOWING);
        if (shapes.length) return getComputedStyle(shapes.at(-1)).fill;
      } else if (!/, 0\\)|transparent/.test(style.backgroundColor)) return style.backgroundColor;
    }
    return "rgb(255, 255, 255)";
  };
  const texts = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT), found = [];
  while (texts.nextNode()) {
    const text = texts.currentNode.data.trim(), element = texts.currentNode.parentElement;
    if (!text || ["STYLE", "SCRIPT", "TITLE", "title", "desc", "style"].includes(element.tagName)) continue;
    if (!element.getClientRects().length) continue;
    const style = getComputedStyle(element), inside = element instanceof SVGElement;
    const [one, other] = [light(inside ? style.fill : style.color), light(behind(element))].sort((a, b) => b - a);
    const px = parseFloat(style.fontSize) * (inside ? element.getScreenCTM().a : 1);
    found.push([px, (one + 0.05) / (other + 0.05), text.slice(0, 60)]);
  }
  return found;
})()"""


def look(browser: Browser, file: Path, screenshots: Path, *, width: int, dark: bool) -> None:
    """What holds of each page, however it is looked at."""
    name = f"{file.stem}-{'phone' if width == PHONE else 'desktop'}-{'dark' if dark else 'light'}"
    with browser.page(file, width=width, dark=dark, phone=width == PHONE) as page:
        page.screenshot(screenshots / f"{name}.png")
        assert page.complaints == []
        assert page.requests == []
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width, "the page scrolls sideways"
        texts = page.evaluate(_TEXTS)
        assert len(texts) > 5
        assert [text for px, _, text in texts if px < LEAST_PX] == [], "too small to read"
        assert [text for _, contrast, text in texts if contrast < LEAST_CONTRAST] == [], "too faint to read"


ways = pytest.mark.parametrize(
    ("width", "dark"), [(width, dark) for width in (DESKTOP, PHONE) for dark in (False, True)]
)


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _written(tmp_path_factory, "examples", html_report(overview(site_files(), PROGRAM_ROOT, jobs=1)))


@pytest.fixture(scope="module")
def sites_500(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("500")
    return _written(tmp_path_factory, "500-sites", html_report(overview_of_500(folder)))


def _written(folder: pytest.TempPathFactory, name: str, text: str) -> Path:
    file = folder.mktemp("page") / f"{name}.html"
    file.write_text(text, encoding="utf-8")
    return file


@ways
def test_the_report_of_the_examples_is_readable(
    browser: Browser, examples: Path, screenshots: Path, width: int, dark: bool
) -> None:
    look(browser, examples, screenshots, width=width, dark=dark)


@ways
def test_the_report_of_500_sites_is_readable(
    browser: Browser, sites_500: Path, screenshots: Path, width: int, dark: bool
) -> None:
    assert sites_500.stat().st_size < MOST_BYTES
    look(browser, sites_500, screenshots, width=width, dark=dark)


def test_the_report_of_500_sites_opens(browser: Browser, sites_500: Path, capsys: pytest.CaptureFixture[str]) -> None:
    took = []
    for _ in range(3):
        with browser.page(sites_500, width=DESKTOP) as page:
            took.append(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
            assert page.evaluate("document.querySelectorAll('#sites tbody tr').length") == 500
    with capsys.disabled():
        size = sites_500.stat().st_size / 1e6
        print(f"\nreport of 500 sites: {size:.2f} MB, loaded after {', '.join(f'{one:.0f} ms' for one in took)}")


def shown(page: Page, table: str) -> list[str]:
    """The first cells of the rows that can be seen."""
    rows = f"[...document.querySelectorAll('#{table} tbody tr')].filter(row => row.getClientRects().length)"
    found: list[str] = page.evaluate(f"{rows}.map(row => row.cells[0].textContent)")
    return found


def test_a_place_of_the_map_leads_to_its_sites(browser: Browser, examples: Path) -> None:
    with browser.page(examples, width=DESKTOP) as page:
        page.evaluate("""document.querySelector('.map a[data-find="eu-central near"]').click()""")
        expected = [load_site(file.stem) for file in site_files()]
        assert shown(page, "sites") == [
            one.site for one in expected if (one.region, one.tier) == ("eu-central", "near")
        ]


def test_what_is_short_comes_before_hundreds_of_cards_and_the_rest_is_one_touch_away(
    browser: Browser, sites_500: Path
) -> None:
    with browser.page(sites_500, width=PHONE, phone=True) as page:
        links = page.evaluate("[...document.querySelectorAll('nav a')].map(link => link.hash)")
        tops = [page.evaluate(f"document.querySelector('{link}').getBoundingClientRect().top") for link in links]
        assert tops == sorted(tops)
        assert len(tops) == page.evaluate("document.querySelectorAll('h2').length")
        # Cards of more than 1,000 sites and hosts begin after all others, of which the most are findings of 39 rules.
        assert tops[-2] < 40 * 844


def test_tables_are_searched_and_sorted(browser: Browser, examples: Path) -> None:
    with browser.page(examples, width=PHONE, phone=True) as page:
        page.evaluate(
            "(search => { search.value = 'OSAKA'; search.dispatchEvent(new Event('input')) })"
            "(document.getElementById('find-hosts'))"
        )
        assert set(shown(page, "hosts")) == {"plant-osaka"}
        assert page.evaluate("document.getElementById('count-hosts').textContent").startswith("5 of ")
    with browser.page(examples, width=DESKTOP) as page:
        before = shown(page, "sites")
        click = "[...document.querySelectorAll('#sites th button')].find(one => one.textContent == 'hosts').click()"
        page.evaluate(click)
        hosts = {file.stem: len(load_site(file.stem).hosts) for file in site_files()}
        assert [hosts[site] for site in shown(page, "sites")] == sorted(hosts.values())
        page.evaluate(click)
        assert [hosts[site] for site in shown(page, "sites")] == sorted(hosts.values(), reverse=True)
        assert sorted(shown(page, "sites")) == sorted(before)


@pytest.mark.parametrize("site", ["prod", "plant-osaka"])
@ways
def test_a_drawing_is_readable_on_a_page(
    browser: Browser, tmp_path: Path, screenshots: Path, site: str, width: int, dark: bool
) -> None:
    drawn = svg(previewed(site, {f"{site}-a-k3s": "update", f"{site}-b-base": "replace", f"{site}-flux": "create"}))
    file = tmp_path / f"graph-{site}.html"
    # The margins of a page are none here: a phone's whole width is what it has.
    head = '<!DOCTYPE html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    file.write_text(f"{head}<title>{site}</title><style>body{{margin:0}}</style>{drawn}", encoding="utf-8")
    look(browser, file, screenshots, width=width, dark=dark)


@pytest.mark.parametrize("dark", [False, True])
def test_a_drawing_by_itself_is_one_colour_to_the_edge_of_the_window(
    browser: Browser, tmp_path: Path, screenshots: Path, dark: bool
) -> None:
    file = tmp_path / "graph-prod-alone.svg"
    file.write_text(svg(graph("prod")), encoding="utf-8")
    with browser.page(file, width=DESKTOP, dark=dark) as page:
        page.screenshot(screenshots / f"{file.stem}-{'dark' if dark else 'light'}.png")
        assert page.complaints == page.requests == []
        around = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert around == page.evaluate("getComputedStyle(document.querySelector('.page')).fill")
