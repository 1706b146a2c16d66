"""The operator's page in a real browser, the way its readers use it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvicorn

from freshet import figures
from freshet.schemas.durations import HOUR_MS
from freshet.serving.page import app as dashboard
from freshet.serving.page import values
from freshet.serving.status.history import DAY_MS, TIERS_MS, WHOLE, History
from freshet.serving.status.status import (
    CalibrationBin,
    ClassCounts,
    Clock,
    DriftFigures,
    LabelFigures,
    LineageFigures,
    ModelFigures,
    Promise,
    Quality,
    References,
    Served,
    SkewFigures,
    SliceFigures,
    SourceFigures,
    Status,
    TopicFigures,
    ViewFigures,
    encode,
)
from freshet.serving.values.book import Book
from tests.serving.page import chromium
from tests.serving.page.operated import Operated
from tests.serving.status.fake_status import FakeYear
from tests.serving.values.pieces_of import FIRST_HOUR, SALES, Told

pytestmark = pytest.mark.skipif(chromium.found() is None, reason="no chromium on PATH")
DRAWN = (
    "document.body?.dataset.plots === 'drawn' && document.querySelectorAll('.main-svg').length > 5"
)
PHONE: dict[str, Any] = {"width": 375, "height": 812, "touch": True}
DESKTOP: dict[str, Any] = {"width": 1360, "height": 900}


async def gone(scope: Any, receive: Any, send: Any) -> None:
    """Answers a page that polls on after its test."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b""})


class Stage:
    """One server for all tests, each of which puts its app behind it: what the browser has compiled
    of an address's scripts it finds again, and that is most of what opening a page costs."""

    def __init__(self) -> None:
        self.app: Any = gone
        self.url = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


STAGE = Stage()


@pytest.fixture(scope="module", autouse=True)
def stage() -> Iterator[None]:
    with listening(STAGE) as STAGE.url:
        yield


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """The app, at the address that all tests share."""
    STAGE.app = app
    try:
        yield STAGE.url
    finally:
        STAGE.app = gone


@contextmanager
def listening(app: Any, port: int = 0) -> Iterator[str]:
    """The app behind uvicorn on a port of its own."""
    sock = socket.create_server(("127.0.0.1", port))
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    )
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
    # The next test's page has the same address, and its reader has not been there.
    browser.call("Storage.clearDataForOrigin", origin=STAGE.url[:-1], storageTypes="local_storage")


@cache
def year_at(step: int) -> FakeYear:
    """A year that many tests look at and none moves on."""
    return FakeYear(59).advance(step, observe_every=4)


def text(page: chromium.Browser, selector: str) -> str:
    return str(page.ask(f"document.querySelector({selector!r}).innerText"))


def test_it_shows_what_the_status_says(page: chromium.Browser) -> None:
    year = year_at(3_800)  # in the storm of February
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
        prior, no_change = model.rolling_references.prior, model.rolling_references.no_change
        tiles = text(page, "[data-tiles]")
        for figure in (
            model.rolling.ne,
            model.rolling.auc,
            model.rolling.log_loss,
            model.rolling.accuracy,
        ):
            assert f"{figure:.3f}" in tiles
        assert f"prior {prior.log_loss:.3f}" in tiles
        assert f"prior {prior.accuracy:.3f} · no change {no_change.accuracy:.3f}" in tiles
        for topic in status.topics:
            assert f"{topic.applied:,}" in text(page, "#topics")
        cells = "[...document.querySelectorAll('#dead tr')].map((row) => [...row.cells].map((cell) => cell.innerText))"
        head, *rows = page.ask(cells)
        assert head[:3] == ["Topic", "Letters", "of its records"]
        for topic, row in zip(status.topics, rows, strict=True):
            counts = dict(zip(head[3:], row[3:], strict=True))
            assert row[:2] == [topic.name, f"{sum(topic.dead.values()):,}"]
            assert counts == {reason: f"{topic.dead[reason]:,}" for reason in counts}
            assert counts.keys() == topic.dead.keys()
        assert page.ask("document.querySelectorAll('#views tbody tr:not(.note)').length") == len(
            status.views
        )
        assert page.ask("document.querySelectorAll('#roles tbody tr').length") == len(status.roles)
        assert page.errors == []
        assert page.ask("document.body.dataset.error ?? null") is None
        asked = page.ask("performance.getEntriesByType('resource').map((r) => r.name)")
        assert asked
        assert all(address.startswith(url) for address in asked)


