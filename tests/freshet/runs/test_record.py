"""A run's folder says where its log, store and app are, and stays with the kind of log that it
has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from freshet.runs import folder
from freshet.runs import record as run_record
from freshet.schemas.errors import ComponentError
from freshet.settings import Settings, settings
from freshet.streams import objects
from tests.s3 import S3Server


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


def test_of_a_shared_run_no_login_and_no_path_leaves_the_machine(
    tmp_path: Path, s3: S3Server
) -> None:
    given = settings(
        run_dir=f"{s3.make_bucket()}/run",
        local_dir=str(tmp_path / "here"),
        log="kafka://ann:word@broker:9092",
        store="redis://ann:word@host/0",
    )
    folder.take(given)
    run_record.write("parcels", "app.py", given)
    shared = objects.read(given.run_dir, run_record.FILE)
    assert b"word" not in shared
    assert b"app.py" not in shared
    here = run_record.read(given.local_path)
    assert (here.shared, here.log) == (given.run_dir, "kafka://ann:word@broker:9092")
    run_record.check("parcels", given)


def test_a_second_app_at_one_url_is_refused_on_whichever_machine(
    tmp_path: Path, s3: S3Server
) -> None:
    url = f"{s3.make_bucket()}/run"
    first, second = (
        settings(run_dir=url, local_dir=str(tmp_path / name), log="kafka://broker:9092")
        for name in ("first", "second")
    )
    for given in (first, second):
        folder.take(given)
    run_record.write("parcels", "app.py", first)
    with pytest.raises(ComponentError, match="is of app parcels, and cannot go on as letters"):
        run_record.check("letters", second)
    # Also where both look before either writes: the store lets one be first.
    with pytest.raises(ComponentError, match="is of app parcels, and cannot go on as letters"):
        run_record.write("letters", "app.py", second)


def test_a_machine_s_folder_is_for_one_url(tmp_path: Path, s3: S3Server) -> None:
    bucket = s3.make_bucket()
    one, other = (
        settings(run_dir=f"{bucket}/{name}", local_dir=str(tmp_path), log="kafka://broker:9092")
        for name in ("one", "other")
    )
    folder.take(one)
    run_record.write("parcels", "app.py", one)
    with pytest.raises(ComponentError, match="cannot go on with"):
        run_record.check("parcels", other)


def test_what_stays_on_a_machine_is_found_by_the_url_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("s3fs")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    found = folder.local("s3://bucket/runs/parcels")
    assert found.parent == tmp_path / "freshet"
    assert found.name.startswith("bucket-runs-parcels-")
    assert found == folder.local("s3://bucket/runs/parcels/")
    assert found != folder.local("s3://bucket/runs-parcels")
    assert folder.local(f"file://{tmp_path}") == tmp_path == folder.local(tmp_path)
