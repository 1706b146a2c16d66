"""The likeliest mistakes: each gets the very text that `docs/errors.md` promises.

Mistakes in an app's file are made in `APP`: a part of it is replaced. Those that need real servers
are in `tests/faults/test_refusals.py`.
"""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest
import structlog
from rich.console import Console

from freshet.app import App, load
from freshet.applying import asking
from freshet.backtest.command import Shown, run_backtest
from freshet.backtest.command import Wanted as Worth
from freshet.cli.init import init, init_from
from freshet.cli.plan import apply
from freshet.cli.schema import sample_files
from freshet.datasets.command import Wanted, write_dataset
from freshet.learners.snapshots.keys import create_key
from freshet.lineages.asked import exclusions_of
from freshet.lineages.start import ids_in
from freshet.past.moments import ms_of
from freshet.planning.of_run import planned
from freshet.planning.plan import encoded, refuse_moved
from freshet.processes import versioned
from freshet.processes.one import run_one
from freshet.processes.runtime import Runtime
from freshet.redrive.patching import parsed
from freshet.roles import preflight
from freshet.roles.process import run_role
from freshet.runs import folder as run_folder
from freshet.runs import record as run_record
from freshet.runs.lock import RunLock
from freshet.samples.places import Place, infer
from freshet.scaffold.plan import Chosen
from freshet.schemas.errors import FreshetError
from freshet.serving.web.app import ScorerApp
from freshet.settings import Settings, settings
from freshet.streams.archive.compaction import FAN
from freshet.streams.archive.folder import ArchiveFolder
from freshet.streams.archive.task import ArchivePlan, ArchiveTask, Rhythm, Start
from freshet.streams.log.contract import Batch
from freshet.streams.object_probe import probe
from freshet.streams.operators.assignment import Assignment, Since
from freshet.streams.operators.checkpoints import Checkpoints
from freshet.streams.outages import Outages
from freshet.streams.sqlite.log import SqliteLog
from freshet.versions import progress
from tests.error_texts import PAGE, documented, shown
from tests.s3 import S3Server
from tests.serving.registry.served import served
from tests.serving.scoring.toy_answering import ToyAnswering
from tests.toy_app import toy_app

