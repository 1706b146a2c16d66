"""The operator's page in a real browser, the way its readers use it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
import uvicorn

from freshet import figures
from serving import dashboard
from serving.status import Promise, Status, TopicFigures
from tests.serving import chromium
from tests.serving.fake_status import FakeYear

pytestmark = pytest.mark.skipif(chromium.found() is None, reason="no chromium on PATH")
DRAWN = "document.body?.dataset.plots === 'drawn' && document.querySelectorAll('.main-svg').length > 5"
PHONE: dict[str, Any] = {"width": 375, "height": 812, "touch": True}
DESKTOP: dict[str, Any] = {"width": 1360, "height": 900}


@contextmanager
def serving(app: Any, port: int = 0) -> Iterator[str]:
    """The app behind uvicorn on a port of this test's own."""
    sock = socket.create_server(("127.0.0.1", port))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=([sock],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()
        sock.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[chromium.Browser]:
    with chromium.browser() as opened:
        yield opened


@pytest.fixture
def page(browser: chromium.Browser) -> Iterator[chromium.Browser]:
    browser.show(**DESKTOP)
    browser.errors.clear()
    yield browser
    browser.open("about:blank")


def text(page: chromium.Browser, selector: str) -> str:
    return str(page.ask(f"document.querySelector({selector!r}).innerText"))


def test_it_shows_what_the_status_says(page: chromium.Browser) -> None:
    year = FakeYear(59).advance(3_800)  # in the storm of February
    status = year.status()
    with serving(dashboard.app(lambda: status, year.history)) as url:
        page.open(url)
        page.wait(DRAWN)
        assert text(page, "h1") == "flights"
        assert text(page, "#run") == "replaying"
        assert text(page, "#day") == "Sat, 9 Feb 2013"
        for promise in status.promises:
            assert promise.reason in text(page, "#promises")
        assert text(page, "#promises-title") == "1 of 6 promises needs a look"
        model = status.models[0]
        assert model.served is not None
        assert model.rolling.ne is not None
        assert f"#{model.served.number}" in text(page, "[data-tiles]")
        assert f"{model.rolling.ne:.3f}" in text(page, "[data-tiles]")
        for topic in status.topics:
            assert f"{topic.applied:,}" in text(page, "#topics")
        assert "out of domain" in text(page, "#topics")
        assert page.ask("document.querySelectorAll('#views tbody tr').length") == len(status.views)
        assert page.ask("document.querySelectorAll('#roles tbody tr').length") == len(status.roles)
        assert page.errors == []
        assert page.ask("document.body.dataset.error ?? null") is None
        asked = page.ask("performance.getEntriesByType('resource').map((r) => r.name)")
        assert asked
        assert all(address.startswith(url) for address in asked)


def test_promises_are_told_by_shape_and_word_as_well_as_colour(page: chromium.Browser) -> None:
    promises = [Promise("a", "green", "fine"), Promise("b", "amber", "slow"), Promise("c", "red", "3 failed")]
    with serving(dashboard.app(lambda: Status(app="x", at_ms=0, promises=promises), FakeYear(1).history)) as url:
        page.open(url)
        page.wait("document.querySelectorAll('#promises li').length === 3")
        shapes = page.ask("[...document.querySelectorAll('#promises use')].map((u) => u.getAttribute('href'))")
        assert shapes == ["#green", "#amber", "#red"]
        words = page.ask("[...document.querySelectorAll('.word')].map((w) => w.innerText)")
        assert words == ["holds", "at risk", "broken"]
        assert page.ask("document.title").startswith("✖")


def test_names_are_text_and_never_markup(page: chromium.Browser) -> None:
    evil = "<img src=x onerror=\"document.body.dataset.error='run'\">"
    year = FakeYear(2).advance(100)
    status = msgspec.structs.replace(
        year.status(),
        app=evil,
        promises=[Promise(evil, "red", evil)],
        topics=[TopicFigures(name=evil, dead={evil: 3})],
    )
    status.models[0].lineages[0] = msgspec.structs.replace(status.models[0].lineages[0], name=evil)
    with serving(dashboard.app(lambda: status, year.history)) as url:
        page.open(url)
        page.wait(DRAWN)
        assert text(page, "h1") == evil
        assert page.ask("document.querySelectorAll('img').length") == 0
        assert page.ask("document.body.dataset.error ?? null") is None


@pytest.fixture(scope="module")
def year() -> FakeYear:
    return FakeYear(365).advance(365 * 96, observe_every=48)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [PHONE, {"width": 1024, "height": 768}, DESKTOP])