def test_lineages_stand_beside_what_needs_no_features(page: chromium.Browser) -> None:
    year = year_at(3_000)
    model = year.status().models[0]
    with serving(dashboard.app(year.status, year.history)) as url:
        page.open(url)
        page.wait(DRAWN)
        told = page.ask(
            "[...document.querySelectorAll('[data-lineages] tbody tr:not(.note)')]"
            ".map((row) => [...row.cells].slice(0, 7).map((cell) => (cell.querySelector('span') ?? cell).innerText))"
        )
        *lineages, prior, no_change = told
        for row, x in zip(lineages, model.lineages, strict=True):
            q = x.overall
            figures = [f"{v:.3f}" for v in (q.auc, q.ne, q.log_loss, q.accuracy)] + [
                f"{q.calibration:.2f}"
            ]
            assert row == [x.name, f"{x.examples:,}", *figures]
        n = model.lineages[0].references.prior.n
        assert prior == ["prior", f"{n:,}", "0.500", "1.001", "0.547", "0.763", "1.00"]
        assert no_change == ["no change", f"{n - 1:,}", "–", "–", "–", "0.688", "–"]
        assert page.errors == []


NARROW: dict[str, Any] = {"width": 390, "height": 844, "touch": True}


def test_time_labels_are_whole_on_a_phone(page: chromium.Browser) -> None:
    year = year_at(3_800)
    page.show(**NARROW)
    with serving(dashboard.app(year.status, year.history)) as url:
        page.open(url)
        page.wait(DRAWN)
        for k in range(5):
            if page.ask(f"document.querySelectorAll('#windows button')[{k}].disabled"):
                continue
            press(page, f"#windows button:nth-child({k + 1})")
            page.wait(
                f"document.querySelectorAll('#windows button')[{k}].getAttribute('aria-pressed') === 'true'"
            )
            page.wait("document.querySelectorAll('.plot .xtick text').length > 8")
            beyond = page.ask(LABELS_BEYOND)
            assert beyond == [], k


# tick labels of the x axes that are cut by their plot, or overlap their neighbour
LABELS_BEYOND = """[...document.querySelectorAll('.plot')].flatMap((plot) => {
  const place = plot.getBoundingClientRect();
  const shown = [...plot.querySelectorAll('.xtick text')].filter((label) => getComputedStyle(label).display !== 'none');
  const found = shown.map((label) => [label.textContent, label.getBoundingClientRect()]);
  const cut = found.filter(([, at]) => at.left < place.left || at.right > place.right || at.bottom > place.bottom);
  const pairs = found.slice(1).filter(([, at], i) => at.left < found[i][1].right && at.top < found[i][1].bottom);
  return [...cut, ...pairs].map(([name]) => plot.dataset.plot + ' ' + name);
})"""


@pytest.mark.parametrize("dark", [False, True])
def test_a_table_that_is_wider_than_the_screen_shows_it_and_is_scrolled_by_the_keyboard(
    page: chromium.Browser, dark: bool
) -> None:
    year = year_at(3_000)
    page.show(**NARROW, dark=dark)
    with serving(dashboard.app(year.status, year.history)) as url:
        page.open(url)
        page.wait(DRAWN)
        box = "document.getElementById('roles').parentElement"
        page.wait(f"{box}.dataset.more === 'right'")
        assert "linear-gradient" in page.ask(f"getComputedStyle({box}).backgroundImage")
        page.ask(f"{box}.focus()")
        assert page.ask(f"document.activeElement === {box}")
        # A press that comes before the first frame with the box in view is lost, on a busy machine:
        # who sees that nothing moves presses again. Eight presses are not yet the far edge.
        for _ in range(8):
            press_right(page)
            if page.sees(f"{box}.scrollLeft > 0", seconds=3):
                break
        page.wait(f"{box}.dataset.more === 'left right'")
        page.ask(f"{box}.scrollLeft = {box}.scrollWidth")
        page.wait(f"{box}.dataset.more === 'left'")
        assert page.ask(f"getComputedStyle({box}).backgroundImage") == "none"
        edge = f"getComputedStyle({box}.querySelector('tbody th'), '::after').backgroundImage"
        assert "linear-gradient" in page.ask(edge)
        page.show(**DESKTOP, dark=dark)
        page.wait(f"{box}.dataset.more === ''")
        assert page.ask(f"{box}.hasAttribute('tabindex')") is False
        wide = "[...document.querySelectorAll('.scroll')].filter((box) => box.dataset.more).length"
        assert page.ask(wide) == 0, "on a desk nothing needs to be scrolled"


def press_right(page: chromium.Browser) -> None:
    for kind in ("keyDown", "keyUp"):
        page.call(
            "Input.dispatchKeyEvent",
            type=kind,
            key="ArrowRight",
            code="ArrowRight",
            windowsVirtualKeyCode=39,
        )


