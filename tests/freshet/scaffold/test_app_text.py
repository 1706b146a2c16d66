"""Names that fields bring into an app are names there, and each is one of its own."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from freshet.app import load
from freshet.cli.main import cli


def test_fields_that_differ_by_little_have_features_of_their_own(tmp_path: Path) -> None:
    """Also one that is called count, one of capitals, and one that no name can be made of."""
    rows = [
        {
            "at": 1_700_000_000_000 + i,
            "kind": "ab"[i % 2],
            "count": i / 2,
            "Price": i / 2,
            "price": 1.5,
        }
        for i in range(40)
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    made = CliRunner().invoke(
        cli, ["init", "--from", str(tmp_path / "a.jsonl"), str(tmp_path / "b")]
    )
    assert made.exit_code == 0
    (view,) = load(tmp_path / "b" / "app.py").views
    assert list(view.features) == [
        "count_1m",
        "count_10m",
        "mean_count_10m",
        "price_10m",
        "mean_price_10m",
    ]


def test_without_an_id_a_label_is_told_and_there_is_no_model(tmp_path: Path) -> None:
    rows = [{"at": 1_700_000_000_000, "kind": "ab"[i % 2], "label": i % 2} for i in range(40)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    CliRunner().invoke(cli, ["init", "--from", str(tmp_path / "a.jsonl"), str(tmp_path / "b")])
    app = load(tmp_path / "b" / "app.py")
    assert not app.models
    assert app.topics[0].event_id is None
    assert (
        "no model: a label (label) needs an event_id" in (tmp_path / "b" / "README.md").read_text()
    )


def test_a_label_alone_is_nothing_to_learn_from(tmp_path: Path) -> None:
    rows = [{"id": i, "at": 1_700_000_000_000 + i, "label": i % 2} for i in range(40)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    CliRunner().invoke(cli, ["init", "--from", str(tmp_path / "a.jsonl"), str(tmp_path / "b")])
    app = load(tmp_path / "b" / "app.py")
    assert not app.models
    assert not app.views
    assert "there is nothing to learn from" in (tmp_path / "b" / "README.md").read_text()


def test_what_was_named_by_others_is_no_python(tmp_path: Path) -> None:
    rows = [
        {"at": 1_700_000_000_000 + i, "class": 'x"y'[: 1 + 2 * (i % 2)], "id": i, "n": i / 2}
        for i in range(40)
    ]
    (tmp_path / "import.jsonl").write_text("\n".join(map(json.dumps, rows)))
    CliRunner().invoke(cli, ["init", "--from", str(tmp_path / "import.jsonl"), str(tmp_path / "b")])
    app = load(tmp_path / "b" / "app.py")
    assert (app.name, app.models[0].name) == ("import", "class")
