"""Heads wait for their bodies, in order, and for nothing longer than a turn of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from freshet.serving.edge.one_write import OneWrite

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"
BODY = b"body"


class Written(asyncio.Transport):
    """What reached the system, a line a call; `None` is the end."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[bytes | None] = []

    def write(self, data: Any) -> None:
        self.calls.append(data)

    def close(self) -> None:
        self.calls.append(None)

    def abort(self) -> None:
        self.calls.append(None)

    def get_write_buffer_size(self) -> int:
        return 0


def written(steps: Callable[[OneWrite], None]) -> tuple[list[bytes | None], list[bytes | None]]:
    """The calls right after the steps, and those after a turn of the loop."""

    async def run() -> tuple[list[bytes | None], list[bytes | None]]:
        below = Written()
        steps(OneWrite(below, asyncio.get_running_loop()))
        at_once = list(below.calls)
        await asyncio.sleep(0)
        return at_once, below.calls

    return asyncio.run(run())


def test_a_head_and_its_body_are_one_write_at_once() -> None:
    def answer(transport: OneWrite) -> None:
        transport.write(HEAD)
        transport.write(BODY)

    assert written(answer) == ([HEAD + BODY], [HEAD + BODY])


def test_a_head_without_a_body_goes_with_the_next_turn() -> None:
    assert written(lambda transport: transport.write(HEAD)) == ([], [HEAD])


def test_each_of_several_answers_is_one_write_in_order() -> None:
    def answers(transport: OneWrite) -> None:
        for body in (b"one", b"two"):
            transport.write(HEAD)
            transport.write(body)
        transport.write(b"more of two")

    assert written(answers)[0] == [HEAD + b"one", HEAD + b"two", b"more of two"]


def test_a_head_that_follows_a_head_loses_nothing() -> None:
    def answers(transport: OneWrite) -> None:
        for _ in range(3):
            transport.write(HEAD)

    assert written(answers) == ([HEAD * 2], [HEAD * 2, HEAD])


def test_what_is_kept_goes_before_the_end() -> None:
    def answer(transport: OneWrite) -> None:
        transport.write(HEAD)
        transport.close()

    assert written(answer) == ([HEAD, None], [HEAD, None])


def test_of_a_connection_that_is_broken_off_nothing_follows() -> None:
    def answer(transport: OneWrite) -> None:
        transport.write(HEAD)
        transport.abort()

    assert written(answer) == ([None], [None])


@pytest.mark.parametrize(("first", "kept"), [(HEAD, len(HEAD)), (BODY, 0)])
def test_what_is_kept_counts_as_unsent(first: bytes, kept: int) -> None:
    sizes = []

    def answer(transport: OneWrite) -> None:
        transport.write(first)
        sizes.append(transport.get_write_buffer_size())

    written(answer)
    assert sizes == [kept]
