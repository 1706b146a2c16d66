"""What is told of a sample is no more than what is known of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from freshet.samples import column_profile
from freshet.samples.places import proposed
from freshet.samples.sample import of_files
from freshet.samples.text import lines


def test_what_was_not_told_apart_is_not_called_unique(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded, so of a column of more values only so many are compared."""
    monkeypatch.setattr(column_profile, "MOST_DISTINCT", 10)
    rows = [{"id": i, "kind": "ab"[i % 2]} for i in range(40)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sample = of_files(str(tmp_path / "a.jsonl"))
    told = lines(*proposed(sample, "", 100), "a.jsonl")
    assert "event_id    id (unique among its first 10 values)" in told
    assert any(line.startswith("id ") and "over 10" in line for line in told)


def test_nearly_all_is_not_all(tmp_path: Path) -> None:
    rows = [{"id": i, "n": i} for i in range(20_000)]
    del rows[7]["n"]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    proposal, _ = proposed(of_files(str(tmp_path / "a.jsonl")), "", 100_000)
    assert proposal.fields[1].avro["doc"] == "Present in 99.99 % of 20,000 rows."
    assert proposal.fields[1].avro["type"] == ["null", "long"]