def test_requests_refused_on_purpose_are_told_apart(page: chromium.Browser) -> None:
    year = year_at(300)
    requests = msgspec.structs.replace(year.status().requests, refused=12)
    with serving(
        dashboard.app(
            lambda: msgspec.structs.replace(year.status(), requests=requests), year.history
        )
    ) as url:
        page.open(url)
        page.wait(DRAWN)
        assert f"of {300 + 12} · 12 refused on purpose" in text(page, "#tiles")


def test_promises_are_told_by_shape_and_word_as_well_as_colour(page: chromium.Browser) -> None:
    promises = [
        Promise("a", "green", "fine"),
        Promise("b", "amber", "slow"),
        Promise("c", "red", "3 failed"),
    ]
    with serving(
        dashboard.app(lambda: Status(app="x", at_ms=0, promises=promises), FakeYear(1).history)
    ) as url:
        page.open(url)
        page.wait("document.querySelectorAll('#promises li').length === 3")
        shapes = page.ask(
            "[...document.querySelectorAll('#promises use')].map((u) => u.getAttribute('href'))"
        )
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
    """A whole year, its last hundred days by the hour: what is older is in coarse points alone."""
    return FakeYear(365).advance(265 * 96, observe_every=48).advance(100 * 96, observe_every=4)


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
        assert page.ask("document.getElementById('plot-rate').data[0].x.length") == len(
            year.history.since().times
        )
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
  const texts = ['--ink', '--quiet', '--green', '--amber', '--red', '--accent'];
  const pairs = ['--panel', '--ground'].flatMap((on) => texts.map((text) => [text, on]));
  for (const c of ['--green', '--amber', '--red']) pairs.push([c, c + '-faint'], ['--quiet', c + '-faint'], ['--ink', c + '-faint']);
  pairs.push(['--panel', '--accent']);
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
            tops = "[...document.querySelectorAll('h2, h3, .plot')].map((node) => node.getBoundingClientRect().top + scrollY)"
            before = page.ask(tops)
            year.advance(1_000, observe_every=10)
            page.wait(
                f"document.getElementById('topics').innerText.includes('{year.status().topics[0].records:,}')"
            )
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
            page.wait(
                f"JSON.stringify({plotted}.x) === '{msgspec.json.encode(part.times).decode()}'"
            )
            assert page.ask(f"{plotted}.y.at(-1)") == part.series["events_per_second"][-1]
        assert page.errors == []


def test_it_says_when_the_app_is_gone_and_goes_on_when_it_is_back(page: chromium.Browser) -> None:
    year = FakeYear(59).advance(500)
    app = dashboard.app(year.status, year.history)
    with listening(app) as url:
        page.open(url)
        page.wait("document.getElementById('run').innerText === 'replaying'")
    page.wait("document.getElementById('run').innerText === 'connection lost'")
    assert "No connection to the app. Last heard" in text(page, "#lost")
    year.advance(10)
    with listening(app, port=int(url.rsplit(":", 1)[1].strip("/"))):
        page.wait("document.getElementById('lost').hidden")
        page.wait("document.getElementById('run').innerText === 'replaying'")
        page.wait(
            f"document.getElementById('topics').innerText.includes('{year.status().topics[0].records:,}')"
        )
        year.advance(10**6, observe_every=1_000)
        page.wait("document.getElementById('run').innerText === 'ended'")
    page.wait("!document.getElementById('lost').hidden")
    assert "The run is over and its server has gone" in text(page, "#lost")
    assert text(page, "#run") == "ended"


def test_what_is_wrong_stands_on_top_with_what_it_means_and_what_to_do(
    page: chromium.Browser,
) -> None:
    year = FakeYear(59).advance(500)
    year.trouble = True
    with serving(dashboard.app(year.status, year.history)) as url:
        for size in (DESKTOP, PHONE):
            page.show(**size)
            page.open(url)
            page.wait(DRAWN)
            (away,) = year.status().outages
            for told in (
                f"{away.resource}: {away.cause}",
                away.meanwhile,
                away.next_step,
                "for 3m 14s",
                "view/0, serve/0",
            ):
                assert told in text(page, "#notices")
            assert "The switch learn is off" in text(page, "#notices")
            assert "Turned off by ada" in text(page, "#notices")
            tops = "['notices', 'promises', 'alerts', 'day', 'tiles'].map((id) => document.getElementById(id).getBoundingClientRect().top)"
            assert page.ask(tops) == sorted(page.ask(tops))
            assert text(page, "#alerts-title") == "2 alerts"
            resolved, red, amber = year.status().alerts
            for alert in (red, amber):
                for told in (alert.subject, alert.reason, alert.meaning, alert.next_step):
                    assert told in text(page, "#alerts")
            states = "[...document.querySelectorAll('#alerts li')].map((li) => li.dataset.state)"
            assert page.ask(states) == ["red", "amber"]
            assert not page.ask("document.getElementById('resolved').open")
            page.ask("document.getElementById('resolved-title').click()")
            assert resolved.subject in text(page, "#resolved-alerts")
            assert page.ask("document.title").startswith("✖")
            assert page.ask("document.documentElement.scrollWidth") <= size["width"]
        year.trouble = False
        page.wait("document.getElementById('notices').hidden")
        assert text(page, "#alerts-title") == "No alert"
        assert page.errors == []