def test_a_year_is_readable_on_every_screen(
    page: chromium.Browser, year: FakeYear, size: dict[str, Any], dark: bool
) -> None:
    page.show(**size, dark=dark)
    with serving(dashboard.app(year.status, year.history)) as url:
        page.open(url)
        page.wait(DRAWN)
        assert page.ask("document.documentElement.scrollWidth") <= size["width"]
        assert text(page, "#run") == "ended"
        assert "final figures" in text(page, "#pace")
        assert page.ask("document.getElementById('plot-rate').data[0].x.length") == len(year.history.since().times)
        assert page.ask(CONTRAST) >= 4.5
        assert page.errors == []


# the least contrast (WCAG 2.1) of any text colour on the surfaces that carry it
CONTRAST = """(() => {
  const probe = document.body.appendChild(document.createElement('i'));
  const light = (name) => {
    probe.style.color = `var(${name})`;
    const parts = getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255);
    const [r, g, b] = parts.map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  const texts = ['--ink', '--quiet', '--green', '--amber', '--red'];
  const pairs = ['--panel', '--ground'].flatMap((on) => texts.map((text) => [text, on]));
  for (const c of ['--green', '--amber', '--red']) pairs.push([c, c + '-faint'], ['--quiet', c + '-faint']);
  const least = Math.min(...pairs.map(([a, b]) => ratio(a, b)));
  probe.remove();
  return least;
})()"""


def test_nothing_jumps_while_figures_grow(page: chromium.Browser) -> None:
    year = FakeYear(59).advance(3)
    with serving(dashboard.app(year.status, year.history)) as url:
        for size in (DESKTOP, PHONE):
            page.show(**size)
            page.open(url)
            page.wait(DRAWN)
            tops = "[...document.querySelectorAll('h2, h3, .plot')].map((node) => node.offsetTop)"
            before = page.ask(tops)
            year.advance(1_000)
            page.wait(f"document.getElementById('topics').innerText.includes('{year.step:,}')")
            assert page.ask(tops) == before


def test_the_history_that_comes_in_parts_is_the_history(page: chromium.Browser) -> None:
    year = FakeYear(59, capacity=40).advance(10)
    with serving(dashboard.app(year.status, year.history)) as url:
        page.open(url)
        page.wait(DRAWN)
        for steps in (3, 20, 150):  # a few more, over one halving, over several
            year.advance(steps)
            part = year.history.since()
            plotted = "document.getElementById('plot-rate').data[0]"
            page.wait(f"JSON.stringify({plotted}.x) === '{msgspec.json.encode(part.times).decode()}'")
            assert page.ask(f"{plotted}.y.at(-1)") == part.series["events_per_second"][-1]
        assert page.errors == []


def test_it_says_when_the_app_is_gone_and_goes_on_when_it_is_back(page: chromium.Browser) -> None:
    year = FakeYear(59).advance(500)
    app = dashboard.app(year.status, year.history)
    with serving(app) as url:
        page.open(url)
        page.wait("document.getElementById('run').innerText === 'replaying'")
    page.wait("document.getElementById('run').innerText === 'connection lost'")
    assert "No connection to the app. Last heard" in text(page, "#lost")
    year.advance(10)
    with serving(app, port=int(url.rsplit(":", 1)[1].strip("/"))):
        page.wait("document.getElementById('lost').hidden")
        page.wait("document.getElementById('run').innerText === 'replaying'")
        page.wait(f"document.getElementById('topics').innerText.includes('{year.step:,}')")
        year.advance(10**6)
        page.wait("document.getElementById('run').innerText === 'ended'")
    page.wait("!document.getElementById('lost').hidden")
    assert "The run is over and its server has gone" in text(page, "#lost")
    assert text(page, "#run") == "ended"


def test_durations_read_the_same_on_the_page_and_in_the_terminal(page: chromium.Browser) -> None:
    values = [
        0,
        1,
        250,
        999,
        1_000,
        59_999,
        61_000,
        3_600_000,
        3_660_000,
        86_400_000,
        93_784_000,
        31_536_000_000,
        None,
    ]
    with serving(dashboard.app(FakeYear(1).status, FakeYear(1).history)) as url:
        page.open(url)
        page.wait("document.readyState === 'complete'")
        told = page.ask(f"import('/format.js').then((f) => {msgspec.json.encode(values).decode()}.map(f.duration))")
    assert told == [figures.duration(v) for v in values]