APP = """
import polars as pl
import freshet as fr

FIELDS = [{"name": "parcel", "type": "string"}, {"name": "at", "type": "long"}, {"name": "city", "type": "string"}]
LATE = {"name": "late", "type": ["null", "double"]}
held = fr.Freshness(snapshot_every="5s")
handovers = fr.Topic(
    "handovers", {"type": "record", "name": "handover", "fields": FIELDS}, "parcel", "at", freshness=held
)
deliveries = fr.Topic(
    "deliveries",
    schema={"type": "record", "name": "delivery", "fields": [*FIELDS, LATE]},
    event_id="parcel",
    event_time="at",
    drop={"early": pl.col("late") < 0},
)
cities = fr.View("cities", deliveries, key="city", features={"late_1h": fr.mean("late", over="1h")})
model = fr.Model(
    "late",
    on=handovers,
    id="parcel",
    label=fr.Label(deliveries, id="parcel", value=pl.col("late") > 10),
    features=[handovers["city"], cities["late_1h"]],
    learners=[fr.Baseline(), fr.HashedLogistic(rate=0.1)],
    fallback=[fr.heuristic(pl.col("cities.late_1h") > 10), fr.constant(0.3)],
)
app = fr.App("parcels", topics=[handovers, deliveries], views=[cities], models=[model])
""".lstrip()
# What is written instead of what; the page shows what is written.
IN_THE_APP: dict[str, tuple[str, str]] = {
    "A wrong unit": ('snapshot_every="5s"', 'snapshot_every="5 seconds"'),
    "A name that cannot stand in a topic": ('"handovers", {', '"Hand overs", {'),
    "An event without such an id": ('event_id="parcel"', 'event_id="parcel_id"'),
    "A time in no known unit": ('event_time="at"', 'event_time=fr.time("at", unit="h")'),
    "A start that is no moment": ('event_time="at"', 'event_time="at", start="newest"'),
    "An unknown word for tombstones": ('event_time="at"', 'event_time="at", tombstone="keep"'),
    "Repeats without an id": ('event_id="parcel"', 'event_id=None, dedup_by="topic"'),
    "Repeats of the elements of arrays": ('event_time="at"', 'event_time="at", explode="lines", dedup_by="topic"'),
    "Tombstones among events that keep no order": ('event_time="at"', 'event_time="at", tombstone="delete", dedup_by="topic"'),
    "An unknown word for repeats": ('event_time="at"', 'event_time="at", dedup_by="id"'),
    "An array that is none": ('event_time="at"', 'event_time="at", explode="late"'),
    "An array that is not there": ('event_time="at"', 'event_time="at", explode="lines"'),
    "Two arrays at once": ('event_time="at"', 'event_time="at", explode=["lines", "tags"]'),
    "A bound of a field that is not there": ('event_time="at"', 'event_time="at", statistics=fr.Statistics(bounds={"price": 0.3})'),
    "A bound that is no distance": ('event_time="at"', 'event_time="at", statistics=fr.Statistics(bounds={"late": 30})'),
    "A reference that is no span": ('event_time="at"', 'event_time="at", statistics=fr.Statistics(reference="month")'),
    "A reference that is too short": ('event_time="at"', 'event_time="at", statistics=fr.Statistics(reference=("2026-01-31", "2026-01-01"))'),
    "Statistics that are none": ('event_time="at"', 'event_time="at", statistics=False'),
    "A header that is a field already": ('event_time="at"', 'event_time="at", headers={"late": "x-late"}'),
    "A cluster with a login": ('event_time="at"', 'event_time="at", log="d.v1", cluster="kafka://ann:secret@other:9092"'),
    "A cluster without a log": ('event_time="at"', 'event_time="at", cluster="kafka://other:9092"'),
    "A missing schema file": ('schema={"type": "record", "name": "delivery", "fields": [*FIELDS, LATE]}', 'schema="delivery.avsc"'),
    "A schema that is no JSON": ('schema={"type": "record", "name": "delivery", "fields": [*FIELDS, LATE]}', 'schema="torn.avsc"'),
    "A type that Avro does not know": ('"type": ["null", "double"]', '"type": "money"'),
    "A record that holds itself": ('"type": ["null", "double"]', '"type": ["null", "delivery"]'),
    "A feature of an array": ('"type": ["null", "double"]', '"type": {"type": "array", "items": "double"}'),
    "A rule on a record": ('"type": ["null", "double"]', '"required": True, "type": {"type": "record", "name": "delay", "fields": []}'),
    "A filter that reads an unknown field": ('pl.col("late") < 0', 'pl.col("lateness") < 0'),
    "A filter that looks at other rows": ('pl.col("late") < 0', 'pl.col("late") < pl.col("late").mean()'),
    "A Python function in an expression": ('pl.col("late") < 0', 'pl.col("city").map_elements(str.islower, pl.Boolean)'),
    "A filter that is neither true nor false": ('pl.col("late") < 0', 'pl.col("late") * 2'),
    "An imputed value that the field cannot have": ('drop={"early": pl.col("late") < 0}', 'impute={"late": fr.impute.constant("unknown")}'),
    "A derived field that looks at other rows": ('drop={"early": pl.col("late") < 0}', 'derive={"odd": pl.col("late") > pl.col("late").mean()}'),
    "A derived field that is one already": ('drop={"early": pl.col("late") < 0}', 'derive={"city": pl.col("city").str.to_lowercase()}'),
    "A zone that is none": ('drop={"early": pl.col("late") < 0}', 'derive={"hour": fr.hour("at", zone="New York")}'),
    "A filter of a derived field": ('drop={"early": pl.col("late") < 0}', 'drop={"early": pl.col("hours") < 0}, derive={"hours": pl.col("late") / 60}'),
    "A view of an unknown field": ('fr.mean("late", over="1h")', 'fr.mean("delay", over="1h")'),
    "A view keyed by an unknown field": ('key="city"', 'key="town"'),
    "Rows that are forgotten before their window is over": ('key="city"', 'key="city", keep="10m"'),
    "Records that are forgotten before what needs them": ('event_time="at"', 'event_time="at", keep="30m"'),
    "An unknown argument of an aggregate": ('fr.mean("late", over="1h")', 'fr.mean("late", window="1h")'),
    "An aggregate without a window": ('fr.mean("late", over="1h")', 'fr.mean("late")'),
    "A condition that looks at other rows": ('over="1h")', 'over="1h", where=pl.col("late") > pl.col("late").mean())'),
    "A condition that is none": ('over="1h")', 'over="1h", where="late > 10")'),
    "A ratio of a mean": ('fr.mean("late", over="1h")', 'fr.ratio(fr.mean("late", over="1h"), fr.count(over="1h"))'),
    "A view that is keyed by None": ('key="city"', 'key=None'),
    "A field that one of several topics lacks": ('"cities", deliveries,', '"cities", [handovers, deliveries],'),
    "A feature of a topic that its view is not over": ('fr.mean("late", over="1h")', 'fr.of(handovers, fr.count(over="1h"))'),
    "A list as a feature of a model": ('fr.mean("late", over="1h")', 'fr.last_distinct("late", n=5)'),
    "Neither one value nor a list": ('fr.mean("late", over="1h")', 'fr.last_distinct("late")'),
    "A quantile in percent": ('fr.mean("late", over="1h")', 'fr.quantile("late", 95, over="1h")'),
    "A count of values without end": ('fr.mean("late", over="1h")', 'fr.distinct("city", over="1h", exact=100_000)'),
    "A quantile of very many tiles": ('fr.mean("late", over="1h")}', 'fr.quantile("late", 0.9, over="1d", error=0.001)}, tile="1m"'),
    "A feature that does not exist": ('cities["late_1h"]]', 'cities["late_2h"]]'),
    "A view that is used but not listed": ("views=[cities]", "views=[]"),
    "A topic that is used but not listed": ("topics=[handovers, deliveries]", "topics=[handovers]"),
    "A label topic without the id": ('deliveries, id="parcel", value', 'deliveries, id="parcel_id", value'),
    "A label that looks at other rows": ('value=pl.col("late") > 10', 'value=pl.col("late") > pl.col("late").median()'),
    "A label that is an amount": ('value=pl.col("late") > 10', 'value=pl.col("late")'),
    "An unknown way with late labels": ('late") > 10)', 'late") > 10, late="keep")'),
    "A subject": ("on=handovers,", 'on=handovers, subject="city",'),
    "Segments": ("on=handovers,", 'on=handovers, segment_by=["city"],'),
    "A batch out of range": ("on=handovers,", "on=handovers, batch=0,"),
    "A bound of skew of no feature": ("on=handovers,", 'on=handovers, skew_bounds={"price": 0.3},'),
    "A hold by a condition that is none": ("on=handovers,", 'on=handovers, hold=[fr.HoldWhen("lost_share", above=0.3, over="1h")],'),
    "A hold by a share without its bound": ("on=handovers,", 'on=handovers, hold=[fr.HoldWhen("expired_share", over="1h")],'),
    "A hold by what is no share": ("on=handovers,", 'on=handovers, hold=[fr.HoldWhen("expired_share", above=30, over="1h")],'),
    "A hold by a share with what is another's": ("on=handovers,", 'on=handovers, hold=[fr.HoldWhen("expired_share", above=0.3, over="1h", topic="handovers")],'),
    "A hold over less than a tick": ("on=handovers,", 'on=handovers, hold=[fr.HoldWhen("expired_share", above=0.3, over="100ms")],'),
    "A hold by an unknown feature": ("on=handovers,", 'on=handovers, hold=[fr.HoldWhen("missing_input", feature="weight", above=0.3, over="1h")],'),
    "A hold by an unknown topic": ("on=handovers,", 'on=handovers, hold=[fr.HoldWhen("source_silent", topic="weather", longer_than="1h")],'),
    "A hold that is none": ("on=handovers,", 'on=handovers, hold=["expired_share"],'),
    "Another word for missing inputs": ("on=handovers,", 'on=handovers, missing_inputs="wait",'),
    "Nothing to fall back to": ('fallback=[fr.heuristic(pl.col("cities.late_1h") > 10), fr.constant(0.3)],', 'missing_inputs="fall_back",'),
    "A release that is none": ("on=handovers,", 'on=handovers, release="daily",'),
    "A request field of another topic": ('[handovers["city"],', '[deliveries["late"],'),
    "An expression among the features": ('[handovers["city"],', '[pl.col("at").dt.hour(),'),
    "An on-demand feature of a view that is not named": ('[handovers["city"],', '[fr.on_demand("is_late", pl.col("cities.late_2h") > 10),'),
    "An on-demand feature of an unknown field": ('[handovers["city"],', '[fr.on_demand("is_far", pl.col("distance") > 10),'),
    "An on-demand feature that is a field already": ('[handovers["city"],', '[fr.on_demand("city", pl.col("city").str.to_lowercase()),'),
    "An on-demand feature that looks at other rows": ('[handovers["city"],', '[fr.on_demand("odd", pl.col("at") > pl.col("at").mean()),'),
    "A category of fractions": ('[handovers["city"],', '[fr.on_demand("hours", pl.col("cities.late_1h") / 60, category=True),'),
    "A category of a view's feature": ('cities["late_1h"]]', 'fr.category(cities["late_1h"])]'),
    "A learner without its brackets": ("[fr.Baseline(),", "[fr.Baseline,"),
    "A name in the place of a topic": ('"cities", deliveries,', '"cities", "deliveries",'),
    "A file that ends the process": ('app = fr.App("parcels"', 'raise SystemExit(0)\napp = fr.App("parcels"'),
    "An unknown argument of a learner": ("HashedLogistic(rate=0.1)", "HashedLogistic(speed=0.1)"),
    "A learner's argument out of range": ("HashedLogistic(rate=0.1)", "HashedLogistic(rate=-1)"),
    "A learner of another task": ("HashedLogistic(rate=0.1)", "HashedLinear(rate=0.1)"),
    "A learner that reads nothing": ("HashedLogistic(rate=0.1)", "HashedLogistic(features=[])"),
    "A learner's feature by a name that another has": ("HashedLogistic(rate=0.1)", 'HashedLogistic(features=[fr.on_demand("city", pl.col("city").str.to_lowercase())])'),
    "A learner that is not there": ("fr.HashedLogistic(rate=0.1)", "fr.DeepForest()"),
    "A heuristic that reads an unknown feature": ('pl.col("cities.late_1h") > 10', 'pl.col("late_1h") > 10'),
    "A heuristic that looks at other rows": ('pl.col("cities.late_1h") > 10', 'pl.col("cities.late_1h").rank() > 10'),
    "A fallback that is no rung": ("fr.constant(0.3)]", "0.3]"),
    "A fallback that is no probability": ("fr.constant(0.3)", "fr.constant(30)"),
    "Two apps in a file": ('app = fr.App("parcels"', 'other = fr.App("other", topics=[handovers])\napp = fr.App("parcels"'),
    "No app in a file": ('app = fr.App("parcels", topics=[handovers, deliveries], views=[cities], models=[model])\n', ""),
    "A module that is not there": ("import polars as pl", "import helpers\nimport polars as pl"),
    "A module in a folder that is not there": ("import polars as pl", "import schemas.parcels\nimport polars as pl"),
    "A relative import": ("import polars as pl", "from .helpers import x\nimport polars as pl"),
    "A mistake in the Python": ("on=handovers,", "on=handover,"),
    "Python that cannot be read": ("on=handovers,", "on=handovers,,"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, with the sound app in it, and no settings from elsewhere."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"FRESHET_{name.upper()}", raising=False)
    monkeypatch.delenv("FRESHET_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    write(APP)
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    yield tmp_path
    for s, handler in before.items():
        signal.signal(s, handler)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.basicConfig(force=True)  # closes the run's own


def write(text: str, file: str = "app.py") -> None:
    Path(file).write_text(text)


def sound() -> App:
    return load("app.py")


def changed(old: str, new: str) -> App:
    """The app with a part of it replaced."""
    assert APP.count(old) == 1
    write(APP.replace(old, new))
    return load("app.py")


def told(provoke: Callable[[], object], folder: Path) -> str:
    """What the command line prints of the error that this raises."""
    with pytest.raises(FreshetError) as raised:
        provoke()
    return shown(f"error: {raised.value}", folder)


def test_the_app_of_these_tests_is_sound() -> None:
    assert sound().name == "parcels"


@pytest.mark.parametrize("name", IN_THE_APP)
def test_a_mistake_in_the_app_s_file(name: str, folder: Path) -> None:
    write('{"type": "record", "name": "delivery"', "torn.avsc")
    (folder / "schemas").mkdir()
    assert told(lambda: changed(*IN_THE_APP[name]), folder) == documented()[name]


def test_the_page_shows_what_was_written() -> None:
    first_lines = [new.splitlines()[0] for _, new in IN_THE_APP.values() if new]
    assert not [line for line in first_lines if f"`{line}`" not in PAGE.read_text()]


def start(**given: Any) -> None:
    """As far as `freshet run` comes without a mistake."""
    with Runtime(
        sound(),
        "app.py",
        Settings(**{"run_dir": Path("run"), "port": 0, "status_port": 0, **given}),
    ):
        pytest.fail("it started")


def configured(toml: str) -> None:
    write(toml, "freshet.toml")
    settings()


def on_a_taken_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        start(port=taken.getsockname()[1])


def beside_another_run() -> None:
    with RunLock("run"):
        start()


def prepared(app: App, **given: Any) -> None:
    """What is checked before roles start."""
    log = SqliteLog("run/log")
    try:
        preflight.check(app, log, Settings(run_dir=Path("run"), **given))
    finally:
        log.close()


def after_a_sound_run(app: Callable[[], App]) -> None:
    prepared(sound())
    prepared(app())


def as_another_app() -> None:
    Path("run").mkdir()
    run_record.write("parcels", "app.py", Settings(run_dir=Path("run")))
    changed('fr.App("parcels"', 'fr.App("packages"')
    start()


def of_another_version() -> None:
    Path("run").mkdir()
    Path("run", run_record.FILE).write_text(
        '{"app":"parcels","app_file":"app.py","log":"","store":""}'
    )
    sound()
    start()


def wider() -> App:
    return changed('"parcel", "at", freshness=held', '"parcel", "at", freshness=held, partitions=4')


def beside_a_shadow() -> None:
    write("", "random.py")
    sound()


def by_a_plan(text: bytes | None = None) -> None:
    """Of another app than the file declares by now, unless its file holds `text`."""
    given = Settings(run_dir=Path("run"))
    Path("plan.json").write_bytes(text or encoded(planned(sound(), given)))
    refuse_moved(Path("plan.json"), planned(changed('"late") > 10)', '"late") > 20)'), given))


def of_a_run(work: Callable[[Settings], object], goes_on: bool = True) -> None:
    """On a run that goes on, of version 1."""
    app = sound()
    given = Settings(run_dir=Path("run"), log=str(Path("run/log").absolute()))
    Path("run").mkdir()
    run_record.write(app.name, "app.py", given)
    taken = versioned.take(app, Path("app.py"), given)
    assert not isinstance(taken, str), taken
    lock = RunLock("run")
    if not goes_on:
        lock.close()
    try:
        work(given)
    finally:
        lock.close()


def while_another_goes_on() -> None:
    def work(given: Settings) -> None:
        progress.write(given.local_path, progress.Applying(2))
        asking.refuse_where_nothing_runs(given)

    of_a_run(work)


def cold_and_mute(given: Settings) -> None:
    fallback = '    fallback=[fr.heuristic(pl.col("cities.late_1h") > 10), fr.constant(0.3)],\n'
    changed('"late") > 10)', '"late") > 20)')
    text = Path("app.py").read_text()
    assert fallback in text
    Path("app.py").write_text(text.replace(fallback, ""))
    asking.ask(load("app.py"), "app.py", given)


OPTIONAL = '[*FIELDS, LATE, {**LATE, "name": "tip", "default": None}]'


def torn_key() -> None:
    key = Path("run/keys/trainer/20270101T000000000000.key")
    key.parent.mkdir(parents=True)
    key.write_bytes(b"")
    create_key(key.parent)


def by_a_registry(schema_id: int = 1, registry: str = "") -> None:
    """Records of another schema are registered as 1."""
    other = '{"type": "record", "name": "handover", "fields": [{"name": "x", "type": "int"}]}'
    new = (
        f'"fields": FIELDS, "schema_id": {schema_id}}}, "parcel", "at", registry="handovers-value"'
    )
    app = changed('"fields": FIELDS}, "parcel", "at"', new)
    with served(Path("registry")) as url:
        httpx.post(f"{url}/subjects/handovers-value/versions", json={"schema": other})
        prepared(app, registry=registry or url)


def in_a_bucket_alone() -> None:
    # Where the library of buckets is not installed, that is told first, and no text of this page.
    pytest.importorskip("s3fs")
    run_folder.take(Settings(run_dir="s3://bucket/run"))


AT_THE_START: dict[str, Callable[[], object]] = {
    "A file that is not there": lambda: load("aap.py"),
    "A module of the app with the name of a library's": beside_a_shadow,
    "A folder that holds something": lambda: init(Path(), Console(quiet=True)),
    "An unknown setting": lambda: configured("prot = 8080"),
    "A setting out of range": lambda: configured("keep_snapshots = 1"),
    "Too little memory for rows": lambda: settings(rows_memory="1MB"),
    "One port for both": lambda: settings(port=9000, status_port=9000),
    "A run folder that is a file": lambda: run_folder.prepare(Path("app.py")),
    "A run folder that no other process sees": lambda: settings(run_dir="memory://run"),
    "A bucket and an embedded log": in_a_bucket_alone,
    "A torn key": torn_key,
    "A port that is no number": lambda: settings(port="http"),
    "A setting that is no duration": lambda: settings(snapshot_every="3 hours"),
    "A file of settings that is no TOML": lambda: configured("port: 8080"),
    "An unknown role": lambda: run_role("app.py", "views", Settings(run_dir=Path("run"))),
    "A plan that holds no more": by_a_plan,
    "A file that is no plan": lambda: by_a_plan(b"plan"),
    "A change of what does not run": lambda: of_a_run(asking.refuse_where_nothing_runs, False),
    "A change to be taken back that is none": lambda: of_a_run(asking.take_back),
    "Nothing to go back to": lambda: of_a_run(asking.ask_back),
    "A change while another one goes on": while_another_goes_on,
    "A changed model that has nothing to answer with": lambda: of_a_run(cold_and_mute),
    "One thing to apply": lambda: apply(
        app=None,
        run_dir=None,
        yes=False,
        revert=False,
        abort=False,
        wait=True,
        plan=None,
        as_json=False,
    ),
    "A second member on the embedded log": lambda: run_one(
        "app.py", "view", Settings(run_dir=Path("run")), "2"
    ),
    "A log of an unknown kind": lambda: start(log="rabbit://localhost"),
    "A store of an unknown kind": lambda: start(store="memcached://localhost"),
    "A port in use": on_a_taken_port,
    "A folder in use by another run": beside_another_run,
    "A schema that cannot read what was written": lambda: after_a_sound_run(
        lambda: changed('"type": ["null", "double"]', '"type": ["null", "boolean"]')
    ),
    "Another schema under the same id": lambda: after_a_sound_run(
        lambda: changed("[*FIELDS, LATE]", OPTIONAL)
    ),
    "A promise that can never be held": lambda: prepared(
        changed(
            'drop={"early": pl.col("late") < 0}',
            'drop={"early": pl.col("late") < 0}, freshness=fr.Freshness(model_slo="5s")',
        )
    ),
    "A registry that is no address": lambda: settings(registry="ann:secret@localhost:8081"),
    "A registry that does not answer": lambda: by_a_registry(registry="http://127.0.0.1:9"),
    "An id that the registry does not know": lambda: by_a_registry(7),
    "An id of another schema in the registry": by_a_registry,
    "A folder of another app": as_another_app,
    "A folder of another version": of_another_version,
    "A topic with another partition count": lambda: after_a_sound_run(wider),
}


@pytest.mark.parametrize("name", AT_THE_START)
def test_a_run_that_cannot_start(name: str, folder: Path) -> None:
    assert told(AT_THE_START[name], folder) == documented()[name]


def sampled() -> None:
    """Samples in the working directory."""
    write("id,price\n1,2.5\n2,3.5\n", "orders.csv")
    write("id\n", "empty.csv")
    write('{"tags": null}\n', "bare.jsonl")
    write("id,id\n1,2.5\n", "twice.csv")
    write("1,2.5\n2,3.5\n", "headless.csv")
    write('[{"id": 1}]\n', "list.json")
    write('{"price": 1e400}\n', "far.jsonl")
    write('id,"price\n' + "1,2\n" * (1 << 18), "open.csv")
    trip = '{"id": %s, "at": "2013-01-31", "tags": ["a"], "end": "%s"}\n'
    write(trip % (1, "x" * 65) + trip % ("null", "y" * 65), "trips.jsonl")
    pl.DataFrame({"id": [1]}).write_parquet("orders.pq")


def inferred(sample: str, out: str | None = None) -> None:
    sampled()
    infer(Place(sample), "", 100, None if out is None else Path(out))


def made_for(sample: str = "orders.csv", **named: str) -> None:
    sampled()
    init_from(sample, Path("app"), Chosen(**named), Console(quiet=True))


def over_a_schema() -> None:
    write("mine", "orders.avsc")
    inferred("orders.csv", "orders.avsc")


OF_SAMPLES: dict[str, Callable[[], object]] = {
    "A sample of several formats": lambda: inferred("*.*[vq]"),
    "A sample without rows": lambda: inferred("empty.csv"),
    "A sample without fields": lambda: inferred("bare.jsonl"),
    "Two columns of one name": lambda: inferred("twice.csv"),
    "A sample without a head": lambda: inferred("headless.csv"),
    "A sample of one JSON value": lambda: inferred("list.json"),
    "A sample of lines that cannot be read": lambda: inferred("far.jsonl"),
    "A header without an end": lambda: inferred("open.csv"),
    "Neither a file nor a topic": lambda: inferred(""),
    "A check without a schema": lambda: sample_files(["orders.csv"], None, False),
    "A sample without times": made_for,
    "A field that the sample lacks": lambda: made_for(key="town"),
    "A key of a type that keys have not": lambda: made_for("trips.jsonl", key="tags"),
    "A label of a type that labels have not": lambda: made_for("trips.jsonl", label="tags"),
    "A label of long texts": lambda: made_for("trips.jsonl", label="end"),
    "An app that would be refused": lambda: made_for("trips.jsonl", event_id="id"),
    "A schema that is already there": over_a_schema,
}


OF_BUCKETS = {"A bucket that was never made": False, "A bucket with the wrong key": True}


@pytest.mark.parametrize("name", OF_BUCKETS)
def test_a_bucket_that_cannot_be_used(name: str, folder: Path, s3: S3Server) -> None:
    s3.hold_to_known_keys(OF_BUCKETS[name])
    try:
        assert told(lambda: probe("s3://bucket/run"), folder) == documented()[name]
    finally:
        s3.hold_to_known_keys(False)


@pytest.mark.parametrize("name", OF_SAMPLES)
def test_a_sample_that_is_none(name: str, folder: Path) -> None:
    assert told(OF_SAMPLES[name], folder) == documented()[name]


TABLE = Shown(Console(), None, False)
OF_THE_PAST: dict[str, Callable[[], object]] = {
    "A moment that is none": lambda: ms_of("as_of", "yesterday"),
    "A dataset that is no Parquet": lambda: write_dataset(
        "run", Wanted("late"), Path("late.csv"), Console()
    ),
    "A backtest without an interval": lambda: run_backtest("run", Worth("app.py"), TABLE),
    "An interval of no time": lambda: run_backtest("run", Worth("app.py", every="0s"), TABLE),
    "A page that is no HTML": lambda: run_backtest(
        "run", Worth("app.py", every="1h"), Shown(Console(), Path("worth.pdf"), False)
    ),
    "An exception that no question can be asked for": lambda: exclusions_of(
        toy_app().models[0], None, "airport = 'EWR'", ()
    ),
    "A file of ids that is not there": lambda: ids_in(Path("ids.txt")),
    "A patch without a field": lambda: parsed(["late"]),
    "A patch that cannot be read": lambda: parsed(["late = ("]),
}


@pytest.mark.parametrize("name", OF_THE_PAST)
def test_what_is_asked_of_the_past_and_cannot_be_meant(name: str) -> None:
    with pytest.raises(FreshetError) as error:
        OF_THE_PAST[name]()
    assert f"error: {str(error.value).removeprefix('request ')}" == documented()[name]


def tensor(
    name: str = "carrier", datatype: str = "BYTES", data: object = ("UA",), shape: object = (1,)
) -> Any:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


DISTANCE = tensor("distance", "FP64", [500.0])
REQUESTS: dict[str, tuple[str, Any]] = {
    "A request to an unknown model": ("early", {"inputs": [tensor(), DISTANCE]}),
    "A request that is no JSON": ("late", b"carrier=UA"),
    "A request without inputs": ("late", {"inputs": []}),
    "An unknown input": ("late", {"inputs": [tensor("airline"), DISTANCE]}),
    "A missing input": ("late", {"inputs": [tensor()]}),
    "An input of another type": ("late", {"inputs": [tensor(), tensor("distance", "BYTES", ["500"])]}),
    "An input of another shape": ("late", {"inputs": [tensor(), tensor("distance", "FP64", [1, 2], [2])]}),
    "An input of another length than its shape says": ("late", {"inputs": [tensor(), tensor("distance", "FP64", [1, 2])]}),
    "A value of another type": ("late", {"inputs": [tensor(data=[7]), DISTANCE]}),
    "A null where there must be a value": ("late", {"inputs": [tensor(data=[None]), DISTANCE]}),
    "An unknown output": ("late", {"inputs": [tensor(), DISTANCE], "outputs": [{"name": "score"}]}),
}  # fmt: skip


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_in_error(name: str) -> None:
    model, body = REQUESTS[name]
    given: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(ScorerApp(ToyAnswering()))
        async with httpx.AsyncClient(transport=transport, base_url="http://scorer") as client:
            return await client.post(f"/v2/models/{model}/infer", **given)

    answer = asyncio.run(asked())
    assert answer.status_code == (404 if "model" in name else 400)
    assert answer.text == documented()[name]


ARCHIVED = ArchivePlan("app", "control", "control")


def archiving(place: Path, records: int = 1) -> Assignment:
    """A process of the archive that was given a partition, and wrote a file for each record."""
    folder = ArchiveFolder(str(place / "archive"), Outages(at_its_end()))
    rhythm = Rhythm(age_seconds=0.0, file_bytes=1)
    task = ArchiveTask(ARCHIVED, Start(0, 0, "log"), folder, rhythm)
    checkpoints = Checkpoints(str(place / "checkpoints"), task.name, "log")
    found = Assignment.resumed(task, checkpoints, 0, Since(0, 0))
    for at in range(records):
        archive_one(found, at)
    return found


def archive_one(found: Assignment, at: int) -> None:
    edges = np.array([0, 1])
    data = np.frombuffer(bytearray(b"x"), np.uint8)
    times = np.array([at])
    found.task.apply(Batch("control", 0, data, edges[:1], edges[1:], times, times))
    found.next = at + 1
    found.save()


def at_its_end() -> threading.Event:
    """Of a process that waits for nothing any more."""
    over = threading.Event()
    over.set()
    return over


def with_a_changed_file(place: Path) -> None:
    found = archiving(place, FAN)
    first = min((place / "archive").rglob("*.parquet"))
    first.write_bytes(first.read_bytes()[:-1] + b"x")
    found.task.write()


def with_a_file_gone(place: Path) -> None:
    found = archiving(place, FAN)
    min((place / "archive").rglob("*.parquet")).unlink()
    found.task.write()


def taken_over(place: Path) -> None:
    found = archiving(place)
    archiving(place, 0)
    archive_one(found, 1)


def into_a_file(place: Path) -> None:
    (place / "archive").write_bytes(b"")
    archiving(place)


OF_ARCHIVES: dict[str, Callable[[Path], None]] = {
    "An archived file that was changed": with_a_changed_file,
    "An archived file that is gone": with_a_file_gone,
    "A partition of the archive that another process has": taken_over,
    "An archive that cannot be written": into_a_file,
}


@pytest.mark.parametrize("name", OF_ARCHIVES)
def test_of_an_archive_its_text_is_the_one_of_the_page(name: str, tmp_path: Path) -> None:
    with pytest.raises(FreshetError) as told:
        OF_ARCHIVES[name](tmp_path)
    text = f"error: {told.value}".replace(str(tmp_path / "archive"), "ARCHIVE")
    text = re.sub(r"(?<=-)[0-9a-f]{16}(?=\.parquet)", "DIGEST", text)
    assert text == documented()[name]


def test_every_text_of_the_page_is_held() -> None:
    from tests.faults.test_refusals import REFUSALS

    assert set(documented()) == {
        *IN_THE_APP,
        *AT_THE_START,
        *OF_ARCHIVES,
        *OF_BUCKETS,
        *OF_SAMPLES,
        *OF_THE_PAST,
        *REQUESTS,
        *REFUSALS,
        "A row that the store refuses",  # tests/serving/web/test_features.py
    }


def test_every_text_names_the_thing_the_cause_and_the_next_step() -> None:
    for name, text in documented().items():
        assert re.fullmatch(r"(error: |\{\"error\":\").+: .+\. .+\.(\"\})?", text), (
            f"{name}: {text}"
        )