def test_the_calibration_plot_has_a_dot_for_every_bin_with_labels(page: chromium.Browser) -> None:
    year = year_at(3_000)
    with serving(dashboard.app(year.status, year.history)) as url:
        page.open(url)
        page.wait(DRAWN)
        known = [b for b in year.status().models[0].calibration if b.observed is not None]
        dots = "document.querySelector('[data-plot=calibration]').data[2]"
        assert page.ask(f"{dots}.x") == [b.predicted for b in known]
        assert page.ask(f"{dots}.y") == [b.observed for b in known]
        label = page.ask("document.querySelector('[data-plot=calibration]').ariaLabel")
        assert f"of {known[0].n:,}" in label
        points = "document.querySelectorAll('[data-plot=calibration] .scatterlayer .point').length"
        assert page.ask(points) == len(known)
        for size in (DESKTOP, PHONE):
            page.show(**size)
            page.open(url)
            page.wait(DRAWN)
            bars = "[...document.querySelectorAll('[data-plot=calibration] .barlayer .point path')]"
            assert max(page.ask(f"{bars}.map((bar) => bar.getBoundingClientRect().height)")) > 5


def test_the_features_that_are_farthest_from_what_was_learned_are_shown(
    page: chromium.Browser,
) -> None:
    year = year_at(300)
    skew = [
        SkewFigures(feature=f"f{at}", jensen_shannon=at / 20, asked=1_000, learned=5_000)
        for at in range(12)
    ]
    model = msgspec.structs.replace(year.status().models[0], skew=skew)
    status = msgspec.structs.replace(year.status(), models=[model])
    with serving(dashboard.app(lambda: status, year.history)) as url:
        page.open(url)
        page.wait(DRAWN)
        rows = page.ask(
            "[...document.querySelectorAll('[data-skew] tbody tr')].map((row) => row.innerText)"
        )
        assert rows[0].split() == ["f11", "0.55", "–", "0.00", "0.00", "1,000", "5,000"]
        assert rows[-1] == "the 10 furthest of 12"


def test_slices_are_of_the_field_and_of_whom_the_reader_chose(page: chromium.Browser) -> None:
    year = FakeYear(59).advance(3_000, observe_every=48)
    with serving(dashboard.app(year.status, year.history)) as url:
        page.open(url)
        page.wait(DRAWN)
        model = year.status().models[0]

        def ne_of(slices: list[Any], field: str) -> dict[str, str]:
            return {s.value: f"{s.served.ne:.3f}" for s in slices if s.field == field}

        told = (
            "Object.fromEntries([...document.querySelectorAll('[data-slices] tbody tr')]"
            ".map((row) => [row.cells[0].innerText, row.cells[3].innerText]))"
        )
        assert page.ask(told) == ne_of(model.slices, "carrier")
        choose(page, "[data-field]", "origin")
        assert page.ask(told) == ne_of(model.slices, "origin")
        river = next(x for x in model.lineages if x.name == "river")
        choose(page, "[data-whose]", "river")
        assert page.ask(told) == ne_of(river.slices, "origin") != ne_of(model.slices, "origin")
        year.advance(96)
        page.wait(
            f"document.getElementById('topics').innerText.includes('{year.status().topics[0].records:,}')"
        )
        assert page.ask("document.querySelector('[data-whose]').value") == "river", (
            "the choice stays"
        )


def choose(page: chromium.Browser, selector: str, value: str) -> None:
    page.ask(
        f"(() => {{ const s = document.querySelector({selector!r}); s.value = {value!r};"
        " s.dispatchEvent(new Event('change')) })()"
    )


def test_a_topic_is_shown_with_its_sources_and_fields(page: chromium.Browser) -> None:
    year = year_at(3_000)
    with serving(dashboard.app(year.status, year.history)) as url:
        page.open(url)
        page.wait(DRAWN)
        page.ask("document.querySelector('#topic-choice button[value=arrivals]').click()")
        topic = year.status().topics[2]
        for source in topic.sources:
            assert source.name in text(page, "#sources")
            assert f"{source.events:,}" in text(page, "#sources")
        assert "−43" in text(page, "#fields")
        assert "1 Jan 2013" in text(page, "#fields"), "a moment is no number"
        assert "UA 58,665" in text(page, "#fields")
        assert (
            page.ask("document.querySelector('#settings-choice [aria-pressed=true]').value")
            == "arrivals"
        )
        assert page.errors == []


