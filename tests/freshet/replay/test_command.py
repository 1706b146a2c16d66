"""What `freshet replay` refuses is refused in one sentence, before anything starts."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from freshet.replay.command import ReplayOptions, run
from freshet.schemas.errors import FreshetError
from freshet.settings import Settings
from tests.freshet.replay.toy_data import YEAR_1996, write
from tests.toy_app import toy_app


def refused(folder: Path, data: list[str], **options: str) -> str:
    given = Settings(run_dir=folder / "run", replay=False, port=0, status_port=0)
    with pytest.raises(FreshetError) as error:
        run(toy_app(), "app.py", data, given, ReplayOptions(**options), Console(file=io.StringIO()))
    text = str(error.value)
    assert "\n" not in text
    assert not (folder / "run" / "run.json").exists(), "something was started"
    return text


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"since": "May"}, "--from 'May': is no moment. Write one as ISO 8601"),
        ({"since": "1996", "until": "1996"}, "--from '1996': is no moment"),
        ({"since": "1996-05-08", "until": "1996-05-07"}, "--until 1996-05-07: is not after --from"),
        ({"step": "1ms"}, "--step 1ms: is shorter than a second"),
        ({"step": "often"}, "--step='often': is not a duration"),
        ({"until": "1901-01-01"}, "holds no row in that span"),
    ],
)
def test_options_that_cannot_be_meant(tmp_path: Path, options: dict[str, str], why: str) -> None:
    assert why in refused(tmp_path, write(tmp_path, YEAR_1996, 3), **options)


def test_a_file_that_cannot_be_read_after_others_that_can(tmp_path: Path) -> None:
    given = write(tmp_path, YEAR_1996, 3)
    (tmp_path / "payments.parquet").write_bytes(b"PAR1")
    assert "payments.parquet: cannot be read as Parquet" in refused(tmp_path, given)


def test_a_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log").touch()
    why = refused(tmp_path, write(tmp_path, YEAR_1996, 3))
    assert "run: is not empty, and a replay begins anew" in why
