"""The page in a real browser: complete, live, at any width, by keyboard and for a screen reader."""

import pytest

from tests.flow_processes import fill
from tests.flows.watch.browser import CHROMIUM, Browser
from tests.flows.watch.test_watch import Watching
from tests.serving import SETTINGS

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
SHOWN = "document.querySelectorAll('section').length === 10"
TAB = 9


@pytest.fixture(scope="module")
def watching(tmp_path_factory):
    root = tmp_path_factory.mktemp("page") / "home"
    fill(root, SETTINGS, hours=0.2)
    with Watching(root) as watching:
        yield watching


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


def opened(browser, watching, width=1280, *, dark=False):
    browser.said.clear()
    browser.open(f"http://127.0.0.1:{watching.port}/", width, dark=dark)
    browser.until(SHOWN)


def faults(browser):
    """Errors of the page, and requests to anybody else."""
    kinds = {"Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"}
    told = [one for one in browser.said if one["method"] in kinds]
    asked = [o for o in browser.said if o["method"] == "Network.requestWillBeSent"]
    urls = [one["params"]["request"]["url"] for one in asked]
    return told, [url for url in urls if not url.startswith(("http://127.0.0.1", "data:"))]


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_fits_its_width_and_shows_the_problem_first(browser, watching, width, dark):
    opened(browser, watching, width, dark=dark)
    assert browser.run("document.documentElement.scrollWidth") == width
    first = browser.run("document.querySelector('#problems li').innerText")
    assert first.startswith("HeadwaterFlowDown\nno process of the flow lives")
    assert browser.run("document.title") == "(1) Headwater · quotes"
    back = browser.run("getComputedStyle(document.body).backgroundColor")
    assert back == ("rgb(20, 23, 26)" if dark else "rgb(251, 251, 249)")
    assert faults(browser) == ([], [])


def test_it_follows_the_flow_without_being_loaded_again(browser, watching):
    opened(browser, watching)
    before = browser.run("window.mine = 1; document.getElementById('when').textContent")
    browser.until(f"document.getElementById('when').textContent !== {before!r}")
    assert browser.run("window.mine") == 1


def test_a_screen_reader_is_told_problems_tables_and_headings(browser, watching):
    opened(browser, watching)
    roles = browser.roles()
    assert ("status", "") in roles or any(role == "status" for role, _ in roles)
    assert ("heading", "Problems") in roles
    names = {name for role, name in roles if role == "table"}
    assert {"Partitions", "Topics", "Fits"} <= names
    assert ("columnheader", "records left") in roles


def test_the_keyboard_reaches_every_table_and_stays_there_when_figures_change(browser, watching):
    opened(browser, watching)
    browser.press("Tab", TAB)
    name = "document.activeElement.getAttribute('aria-label')"
    first = browser.run(name)
    assert first
    when = browser.run("document.getElementById('when').textContent")
    browser.until(f"document.getElementById('when').textContent !== {when!r}")
    assert browser.run(name) == first


@pytest.mark.parametrize("dark", [False, True])
def test_texts_stand_out_from_their_background(browser, watching, dark):
    """Contrast as WCAG 2.1 defines it, at least 4.5 for every text that is shown."""
    opened(browser, watching, dark=dark)
    assert browser.run(_LEAST_CONTRAST) >= 4.5


_LEAST_CONTRAST = """
(() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = node => {
    for (let at = node; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
  };
  let least = 21;
  for (const node of document.querySelectorAll("body *")) {
    if (![...node.childNodes].some(c => c.nodeType === 3 && c.data.trim())) continue;
    if (["SCRIPT", "STYLE", "NOSCRIPT"].includes(node.tagName)) continue;
    const pair = [parse(getComputedStyle(node).color), behind(node)].map(light);
    const [a, b] = pair.sort((x, y) => y - x);
    least = Math.min(least, (a + 0.05) / (b + 0.05));
  }
  return least;
})()
"""


def test_names_and_messages_of_events_are_text_and_never_markup(browser, watching):
    opened(browser, watching)
    evil = "<img src=x onerror='window.caught = 1'><script>window.caught = 1</script>"
    browser.run(
        "source.close(); fetch('/view').then(r => r.json()).then(view => { show({...view, "
        f"stream: {evil!r}, champion: {evil!r}, sources: {{{evil!r}: -2}}, dead_letters: "
        f"{{{evil!r}: 1}}, alerts: [{{time: 0, kind: {evil!r}, message: {evil!r}}}], "
        f"problems: [{{name: {evil!r}, severity: 'page', text: {evil!r}}}]}}) }})"
    )
    assert browser.run("document.body.innerText").count("<img src=x") >= 7
    assert browser.run("document.querySelectorAll('img').length") == 0
    assert browser.run("window.caught ?? 0") == 0