def test_where_nothing_is_known_yet_it_says_so(page: chromium.Browser) -> None:
    bare = Status(
        app="x",
        at_ms=0,
        topics=[TopicFigures(name="t")],
        views=[ViewFigures(name="v")],
        models=[ModelFigures(name="m")],
    )
    with serving(dashboard.app(lambda: bare, History())) as url:
        for size in (DESKTOP, PHONE):
            page.show(**size)
            page.open(url)
            page.wait("document.body?.dataset.shown === 'yes'")
            told = text(page, "main")
            for words in (
                "No events yet",
                "nothing yet",
                "no lineage yet",
                "no labels yet",
                "No answer yet.",
                "no requests yet",
                "no role has been heard of yet",
                "nobody has changed a setting yet",
                "The run has not told its switches yet.",
                "The run has not told its settings yet.",
            ):
                assert words in told, words
            for unknown in ("undefined", "NaN", "null"):
                assert unknown not in told
            empty = "getComputedStyle(document.getElementById('plot-rate'), '::before').content"
            assert page.ask(empty) == '"nothing to draw yet"'
            assert page.ask("document.documentElement.scrollWidth") <= size["width"]
            assert page.errors == []


def test_a_year_is_there_in_a_bounded_number_of_points_and_its_end_in_finer_ones(
    page: chromium.Browser, year: FakeYear
) -> None:
    for tier in (WHOLE, *TIERS_MS):
        part = year.history.since(tier=tier)
        assert len(part.times) <= 1_201
        assert len(encode(part)) < 600_000
    with serving(dashboard.app(year.status, year.history)) as url:
        page.open(url)
        page.wait(DRAWN)
        plotted = "document.getElementById('plot-rate').data[0].x"
        coarse = page.ask(f"{plotted}.at(-1) - {plotted}.at(-2)")
        enabled = "[...document.querySelectorAll('#windows button:not(:disabled)')].map((b) => b.innerText)"
        assert page.ask(enabled) == ["All", "90 days", "30 days", "7 days", "1 day"], (
            "one step is no hour"
        )
        page.ask("document.querySelectorAll('#windows button')[3].click()")
        page.wait(
            "document.querySelectorAll('#windows button')[3].getAttribute('aria-pressed') === 'true'"
        )
        page.wait(f"{plotted}.at(-1) - {plotted}.at(-2) < {coarse}")
        start, end = page.ask("document.getElementById('plot-rate').layout.xaxis.range")
        assert end - start == 7 * DAY_MS
        in_view = page.ask(f"{plotted}.filter((at) => at >= {start}).length")
        assert in_view > 150
        band = "document.querySelector('[data-plot=first]').layout.shapes"
        assert page.ask(f"{band}.length") >= 1, "who served is shown"
        assert page.errors == []


def test_the_lag_of_one_view_is_plotted_with_its_bound(page: chromium.Browser) -> None:
    year = FakeYear(59).advance(200)
    with serving(dashboard.app(year.status, year.history)) as url:
        page.open(url)
        page.wait(DRAWN)
        choose(page, "#lag-view", "origin_load")
        lags = year.history.since().series["feature_lag/origin_load"]
        page.wait(f"document.getElementById('plot-lag').data[0].y.length === {len(lags)}")
        drawn = "document.getElementById('plot-lag')"
        page.wait(
            f"JSON.stringify({drawn}.data[0].y.map((v) => Math.round(v * 60000))) === '{[round(x) for x in lags]}'.replaceAll(' ', '')"
        )
        assert page.ask(f"{drawn}.layout.shapes[0].y0") == 15


def fill_in(page: chromium.Browser, key: str, value: str) -> None:
    page.ask(
        f"(() => {{ const input = document.getElementById('setting-{key}'); input.value = {value!r};"
        " input.dispatchEvent(new Event('input')) })()"
    )


def press(page: chromium.Browser, selector: str) -> None:
    page.ask(f"document.querySelector({selector!r}).click()")


