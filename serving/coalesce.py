"""Requests that arrive in the same turn of the event loop are answered together.

Reading features, running expressions and logging cost nearly the same for one row as for fifty. While a batch
is being answered, the next one gathers in the sockets, so batches grow with the load by themselves and none
waits for company."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from serving.answering import Answer, Answering, Column, Question

_Key = tuple[str, str | None, int | None, int | None, frozenset[str]]
_Waiting = tuple[Question, "asyncio.Future[Answer]"]


class Coalescer:
    """Gathers questions and answers them in batches of at most `max_rows` rows (a larger question goes
    alone).

    Used from one event loop. Only questions about the same model, version, `as_of` and columns share a batch,
    and only those whose deadlines lie within 10 ms of each other, so that a hasty one does not push others
    down a rung."""

    def __init__(self, answering: Answering, max_rows: int = 1024) -> None:
        self._answering, self._max_rows = answering, max_rows
        self._waiting: list[_Waiting] = []

    async def ask(self, question: Question) -> Answer:
        """The answer; raises what `Answering.infer` raises for this question alone."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._answer_next, loop)
        self._waiting.append((question, future))
        return await future

    def _answer_next(self, loop: asyncio.AbstractEventLoop) -> None:
        """One batch. If more is waiting, it comes in the next turn, after the sockets had theirs."""
        batch, self._waiting = _split(self._waiting, self._max_rows)
        if self._waiting:
            loop.call_soon(self._answer_next, loop)
        live = [(q, f) for q, f in batch if not f.done()]  # a client that went away has cancelled its future
        if len(live) > 1 and self._together(live):
            return
        for question, future in live:
            self._alone(question, future)

    def _together(self, batch: Sequence[_Waiting]) -> bool:
        """False if the batch failed as a whole: then each is asked alone, so that none fails for another's
        fault."""
        try:
            answer = self._answering.infer(_merged([q for q, _ in batch]))
        except Exception:
            return False
        at = 0
        for question, future in batch:
            future.set_result(answer.rows(at, at + question.n))
            at += question.n
        return True

    def _alone(self, question: Question, future: asyncio.Future[Answer]) -> None:
        try:
            future.set_result(self._answering.infer(question))
        except Exception as error:
            future.set_exception(error)


def _key(q: Question) -> _Key:
    hurry = None if q.deadline is None else int(q.deadline * 100)
    return q.model, q.version, q.as_of_ms, hurry, frozenset(q.columns)


def _split(waiting: list[_Waiting], max_rows: int) -> tuple[list[_Waiting], list[_Waiting]]:
    """The first question with those that may share its batch, and the rest in order."""
    first, *others = waiting
    if not others:
        return waiting, []
    key, rows = _key(first[0]), first[0].n
    batch, rest = [first], []
    for one in others:
        if rows + one[0].n <= max_rows and _key(one[0]) == key:
            batch.append(one)
            rows += one[0].n
        else:
            rest.append(one)
    return batch, rest


def _merged(questions: Sequence[Question]) -> Question:
    """Their rows one after the other; the earliest deadline rules."""
    deadlines = [q.deadline for q in questions if q.deadline is not None]
    return replace(
        questions[0],
        columns={name: _concatenated([q.columns[name] for q in questions]) for name in questions[0].columns},
        n=sum(q.n for q in questions),
        deadline=min(deadlines) if deadlines else None,
    )


def _concatenated(parts: Sequence[Column]) -> Column:
    if isinstance(parts[0], list):
        return [v for part in parts for v in part]
    return np.concatenate([np.asarray(part) for part in parts])
