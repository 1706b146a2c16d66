"""Whatever step an operator is killed at, whoever starts next leaves the rows, ledger and examples
that an undisturbed run leaves, and says how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from freshet.schemas.wire.messages import Cut
from tests.streams.operators.deaths import POINTS
from tests.streams.operators.small_app import READS, SOURCES, Outcome, Run, outcome

ROUNDS, STEP_MS = 8, 3_000


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    with Run(tmp_path_factory.mktemp("undisturbed")) as run:
        run.play()
        found = outcome(run)
    assert len(found["examples"]) > 50
    assert found["cuts"][-1][2] >= 20
    assert all(
        e.counts[1] and e.counts[2]
        for entries in found["ledger"].values()
        for e in entries.values()
    )
    return found


def check(
    directory: Path,
    kills: dict[tuple[str, int], str],
    checkpoints: frozenset[int],
    expected: dict[str, Any],
) -> Run:
    with Run(directory, kills=kills, checkpoints=checkpoints) as run:
        run.play()
        found = outcome(run)
    assert [k for k in expected if found[k] != expected[k]] == []
    return run


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_step_the_next_one_ends_as_if_nothing_had_happened(
    point: str, tmp_path: Path, undisturbed: Outcome
) -> None:
    kills = {(role, i): point for role in READS for i in (1, 4)}
    run = check(tmp_path, kills, frozenset({0, 1, 4}), undisturbed)
    impossible = {"append": {"view", "train"}, "flush": {"view", "train"}}.get(
        POINTS[point][0], set()
    )
    assert {k.split()[0] for k in run.killed} >= set(READS) - impossible


@settings(deadline=None, max_examples=8, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    st.dictionaries(
        st.tuples(st.sampled_from(list(READS)), st.integers(0, ROUNDS - 1)),
        st.sampled_from(list(POINTS)),
        min_size=3,
        max_size=9,
    ),
    st.frozensets(st.integers(0, ROUNDS - 1)),
)
def test_killed_over_and_over_it_ends_as_if_nothing_had_happened(
    tmp_path_factory: pytest.TempPathFactory,
    undisturbed: Outcome,
    kills: dict[tuple[str, int], str],
    checkpoints: frozenset[int],
) -> None:
    check(tmp_path_factory.mktemp("killed"), kills, checkpoints, undisturbed)


@pytest.mark.parametrize("durable", [True, False])
def test_a_trainer_that_crashes_cuts_the_same_snapshots_again_also_if_it_cannot_be_saved(
    durable: bool, tmp_path: Path, undisturbed: Outcome
) -> None:
    foreign, checkpoints = frozenset({3, 5}), frozenset({2, 4})
    with Run(tmp_path, durable=durable, foreign=foreign, checkpoints=checkpoints) as run:
        run.play()
    cuts = [
        (m.number, m.tick, m.stats["learned"], m.stats["all"]["log_loss"])
        for m in run.told
        if isinstance(m, Cut)
    ]
    assert sorted(set(cuts)) == undisturbed["cuts"]
    assert durable or len(cuts) > len(set(cuts)), "from the first record on, all are told again"
    assert run.learner.export().arrays["weights"].tobytes() == undisturbed["weights"]


def test_a_lost_cursor_is_noticed(
    tmp_path: Path, undisturbed: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "freshet.streams.operators.origins.Cursors.fresh",
        lambda self, o, p, offsets, i: slice(0, len(offsets)),
    )
    with pytest.raises(AssertionError):
        check(tmp_path, {("intake", 3): "flushed, nothing told"}, frozenset(), undisturbed)


def test_all_topics_of_the_small_app_are_read_by_some_role() -> None:
    read: Sequence[str] = [t for topics in READS.values() for t in topics]
    assert sorted(read) == sorted(SOURCES)