@pytest.fixture
def operated(tmp_path: Path) -> Iterator[Operated]:
    app = Operated(tmp_path, year_at(300))
    yield app
    app.close()


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_a_setting_is_changed_on_the_page_and_its_history_shows_who_did(
    page: chromium.Browser, operated: Operated, size: dict[str, Any]
) -> None:
    page.show(**size)
    with serving(operated.app()) as url:
        page.open(url)
        page.wait(DRAWN)
        page.ask("localStorage.clear()")
        press(page, "#settings-choice button[value=arrivals]")
        assert "as declared" in text(page, "[data-key=snapshot_every]")
        press(page, "#change")
        page.wait("document.getElementById('setting-snapshot_every')")
        assert "100ms to 366d" in text(page, "[data-key=snapshot_every]")
        assert "declared 6h" in text(page, "[data-key=snapshot_every]")
        assert "one of serve, fallback, refuse" in text(page, "[data-key=on_violation]")
        assert page.ask("document.documentElement.scrollWidth") <= size["width"]

        press(page, "#apply")
        assert "Nothing is changed yet" in text(page, "#settings-said")
        fill_in(page, "snapshot_every", "2 hours")
        fill_in(page, "lateness", "10m")
        press(page, "#apply")
        page.wait(
            "document.getElementById('settings-said').innerText.includes('is not a duration')"
        )
        assert "such as 250ms, 5s, 2m, 1h30m or 7d (units: ms, s, m, h, d)" in text(
            page, "#settings-said"
        )
        assert operated.status().changes == [], "all or nothing"
        assert page.ask("document.getElementById('setting-lateness').value") == "10m", (
            "the draft stays"
        )

        page.ask(
            "(() => { const w = document.getElementById('who'); w.value = 'Małgorzata'; w.dispatchEvent(new Event('change')) })()"
        )
        fill_in(page, "snapshot_every", "2h")
        press(page, "#apply")
        page.wait("document.getElementById('settings-said').innerText.includes('arrivals now has')")
        page.wait("document.getElementById('changes').innerText.includes('Małgorzata')")
        assert "declared 6h" in text(page, "[data-key=snapshot_every]")
        assert "2h" in text(page, "[data-key=snapshot_every] .now")
        rows = "[...document.querySelectorAll('#changes tbody tr')].map((r) => [...r.cells].slice(1).map((c) => c.innerText))"
        assert page.ask(rows) == [
            ["arrivals", "lateness", "10m", "Małgorzata"],
            ["arrivals", "snapshot_every", "2h", "Małgorzata"],
        ]
        assert operated.settings.of("arrivals").lateness == "10m"
        assert operated.settings.of("departures").lateness == "5m"
        assert all("400 (Bad Request)" in error for error in page.errors)


def test_what_others_set_meanwhile_is_told_and_does_not_undo_a_draft(
    page: chromium.Browser, operated: Operated
) -> None:
    with serving(operated.app()) as url:
        page.open(url)
        page.wait(DRAWN)
        press(page, "#change")
        page.wait("document.getElementById('setting-lateness')")
        fill_in(page, "lateness", "10m")
        operated.set_topic("departures", {"lateness": "7m"}, "bob")
        page.wait(
            "document.querySelector('[data-key=lateness]').innerText.includes('meanwhile set to 7m')"
        )
        assert page.ask("document.getElementById('setting-lateness').value") == "10m"
        press(page, "#cancel")
        page.wait("document.querySelector('[data-key=lateness] .now').innerText.startsWith('7m')")


def test_a_switch_is_turned_after_a_second_press(
    page: chromium.Browser, operated: Operated
) -> None:
    with serving(operated.app()) as url:
        page.open(url)
        page.wait(DRAWN)
        press(page, "#switches li:nth-child(2) button")
        assert page.ask("document.getElementById('confirm').open")
        assert "none is judged or released" in text(page, "#confirm")
        press(page, "#confirm-no")
        assert not page.ask("document.getElementById('confirm').open")
        assert operated.status().switches[1].on
        press(page, "#switches li:nth-child(2) button")
        press(page, "#confirm-yes")
        page.wait(
            "document.querySelector('#switches li:nth-child(2)').innerText.includes('Turn on')"
        )
        page.wait("!document.getElementById('confirm').open")
        assert not operated.status().switches[1].on
        assert "The switch release is off" in text(page, "#notices")
        assert page.errors == []


def test_a_page_whose_server_takes_no_changes_says_so(page: chromium.Browser) -> None:
    year = year_at(300)
    with serving(dashboard.app(year.status, year.history)) as url:
        page.open(url)
        page.wait(DRAWN)
        press(page, "#change")
        page.wait("document.getElementById('settings-said').innerText")
        assert (
            text(page, "#settings-said") == "This page can only show: its server takes no changes."
        )
        press(page, "#switches button")
        press(page, "#confirm-yes")
        page.wait("document.getElementById('confirm-error').innerText")
        assert (
            text(page, "#confirm-error") == "This page can only show: its server takes no changes."
        )


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
        told = page.ask(
            f"import('/format.js').then((f) => {msgspec.json.encode(values).decode()}.map(f.duration))"
        )
    assert told == [figures.duration(v) for v in values]


