"""A small app that operators can change: real settings in a real log, real switches in a folder,
and the page over them.

`python -m tests.serving.operated` serves it.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import msgspec
from starlette.applications import Starlette

from freshet.schemas.topics.topic import Freshness
from freshet.schemas.wire.messages import Setting
from freshet.serving.page import api as operator_api
from freshet.serving.page import app as dashboard
from freshet.serving.status.status import SettingChange, Status, SwitchFigures
from freshet.streams.control import switches
from freshet.streams.control.channels import Channels, Follower, send
from freshet.streams.control.live_settings import LiveSettings
from freshet.streams.sqlite.log import SqliteLog
from tests.serving.status.fake_status import TOPICS, FakeYear

CHANNELS = Channels("control", "reports")
DECLARED = {
    name: Freshness(snapshot_every="6h", model_slo="8h", feature_slo="15m") for name in TOPICS
}


class Operated:
    """`year` is the rest of the app. A second instance over the same folder is the app after a
    restart."""

    def __init__(self, folder: Path, year: FakeYear) -> None:
        self.folder, self.year = folder, year
        self.log = SqliteLog(folder / "log")
        for topic in CHANNELS:
            self.log.ensure(topic, 1)
        self.settings, self.changes = LiveSettings(DECLARED), list[SettingChange]()
        self._follower = Follower(self.log, *CHANNELS)
        self._lock = threading.Lock()

    def status(self) -> Status:
        with self._lock:
            for m in self._follower.poll(0.0):
                self.settings.note(m)
                if isinstance(m, Setting):
                    self.changes.append(
                        SettingChange(topic=m.topic, key=m.key, value=m.value, by=m.by, at_ms=m.at)
                    )
        now = self.year.status()
        return msgspec.structs.replace(
            now,
            topics=[
                msgspec.structs.replace(
                    t, settings=asdict(self.settings.of(t.name)), declared=asdict(DECLARED[t.name])
                )
                for t in now.topics
            ],
            changes=list(self.changes),
            switches=[
                SwitchFigures(name=name, on=s.on, by=s.by, at_ms=s.at)
                for name in switches.NAMES
                for s in [getattr(switches.read(self.folder), name)]
            ],
        )

    def close(self) -> None:
        self._follower.close()
        self.log.close()

    def set_topic(self, topic: str, changes: Mapping[str, str], by: str) -> None:
        now = time.time_ns() // 1_000_000
        writer = self.log.writer()
        send(writer, CHANNELS, [Setting(topic, k, v, by, now) for k, v in changes.items()], now)
        writer.close()

    def turn(self, name: str, on: bool, by: str) -> switches.Switches:
        return switches.turn(self.folder, name, on, by)

    def app(self) -> Starlette:
        routes = operator_api.routes(self.status, self.set_topic, self.turn)
        return dashboard.app(self.status, self.year.history, routes)


def main() -> None:
    import uvicorn

    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8400)
    with tempfile.TemporaryDirectory() as folder:
        app = Operated(Path(folder), FakeYear(59).advance(3_000)).app()
        uvicorn.run(app, port=parser.parse_args().port, log_level="warning")


if __name__ == "__main__":
    main()
