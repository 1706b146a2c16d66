"""Columns of the past, file by file: whoever is killed goes on after the newest, to the same
files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from itertools import count, cycle
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

import freshet as fr
from freshet.app import App
from freshet.declared.definitions import Definitions
from freshet.hydration import past_columns
from freshet.hydration.past_columns import ColumnsOfLineage, Filling, Part, rows_kept_as
from freshet.learners.training.past_columns import Reconstructed
from freshet.past.examples import frame_of
from freshet.past.own_logs import blocks_of
from freshet.rebuilding.filler import Filler, Rhythm, _SavedRows
from freshet.reconstructed.clean_events import CleanStream
from freshet.reconstructed.columns_then import ColumnsThen
from freshet.reconstructed.rows_then import StoreThen
from freshet.runs.opened import OpenedRun
from freshet.schemas.models.manifest import Columns
from freshet.schemas.models.vectors import Vectors, VectorSchema
from freshet.schemas.wire import facts
from freshet.settings import settings
from freshet.testing import LocalRun
from tests.freshet.toy_day import toy_day

# The day's model reads all features of its view; what ran before read the count alone.
TOY = """
from dataclasses import replace
from itertools import count
from tests.toy_app import toy_app
app = toy_app()
(model,) = app.models
less = [
    ref
    for ref in model.features
    if getattr(ref, "field", None) == "shop" or getattr(ref, "name", "") == "shops.n"
]
rungs = model.fallback[1:]
app = replace(app, name={name!r}, models=[replace(model, features=less, fallback=rungs)])
"""


class Past(NamedTuple):
    run: OpenedRun
    app: App
    filling: Filling


def more_of(app: App) -> App:
    """The same, whose model has come to read all of the view, and when it was asked."""
    (model,) = app.models
    (view,) = app.views
    features = [*model.features, view["late"], view["ago"], model.on["price"]]
    return replace(app, models=[replace(model, features=features)])


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, App, LocalRun]]:
    folder = tmp_path_factory.mktemp("filler")
    with toy_day(folder, TOY) as (app, local):
        for operator in local.operators:
            operator.checkpoint()
        yield folder, app, local


DECIDED = count(1)  # when, so that each has a folder of its own


@pytest.fixture
def past(day: tuple[Path, App, LocalRun]) -> Past:
    """What is decided anew, in the day's folder."""
    folder, app, local = day
    more = more_of(app)
    run = OpenedRun(more, local.log, settings(run_dir=str(folder)))
    return anew(Past(run, more, Filling("", "", Columns((), (), "", ()), 0, 0)))


def anew(past: Past, more: int = 0) -> Past:
    """Decided once more; until so many records more are joined than were ever appended."""
    (model,) = past.app.models
    _, end = past.run.log.bounds(past.app.outcomes_log_of(model)).spans[0]
    columns = Columns.of(model.vectors)
    filling = Filling(model.name, model.digest, columns, next(DECIDED), end + more)
    past_columns.add(past.run.settings.checkpoints_url, filling)
    return past._replace(filling=filling)


def filled(past: Past, questions: int = 2_000, kill_each_step: bool = False) -> Filler:
    (model,) = past.app.models
    filler = Filler(past.run, model, past.filling, questions)
    while not filler.done:
        assert filler.step(7)
        if kill_each_step and not filler.done:
            filler = Filler(past.run, model, past.filling, questions)
    return filler


def told(past: Past, asks: Any) -> Reconstructed:
    (model,) = past.app.models
    found = ColumnsOfLineage(past.run.settings.checkpoints_url, model, model.vectors)
    assert found.covers(1 << 60)
    return found.of(np.asarray(asks, np.int64))


def asked(past: Past) -> int:
    (model,) = past.app.models
    log = past.run.log
    return len(frame_of(model, blocks_of(log, past.app.examples_log_of(model))))


def bytes_of(found: Reconstructed) -> tuple[bytes, bytes, bytes]:
    vectors = found.vectors
    return vectors.categories.tobytes(), vectors.numbers.tobytes(), found.known.tobytes()


def test_every_question_is_told_of_and_what_was_logged_is_what_is_found(past: Past) -> None:
    filled(past)
    questions = asked(past)
    assert questions > 40
    found = told(past, range(questions))
    assert found.known.all()
    (model,) = past.app.models
    log = past.run.log
    frame = frame_of(model, blocks_of(log, past.app.examples_log_of(model)))
    names = model.vectors.numbers
    served = frame["feature.shops.n"].fill_null(np.nan).to_numpy()
    np.testing.assert_array_equal(found.vectors.numbers[:, names.index("shops.n")], served)
    late = found.vectors.numbers[:, names.index("shops.late")]
    assert np.isfinite(late).sum() > 10
    # Requests said it, and it was not logged: what stands for it is the topic's constant.
    assert set(found.vectors.numbers[:, names.index("price")].tolist()) == {1.0}
    assert not told(past, [questions + 5]).known.any()


