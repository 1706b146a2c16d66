"""Questions of one turn of the loop share a batch; what is wrong with one is nobody else's
trouble."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from freshet.schemas.errors import RequestError
from freshet.serving.scoring.coalesce import Coalescer
from freshet.serving.scoring.contract import Answer, Question
from tests.serving.scoring.toy_answering import ToyAnswering


def question(*distances: float, carrier: str = "UA", **more: Any) -> Question:
    columns = {"carrier": [carrier] * len(distances), "distance": np.array(distances)}
    return Question("late", columns, len(distances), **more)


def ask(toy: ToyAnswering, *questions: Question, max_rows: int = 1024) -> list[Any]:
    async def all_of_them() -> list[Any]:
        coalescer = Coalescer(toy, max_rows)
        return await asyncio.gather(*(coalescer.ask(q) for q in questions), return_exceptions=True)

    return asyncio.run(all_of_them())


def test_questions_of_one_turn_share_a_batch_and_get_their_own_rows_back() -> None:
    toy = ToyAnswering()
    a, b, c = ask(toy, question(10, 20), question(30), question(40, 50, 60))
    assert len(toy.asked) == 1
    assert toy.asked[0].n == 6
    assert a.probabilities.tolist() == [0.01, 0.02]
    assert b.probabilities.tolist() == [0.03]
    assert c.probabilities.tolist() == [0.04, 0.05, 0.06]
    assert (a.sequence, b.sequence, c.sequence) == (100, 102, 103)
    assert (a.ids, b.ids, c.ids) == (["UA-0", "UA-1"], ["UA-2"], ["UA-3", "UA-4", "UA-5"])
    assert c.value_ages_ms.tolist() == [3, 4, 5]


def test_a_batch_is_bounded_and_a_larger_question_goes_alone() -> None:
    toy = ToyAnswering()
    answers = ask(toy, *(question(*range(n)) for n in (3, 3, 3, 9, 1)), max_rows=7)
    assert [q.n for q in toy.asked] == [7, 3, 9]
    assert [len(x.probabilities) for x in answers] == [3, 3, 3, 9, 1]
    assert answers[4].probabilities.tolist() == [0.0]


def test_only_questions_of_a_kind_share_a_batch() -> None:
    toy = ToyAnswering()
    other = Question("late", {"carrier": ["UA"], "distance": np.ones(1), "seats": np.ones(1)}, 1)
    ask(
        toy, question(1), question(2, as_of_ms=5), question(3, version="x"), other, question(4, deadline=1e9),
        question(5, deadline=2e9), question(6),
    )  # fmt: skip
    assert sorted(q.n for q in toy.asked) == [1, 1, 1, 1, 1, 2]


def test_a_question_in_error_fails_alone() -> None:
    toy = ToyAnswering()
    good, bad, bug, other = ask(
        toy, question(1), question(2, carrier="??"), question(3, carrier="bug"), question(4)
    )
    assert isinstance(good, Answer)
    assert isinstance(other, Answer)
    assert other.probabilities.tolist() == [0.004]
    assert isinstance(bad, RequestError)
    assert isinstance(bug, ZeroDivisionError)


def test_a_client_that_went_away_is_not_answered() -> None:
    toy = ToyAnswering()

    async def one_leaves() -> Answer:
        coalescer = Coalescer(toy)
        leaving, staying = (asyncio.ensure_future(coalescer.ask(question(x))) for x in (1, 2))
        await asyncio.sleep(0)
        leaving.cancel()
        answer = await staying
        with pytest.raises(asyncio.CancelledError):
            await leaving
        return answer

    assert asyncio.run(one_leaves()).probabilities.tolist() == [0.002]


@pytest.mark.parametrize("missing_first", [False, True])
def test_a_whole_number_stays_what_it_is_beside_somebody_elses_missing_one(
    missing_first: bool,
) -> None:
    large = 2**53 + 1
    whole = Question(
        "late", {"carrier": ["UA"], "distance": np.ones(1), "n": np.array([large], np.int64)}, 1
    )
    gap = Question("late", {"carrier": ["AA"], "distance": np.ones(1), "n": [None]}, 1)
    toy = ToyAnswering()
    ask(toy, *((gap, whole) if missing_first else (whole, gap)))
    assert toy.asked[0].columns["n"] == ([None, large] if missing_first else [large, None])


def test_texts_and_numbers_with_gaps_go_together() -> None:
    toy = ToyAnswering()
    whole = Question("late", {"carrier": ["UA"], "distance": np.array([7], np.int64)}, 1)
    gap = Question("late", {"carrier": ["AA"], "distance": np.array([np.nan])}, 1)
    a, b = ask(toy, whole, gap)
    assert a.probabilities.tolist() == [0.007]
    assert np.isnan(b.probabilities[0])
    assert toy.asked[0].columns["carrier"] == ["UA", "AA"]


def test_whole_numbers_stay_exact_beside_another_question_s_gap() -> None:
    toy, large = ToyAnswering(), (1 << 53) + 1
    whole = Question(
        "late", {"carrier": ["UA"], "distance": np.array([1.0]), "user": np.array([large])}, 1
    )
    gap = Question("late", {"carrier": ["AA"], "distance": np.array([1.0]), "user": [None]}, 1)
    ask(toy, whole, gap)
    assert toy.asked[0].columns["user"] == [large, None]
