"""Requests that arrive in the same turn of the event loop are answered together.

Reading features, running expressions and logging cost nearly the same for one row as for fifty.
While a batch is being answered, the next one gathers in the sockets, so batches grow with the load
by themselves and none waits for company."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from freshet.features.stores.contract import NotAtOnce
from freshet.serving.scoring.contract import Answer, Answering, Column, Question

_Key = tuple[str, str | None, int | None, int | None, frozenset[str]]


@dataclass(slots=True)
class _Waiting:
    """A question and the future of its answer, which is let go of once it is settled: an error's
    traceback leads to the frames that hold this, and would keep the request's body in a cycle if it
    led back to the error."""

    question: Question
    future: asyncio.Future[Answer] | None

    def gone(self) -> bool:
        """Whether the client went away, which cancelled the future."""
        return self.future is None or self.future.done()

    def settle(self, outcome: Answer | Exception) -> None:
        future = self.future
        self.future = None
        assert future is not None
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


class Coalescer:
    """Gathers questions and answers them in batches of at most `max_rows` rows (a larger question
    goes alone).

    Used from one event loop. Only questions about the same model, version, `as_of` and columns
    share a batch, and only those whose deadlines lie within 10 ms of each other, so that a hasty
    one does not push others down a rung."""

    def __init__(self, answering: Answering, max_rows: int = 1024) -> None:
        self._answering = answering
        self._max_rows = max_rows
        self._waiting: list[_Waiting] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, question: Question) -> Answer:
        """The answer; raises what `Answering.later` raises for this question alone."""
        return await self._queued(question)

    def _queued(self, question: Question) -> asyncio.Future[Answer]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        # The first one calls for an answer in the next turn: who else comes in this turn joins it.
        if not self._waiting:
            loop.call_soon(self._answer_next, loop)
        self._waiting.append(_Waiting(question, future))
        return future

    def _answer_next(self, loop: asyncio.AbstractEventLoop) -> None:
        """One batch. If more is waiting, it comes in the next turn, after the sockets had
        theirs."""
        batch, self._waiting = _split(self._waiting, self._max_rows)
        if self._waiting:
            loop.call_soon(self._answer_next, loop)
        live = [one for one in batch if not one.gone()]
        if len(live) > 1 and self._together(live):
            return
        for one in live:
            self._alone(one)

    def _together(self, batch: Sequence[_Waiting]) -> bool:
        """False if the batch failed as a whole: then each is asked alone, so that none fails for
        another's fault."""
        question = _merged([one.question for one in batch])
        try:
            answer = self._answering.at_once(question)
        except NotAtOnce:
            self._put_off(question, batch)
            return True
        except Exception:
            return False
        _share(answer, batch)
        return True

    def _alone(self, one: _Waiting) -> None:
        try:
            one.settle(self._answering.at_once(one.question))
        except NotAtOnce:
            self._put_off(one.question, [one])
        except Exception as error:
            one.settle(error)

    def _put_off(self, question: Question, batch: Sequence[_Waiting]) -> None:
        task = asyncio.get_running_loop().create_task(self._later(question, batch))
        self._tasks.add(task)  # the loop itself would forget it
        task.add_done_callback(self._tasks.discard)

    async def _later(self, question: Question, batch: Sequence[_Waiting]) -> None:
        try:
            answer = await self._answering.later(question)
        except Exception as error:
            # Each alone, so that none fails for another's fault.
            if len(batch) > 1:
                for one in batch:
                    self._put_off(one.question, [one])
            elif not batch[0].gone():
                batch[0].settle(error)
        else:
            _share(answer, batch)


def _share(answer: Answer, batch: Sequence[_Waiting]) -> None:
    """To each its rows."""
    at = 0
    for one in batch:
        if not one.gone():
            one.settle(answer.rows(at, at + one.question.n))
        at += one.question.n


def _key(q: Question) -> _Key:
    # In hundredths of a second.
    hurry = None if q.deadline is None else int(q.deadline * 100)
    return q.model, q.version, q.as_of_ms, hurry, frozenset(q.columns)


def _split(waiting: list[_Waiting], max_rows: int) -> tuple[list[_Waiting], list[_Waiting]]:
    """The first question with those that may share its batch, and the rest in order."""
    first, *others = waiting
    if not others:
        return waiting, []
    key = _key(first.question)
    rows = first.question.n
    batch = [first]
    rest = []
    for one in others:
        if rows + one.question.n <= max_rows and _key(one.question) == key:
            batch.append(one)
            rows += one.question.n
        else:
            rest.append(one)
    return batch, rest


def _merged(questions: Sequence[Question]) -> Question:
    """Their rows one after the other; the earliest deadline rules."""
    deadlines = [q.deadline for q in questions if q.deadline is not None]
    return replace(
        questions[0],
        columns={
            name: _concatenated([q.columns[name] for q in questions])
            for name in questions[0].columns
        },
        n=sum(q.n for q in questions),
        deadline=min(deadlines) if deadlines else None,
    )


def _concatenated(parts: Sequence[Column]) -> Column:
    """One column of several. Where one of them is a list, all become one: beside somebody else's
    missing value a whole number must stay what it is."""
    if not any(isinstance(part, list) for part in parts):
        return np.concatenate([np.asarray(part) for part in parts])
    values: list[Any] = []
    for part in parts:
        values += part if isinstance(part, list) else part.tolist()
    return values