@pytest.mark.parametrize("questions", [1, 5, 1_000])
def test_killed_after_each_file_it_comes_to_the_same(past: Past, questions: int) -> None:
    whole = filled(past)
    assert whole.questions == asked(past)
    expected = bytes_of(told(past, range(asked(past))))
    again = anew(past)
    filled(again, questions, kill_each_step=True)
    parts = past_columns.parts(past.run.settings.checkpoints_url, again.filling)
    assert [part.first for part in parts] == sorted({part.first for part in parts})
    assert sum(part.last - part.first + 1 for part in parts) == asked(past)
    assert bytes_of(told(again, range(asked(past)))) == expected


class Settled:
    """How many records of topics were settled, by whichever filler."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.records = 0
        settled = CleanStream._settled

        def counted(stream: CleanStream, batch: Any, reached: Any) -> Any:
            self.records += len(batch)
            return settled(stream, batch, reached)

        monkeypatch.setattr(CleanStream, "_settled", counted)

    def since(self) -> int:
        """Since this was asked last."""
        found = self.records
        self.records = 0
        return found


def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("freshet.streams.log.spans.POLL_RECORDS", 7)


def test_killed_it_reads_no_more_again_than_came_since_its_last_checkpoint(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(past)
    expected = bytes_of(told(past, range(asked(past))))
    small_batches(monkeypatch)
    settled = Settled(monkeypatch)
    filled(anew(past), 5)
    whole = settled.since()
    assert whole > 150
    (model,) = past.app.models
    always = Rhythm(save_seconds=0.0)
    never = Rhythm(save_seconds=1e9)

    # Saved after each file, and on the way to the first: nothing is read twice.
    again = anew(past)
    for rhythm in count_of([always], until=lambda: filling_of(again).finished_ms is not None):
        with closing(Filler(again.run, model, again.filling, 5, rhythm)) as filler:
            filler.step(7)
    assert settled.since() == whole
    assert bytes_of(told(again, range(asked(past)))) == expected
    folder = Path(again.run.settings.checkpoints_url, *rows_kept_as(again.filling).split(":"))
    assert not folder.exists(), "nobody goes on from it"

    # Every third of them saves: what the two before it read comes again, and no more.
    again = anew(past)
    reads = []
    saved = 0
    for rhythm in count_of(
        [always, never, never], until=lambda: filling_of(again).finished_ms is not None
    ):
        with closing(Filler(again.run, model, again.filling, 5, rhythm)) as filler:
            filler.step(7)
            reads.append(settled.since())
            reached = 0 if filler._then.store is None else filler._then.store.records[0]
        assert reads[-1] <= max(0, reached - saved)
        if rhythm is always and reached:
            saved = reached
    assert sum(reads) > whole
    assert bytes_of(told(again, range(asked(past)))) == expected


def count_of(turns: Sequence[Rhythm], until: Callable[[], bool]) -> Iterator[Rhythm]:
    for rhythm in cycle(turns):
        if until():
            return
        yield rhythm


def filling_of(past: Past) -> Filling:
    (model,) = past.app.models
    url = past.run.settings.checkpoints_url
    found = past_columns.fillings(url, model)
    return next(one for one in found if one.decided_ms == past.filling.decided_ms)


def test_killed_on_the_way_to_the_next_question_it_goes_on_from_there(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_batches(monkeypatch)
    settled = Settled(monkeypatch)
    filled(past)
    whole = settled.since()
    expected = bytes_of(told(past, range(asked(past))))
    again = anew(past)
    (model,) = past.app.models

    class Cut(Exception):
        pass

    save = _SavedRows.save
    cuts: set[int] = set()
    always = Rhythm(save_seconds=0.0)

    def cut(saved: _SavedRows, store: StoreThen) -> None:
        save(saved, store)
        # Whoever goes on from there may save it once more.
        if store.reached_ms not in cuts:
            cuts.add(store.reached_ms)
            raise Cut

    # Killed after each of its saves: of a file, and on the way to the first question of the next.
    monkeypatch.setattr(_SavedRows, "save", cut)
    while filling_of(again).finished_ms is None:
        with suppress(Cut), closing(Filler(again.run, model, again.filling, 5, always)) as filler:
            while not filler.done:
                filler.step(7)
    assert len(cuts) > 1.5 * len(
        past_columns.parts(again.run.settings.checkpoints_url, again.filling)
    )
    assert settled.since() == whole
    assert bytes_of(told(again, range(asked(past)))) == expected


def test_a_question_that_was_logged_late_sees_the_rows_of_its_moment(past: Past) -> None:
    (model,) = past.app.models
    filler = Filler(past.run, model, past.filling)
    found = [each.rows for each in filler._next()]
    assert len(found) > 10
    saved = _SavedRows(past.run, model, past.filling, Rhythm(save_seconds=0.0))
    with closing(ColumnsThen(past.run, model, saved)) as then:
        whole = then.of(found)
        first = 0
        backwards = []
        for rows in reversed(found):
            backwards.append(then.of([rows]))
            then.save()
        for rows, own in zip(found, reversed(backwards)):
            part = slice(first, first + rows.num_rows)
            first += rows.num_rows
            assert own.categories.tobytes() == whole.categories[part].tobytes()
            assert own.numbers.tobytes() == whole.numbers[part].tobytes()


def test_it_says_how_far_it_is_and_what_it_waits_for(past: Past) -> None:
    (model,) = past.app.models
    wall = count(0)
    rhythm = Rhythm(wall=lambda: next(wall))
    waiting = anew(past, more=1)
    filler = Filler(past.run, model, waiting.filling, 10, rhythm)
    assert filler.facts()["questions_left"] == 0, "nothing is known yet"
    seen = []
    while filler.step(7):
        seen.append(filler.facts())
        facts.check_status({f"columns:{model.name}:0": seen[-1]})
    assert {one["state"] for one in seen} == {"hydrating"}
    assert [one["questions"] for one in seen] == sorted(one["questions"] for one in seen)
    assert seen[0]["questions_left"] > seen[-1]["questions_left"] == 0
    assert seen[0]["seconds_left"] is not None
    # Of the features that were declared later, and the request's field.
    assert seen[0]["columns"] == 3
    last = filler.facts()
    assert last["state"] == "lagging"
    assert last["waits_for"].startswith("join: ")
    # Whoever goes on after a kill tells what was done before, too.
    again = Filler(past.run, model, waiting.filling, 10, rhythm)
    assert again.facts()["questions"] == last["questions"] == asked(past)
    done = filled(anew(past))
    assert done.facts()["state"] == "ready"


def test_it_does_not_end_before_all_that_was_asked_is_joined(past: Past) -> None:
    (model,) = past.app.models
    filler = Filler(past.run, model, anew(past, more=1).filling)
    assert filler.step(7)
    assert not filler.step(7)
    assert not filler.done


def test_a_lineage_waits_until_what_it_reads_is_told(day: tuple[Path, App, LocalRun]) -> None:
    folder, app, _ = day
    (model,) = more_of(app).models
    # By a digest of its own, that no other test decides anything of.
    other = replace(model, name="waiting")
    url = str(folder / "checkpoints")
    columns = Columns.of(other.vectors)
    filling = Filling(other.name, other.digest, columns, 1, 1)
    past_columns.add(url, filling)
    own = ColumnsOfLineage(url, other, other.vectors)
    assert not own.covers(1)
    nothing = Vectors(
        np.zeros((1, len(columns.categories)), np.uint64),
        np.zeros((1, len(columns.numbers)), np.float32),
    )
    past_columns.keep(url, filling, Part(4, 4, 9), np.array([4]), nothing)
    assert own.covers(9)
    assert not own.covers(10)
    assert own.of(np.array([3, 4, 5])).known.tolist() == [False, True, False]
    past_columns.finish(url, msgspec.structs.replace(filling, finished_ms=2))
    assert own.covers(10)
    # Who reads what was never decided waits for nothing.
    stranger = VectorSchema(("else",), (), other.digest, ("",))
    assert ColumnsOfLineage(url, other, stranger).covers(1)


def test_it_is_decided_once_a_lineage_is_declared_that_never_was(
    day: tuple[Path, App, LocalRun], tmp_path: Path
) -> None:
    _, app, local = day
    before = Definitions(app.name).now(app, 1)
    url = str(tmp_path)
    past_columns.decide(url, None, app, local.log, 5)
    past_columns.decide(url, before, app, local.log, 5)
    assert past_columns.unfinished(url, app) == []
    more = more_of(app)
    past_columns.decide(url, before, more, local.log, 5)
    ((model, filling),) = past_columns.unfinished(url, more)
    assert filling.columns.schema == model.vectors
    assert filling.asked_until > 0
    # It is declared by now.
    known = before.now(more, 6)
    past_columns.decide(url, known, more, local.log, 9)
    assert len(past_columns.fillings(url, model)) == 1
    other = replace(more.models[0], id=more.models[0].id, learners=[fr.Baseline(half_life=9.0)])
    past_columns.decide(url, known, replace(more, models=[other]), local.log, 9)
    assert len(past_columns.fillings(url, other)) == 2
