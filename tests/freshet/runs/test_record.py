"""A run's folder says where its log, store and app are, and stays with the kind of log that it
has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from freshet.runs import record as run_record
from freshet.schemas.errors import ComponentError
from freshet.settings import Settings


def given(run_dir: Path, log: str = "") -> Settings:
    return Settings(run_dir=run_dir, log=log)


@pytest.mark.parametrize(("before", "now"), [("", "kafka://b:9092"), ("kafka://b:9092", "")])
def test_a_folder_of_one_kind_of_log_is_refused_for_another(
    tmp_path: Path, before: str, now: str
) -> None:
    run_record.check("shop", given(tmp_path, before))
    run_record.write("shop", "app.py", given(tmp_path, before))
    with pytest.raises(
        ComponentError, match=r"has its log in .*, and cannot go on in .*\. Name another folder"
    ):
        run_record.check("shop", given(tmp_path, now))


def test_brokers_may_be_called_by_another_name(tmp_path: Path) -> None:
    run_record.write("shop", "app.py", given(tmp_path, "kafka://b1:9092"))
    run_record.check("shop", given(tmp_path, "kafka://b1:9092,b2:9092"))


def test_a_folder_of_another_version_is_refused_by_every_command(tmp_path: Path) -> None:
    """What 0.2 wrote says no format."""
    record = {"app": "shop", "app_file": "app.py", "log": "", "store": ""}
    for written in (record, {**record, "format": run_record.FORMAT + 1}):
        (tmp_path / run_record.FILE).write_text(json.dumps(written))
        for refused in (
            lambda: run_record.read(tmp_path),
            lambda: run_record.check("shop", given(tmp_path)),
        ):
            with pytest.raises(
                ComponentError,
                match=r"was started by another version of freshet, .*\. Go on with that",
            ):
                refused()


def test_a_folder_of_another_app_is_refused(tmp_path: Path) -> None:
    run_record.write("shop", "app.py", given(tmp_path))
    with pytest.raises(
        ComponentError, match=r"is of app shop, and cannot go on as store\. Name another folder"
    ):
        run_record.check("store", given(tmp_path))
