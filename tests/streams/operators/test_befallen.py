"""Kills, settings, crashes and a store that goes away, all at once: what a run leaves agrees with
what its checkpoints and dead letters say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from freshet.audit import kept as kept_by_run
from freshet.audit import ledger as audit
from freshet.features.stores.memory_store import MemoryStore
from freshet.features.views.task import ViewTask
from freshet.schemas.wire.messages import Cut
from freshet.streams.admission import admission
from freshet.streams.intake.task import IntakeTask
from freshet.streams.operators import assignment
from freshet.streams.operators.checkpoints import Checkpoints
from freshet.streams.operators.task import Outputs, from_json
from tests.streams.operators import small_app
from tests.streams.operators.deaths import POINTS
from tests.streams.operators.small_app import (
    FRESHNESS,
    PLANS,
    READS,
    VIEWS,
    Run,
    checkpoint_of,
    events,
    events_of,
    examples,
)
from tests.streams.toy_events import batch_of

ROUNDS, STEP_MS = 8, 3_000


KEYS = {
    "intake": ("lateness", "max_future"),
    "join": ("label_wait",),
    "train": ("snapshot_every", "label_wait"),
}


def turns_of(run: Run, topic: str) -> list[int]:
    """Where intake forgot ids."""
    state = str(run.directory / "state")
    return list(kept_by_run.taken_on(run.log, state, PLANS[topic].topic, topic, 0).turns)


def undisturbed_task(run: Run, role: str, topic: str, task: Any) -> list[Outputs]:
    """What a task leads to that nothing befalls: it takes settings on and forgets ids where the
    checkpoint says so, and skips what crashes."""
    found = Checkpoints(
        str(run.directory / "state"), checkpoint_of(task.name), run.log.bounds(topic).identity
    ).load()
    assert found is not None
    recorded = (
        from_json({**found[1], **(found[2][-1] if found[2] else {})}["settings"])
        if role in KEYS
        else []
    )
    recorded = [[at, *((v,) if isinstance(name, str) else (name, v))] for at, name, v in recorded]
    turns = turns_of(run, topic) if role == "intake" else []
    outs = list[Outputs]()
    for r in kept_by_run.records(run.log, topic, 0):
        while turns and turns[0] <= r.offset:
            turns.pop(0)
            task._admission._seen.turn()
        while recorded and recorded[0][0] <= r.offset:
            at, *values = recorded.pop(0)
            now = replace(FRESHNESS, **{k: f"{ms}ms" for k, ms in zip(KEYS[role], values)})
            assert task.configure({"landings": now}, at)
        batch = batch_of([r.value], [r.offset], [r.time], topic)
        crashes = role == "intake" and r.offset in run.crashing
        outs.append(task.skip(batch) if crashes else task.apply(batch))
    return outs


def check_consistent(run: Run) -> None:
    def appended(outs: list[Outputs], topic: str) -> list[bytes]:
        return [v for out in outs for a in out.appends if a.topic == topic for v in a.values]

    state = str(run.directory / "state")
    for name, plan in PLANS.items():
        outs = undisturbed_task(run, "intake", name, IntakeTask(plan, 0))
        for to in [route.to for route in (*plan.clean, *plan.labels)]:
            assert events_of(run.records(to), name) == events_of(appended(outs, to), name)
        crashed = {
            (r.offset, 0): "crash"
            for r in kept_by_run.records(run.log, name, 0)
            if r.offset in run.crashing
        }
        assert kept_by_run.told(run.log, "dead", plan.topic, 0) == crashed
        recorded = kept_by_run.taken_on(run.log, state, plan.topic, name, 0)
        left = kept_by_run.ledger(run.log, state, plan.topic, name, 0)[1]
        assert left == audit.recompute(
            plan.topic, kept_by_run.records(run.log, name, 0), crashed, recorded
        )
    store = MemoryStore()
    for topic, view in VIEWS.items():
        task = ViewTask(view, view.name, 0, store)
        undisturbed_task(run, "view", topic, task)
        task.write()
    assert {k: v[16:] for k, v in store.rows.items()} == {
        k: v[16:] for k, v in run.store.rows.items()
    }
    learner = run.learner
    outs = undisturbed_task(run, "join", "outcomes", run.task("outcomes", 0))
    assert examples(run.records("examples")) == examples(appended(outs, "examples"))
    outs = undisturbed_task(run, "train", "examples", run.task("examples", 0))
    told = {(m.number, m.tick, m.stats["learned"]) for m in run.told if isinstance(m, Cut)}
    assert told == {
        (m.number, m.tick, m.stats["learned"])
        for out in outs
        for m in out.messages
        if isinstance(m, Cut)
    }
    weights = [x.export().arrays["weights"].tobytes() for x in (learner, run.learner)]
    assert weights[0] == weights[1]


CHANGES = st.sampled_from(
    [
        ("lateness", "1s"),
        ("lateness", "3s"),
        ("max_future", "0s"),
        ("label_wait", "4s"),
        ("snapshot_every", "3s"),
    ]
)
PLACES = st.tuples(st.sampled_from(list(READS)), st.integers(0, ROUNDS - 1))


@settings(deadline=None, max_examples=6, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    kills=st.dictionaries(PLACES, st.sampled_from(list(POINTS)), min_size=2, max_size=8),
    checkpoints=st.frozensets(st.integers(0, ROUNDS - 1), max_size=3),
    changes=st.dictionaries(PLACES, CHANGES, min_size=1, max_size=8),
    refusals=st.dictionaries(st.integers(0, ROUNDS - 1), st.integers(1, 3), max_size=4),
    crashing=st.frozensets(st.integers(0, 120), max_size=3),
)
@example(
    kills={(role, i): "flushed, nothing told" for role in READS for i in (2, 3)},
    checkpoints=frozenset({1}),
    changes={
        (role, i): (key, ("1s", "5s")[i % 2])
        for role, keys in KEYS.items()
        for i in (2, 3)
        for key in keys[:1]
    },
    refusals={2: 2, 3: 1},
    crashing=frozenset({7, 40, 41}),
)
def test_whatever_befalls_it_all_agrees_with_what_checkpoints_and_dead_letters_say(
    tmp_path_factory: pytest.TempPathFactory, **befalls: Any
) -> None:
    with Run(tmp_path_factory.mktemp("befallen"), **befalls) as run:
        run.play()
        check_consistent(run)


def again(seed: int, start: int, end: int) -> list[Any]:
    """Events of which every other one's id comes again and again, also after it may be
    forgotten."""
    return [
        replace(sent, event={**sent.event, "id": f"flight-{i % 7}"}) if i % 2 else sent
        for i, sent in enumerate(events(seed, start, end))
    ]


# Others have read what it appended, and no checkpoint tells of it.
HALFWAY = ["one topic flushed", "all topics flushed"]


@settings(deadline=None, max_examples=8, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    kills=st.dictionaries(
        st.tuples(st.just("intake"), st.integers(0, ROUNDS - 1)),
        st.sampled_from(HALFWAY),
        min_size=1,
        max_size=ROUNDS,
    ),
    checkpoints=st.frozensets(st.integers(0, ROUNDS - 1), max_size=3),
    reach=st.sampled_from([1, 5, 17, 1 << 17]),
    many=st.sampled_from([1, 9, 1 << 17]),
)
@example(
    kills={("intake", 2): "all topics flushed"},
    checkpoints=frozenset(),
    reach=1 << 17,
    many=1,
)
@example(
    kills={("intake", 2): "all topics flushed"},
    checkpoints=frozenset(),
    reach=5,
    many=1,
)
def test_whoever_is_killed_ids_are_forgotten_for_all_at_the_same_places(
    tmp_path_factory: pytest.TempPathFactory,
    reach: int,
    many: int,
    **befalls: Any,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assignment, "REACH", reach)
        patch.setattr(admission, "MANY_IDS", many)
        patch.setattr(admission, "SHORTEST_MS", 1_000)
        patch.setattr(admission, "milliseconds", lambda text: 2_000)
        patch.setattr(small_app, "events", again)
        # Whoever goes on gets other batches, and might forget within them.
        befalls["max_records"] = (20_000, 3)
        with Run(tmp_path_factory.mktemp("forgotten"), **befalls) as run:
            run.play()
            check_consistent(run)
            # Ticks go on for longer than a `dedup` after the last event. How often before that hangs
            # on who was killed before the first checkpoint: its generation begins anew.
            assert all(turns_of(run, topic) for topic in PLANS)