@pytest.mark.parametrize("screen", [DESKTOP, PHONE])
def test_values_of_a_topic_are_shown_beside_the_weeks_before(
    page: chromium.Browser, screen: dict[str, Any]
) -> None:
    book = book_of_sales()
    year = year_at(300)
    drift = DriftFigures(
        field="price",
        source="a",
        hour_ms=1_700_000_000_000,
        distance=0.81,
        bound=0.7,
        events=20,
        reference_events=40,
        moved="50 to 52",
        share=0.9,
        usual_share=0.1,
    )
    statistics = msgspec.structs.replace(book.figures("sales"), drifts=[drift])
    topic = TopicFigures(
        name="sales", sources=[SourceFigures(name="a", events=60)], statistics=statistics
    )
    status = msgspec.structs.replace(year.status(), topics=[topic])
    page.show(**screen)
    with serving(
        dashboard.app(lambda: status, year.history, values.routes(book, lambda: status))
    ) as url:
        page.open(url)
        page.wait("document.body?.dataset.shown === 'yes'")
        page.ask("document.getElementById('statistics-at').open = true")
        page.wait("document.querySelectorAll('#statistics tbody tr').length === 5")
        assert "drift is watched once 7 more weeks are known" in text(page, "#statistics-about")
        rows = text(page, "#statistics")
        assert "price" in rows
        assert "1.00" in rows  # its distance
        assert "0.81 apart, bound 0.70" in text(page, "#statistics-drifts")
        wide = page.ask(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert wide == 0
        page.ask(
            "(() => { const s = document.getElementById('statistics-source');"
            " s.value = 'a'; s.dispatchEvent(new Event('change')); })()"
        )
        page.wait("document.querySelectorAll('#statistics tbody tr').length === 5")
    assert page.errors == []


def book_of_sales() -> Book:
    """Three weeks, of which the last has other prices."""
    told = Told()
    book = Book("shop", [SALES])
    given: list[Any] = []
    for week in range(3):
        prices = [1.0 + week // 2 * 50] * 20
        given += told.sell(FIRST_HOUR + week * 168, "a", prices)
        given += told.tick(FIRST_HOUR + week * 168 + 1.5)
    for block in given:
        book._topics["sales"].take(block)
    book._figure()
    return book


SINCE = FIRST_HOUR * HOUR_MS
NUMBERS = Quality(n=900, mae=14.25, rmse=20.5, bias=-3.75, squared_error=420.25)
KINDS = Quality(
    n=900, accuracy=0.8125, macro_f1=0.6875, ne=0.5625, log_loss=0.9375, calibration=1.125
)
TASKS = {
    "regression": {
        "rolling": NUMBERS,
        "rolling_references": References(
            prior=Quality(n=899, mae=30.5, rmse=41.5, bias=1.5),
            no_change=Quality(n=899, mae=18.25, rmse=26.75, bias=0.125),
        ),
        "calibration": [
            CalibrationBin(low=0, high=50, n=90, predicted=30.0, observed=33.0, deviation=9.0),
            CalibrationBin(low=50, high=99, n=90, predicted=70.0, observed=66.0, deviation=8.0),
        ],
    },
    "classes": {
        "rolling": KINDS,
        "rolling_references": References(
            prior=Quality(n=900, accuracy=0.25, macro_f1=0.0625, log_loss=1.9375),
            no_change=Quality(n=899, accuracy=0.375, macro_f1=0.3125),
        ),
        "calibration": [
            CalibrationBin(low=0.5, high=0.6, n=90, predicted=0.56, observed=0.5),
            CalibrationBin(low=0.9, high=1.0, n=810, predicted=0.97, observed=0.9),
        ],
        "classes": [
            ClassCounts(name="sky", labelled=300, answered=320, right=290),
            ClassCounts(name="<b>grass</b>", labelled=600, answered=580, right=441),
        ],
    },
}


def of_task(task: str) -> tuple[Status, History]:
    """A model of that task, as a status tells it, and what history made of some of them."""
    figures: dict[str, Any] = TASKS[task]
    lineage = LineageFigures(
        name="linear-1",
        examples=900,
        overall=figures["rolling"],
        rolling=figures["rolling"],
        references=figures["rolling_references"],
    )
    found = ModelFigures(
        name="guess",
        task=task,
        served=Served(lineage="linear-1", number=3, since_ms=SINCE),
        lineages=[lineage],
        slices=[SliceFigures(field="shop", value="a", served=figures["rolling"])],
        labels=LabelFigures(fates={"used": 900, "null": 12, "bad": 5, "without_id": 0}),
        asked=950,
        labelled=900,
        **figures,
    )
    history = History(100)
    status = Status(app="guesses", at_ms=SINCE, models=[found])
    for step in range(40):
        clock = Clock(state="running", app_ms=SINCE + step * HOUR_MS)
        status = msgspec.structs.replace(status, clock=clock)
        history.observe(status)
    return status, history


HEADS = "[...document.querySelectorAll('{} thead th')].map((cell) => cell.innerText)"
ROWS = (
    "[...document.querySelectorAll('{} tbody tr:not(.note)')]"
    ".map((row) => [...row.cells].map((cell) => (cell.querySelector('span') ?? cell).innerText))"
)
LINES = (
    "[...document.querySelectorAll('[data-plot={}]')].map((plot) => plot.data"
    ".filter((line) => line.mode === 'lines' && line.y.some((y) => y !== null)).map((l) => l.name))[0]"
)


@pytest.mark.parametrize("task", list(TASKS))
def test_a_model_is_told_by_the_figures_of_its_task(page: chromium.Browser, task: str) -> None:
    status, history = of_task(task)
    with serving(dashboard.app(lambda: status, history)) as url:
        page.open(url)
        page.wait(DRAWN)
        section = text(page, ".model")
        assert "AUC" not in section
        tiles = text(page, "[data-tiles]")
        lineages = page.ask(HEADS.format("[data-lineages]"))
        (own, prior, no_change) = page.ask(ROWS.format("[data-lineages]"))
        # Each task has a plot over time of its own two figures, and a diagram.
        assert "served" in page.ask(LINES.format("first"))
        assert "served" in page.ask(LINES.format("second"))
        words = page.ask("document.querySelector('[data-plot=calibration]').ariaLabel")
        if task == "regression":
            for told in ("20.5", "prior 41.5 · no change 26.75", "14.25", "−3.75"):
                assert told in tiles
            assert "entropy" not in section
            assert lineages[:5] == ["Lineage", "Examples", "MAE", "RMSE", "Bias"]
            assert own[1:5] == ["900", "14.25", "20.5", "−3.75"]
            assert prior[1:5] == ["899", "30.5", "41.5", "1.5"]
            assert no_change[1:5] == ["899", "18.25", "26.75", "0.125"]
            assert words.startswith("Answers beside labels: mean answer 30, mean label 33 of 90;")
            assert page.ask("document.querySelector('[data-by-class]').hidden")
        else:
            for told in ("0.688", "prior 0.063 · no change 0.313", "1.13", "prior 1.938"):
                assert told in tiles, (told, tiles)
            assert lineages[2:4] == ["Accuracy", "Macro F1"]
            assert own[1:5] == ["900", "0.813", "0.688", "0.938"]
            assert no_change[1:5] == ["899", "0.375", "0.313", "–"]
            assert words.startswith("Calibration: highest probability 0.56, its class came 0.50")
            assert page.ask(ROWS.format("[data-classes]")) == [
                ["<b>grass</b>", "600", "66.7 %", "580", "76.0 %", "73.5 %"],
                ["sky", "300", "33.3 %", "320", "90.6 %", "96.7 %"],
            ]
        assert (
            text(page, "[data-labels]")
            == "Label events: 900 used · 12 without a value · 5 bad, a dead letter each"
        )
        assert page.errors == []
        assert page.ask("document.body.dataset.error ?? null") is None


@pytest.mark.parametrize("task", list(TASKS))
def test_on_a_phone_no_task_is_wider_than_the_screen(page: chromium.Browser, task: str) -> None:
    status, history = of_task(task)
    page.show(**NARROW)
    with serving(dashboard.app(lambda: status, history)) as url:
        page.open(url)
        page.wait(DRAWN)
        assert page.ask("document.documentElement.scrollWidth") == NARROW["width"]
        assert page.ask(LABELS_BEYOND) == []


def test_before_its_first_label_a_model_of_numbers_shows_dashes_and_no_dots(
    page: chromium.Browser,
) -> None:
    _, history = of_task("regression")
    status = Status(
        app="guesses",
        at_ms=SINCE,
        clock=Clock(state="running", app_ms=SINCE),
        models=[ModelFigures(name="guess", task="regression")],
    )
    with serving(dashboard.app(lambda: status, history)) as url:
        page.open(url)
        page.wait("document.querySelectorAll('[data-tiles] .tile').length === 5")
        assert "too few labels yet" in text(page, "[data-tiles]")
        assert text(page, "[data-labels]") == ""
        words = page.ask("document.querySelector('[data-plot=calibration]').ariaLabel")
        assert words in (None, "Answers beside labels: no labels yet")
        assert page.ask("document.body.dataset.error ?? null") is None
