"""Messages with one odd value in them, made of real ones."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

ODD: list[Any] = [
    None, True, -1, 0, 1, 2**31, 2**53 + 1, 2**60, 2**63, 10**400, -(10**400), 0.5, 1e15, 1e308, -1e308, 5e-324,
    "", ".", "..", "../../x", "/etc/passwd", "a\0b", "a\nb", "\x1b[2J", "x" * 100_000, "9" * 400 + "s", "٣",
    [], {}, [1], [[]], {"a": 1}, {"n": 1}, {"": None},
]  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where anything stands in a tree of JSON."""
    yield at
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*at, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from places(inner, (*at, i))


def changed(value: Any, at: tuple[Any, ...], odd: Any) -> Any:
    """The tree with something else in one place."""
    if not at:
        return odd
    out = dict(value) if isinstance(value, dict) else list(value)
    out[at[0]] = changed(out[at[0]], at[1:], odd)
    return out


BYTES = [
    b"",
    b"\xff\xfe",
    b"{",
    b"null",
    b"[" * 200_000,
    b'{"type":' * 9_000,
    b"9" * 9_000,
    b'{"type": "\xff"}',
]


def odd_record(real: Sequence[bytes], dice: random.Random) -> bytes:
    """Bytes; or a real message with something odd in one place, or two, or under an odd name."""
    if dice.random() < 0.1:
        return dice.choice(BYTES)
    tree = json.loads(dice.choice(real))
    for _ in range(dice.randint(1, 2)):
        at = dice.choice(list(places(tree)))
        if at and isinstance(at[-1], str) and dice.random() < 0.1:
            parent = tree
            for step in at[:-1]:
                parent = parent[step]
            odd_name = dice.choice(
                [f"{at[-1]}{'9' * 5_000}", "", "view:v:٣", "train::0", f"{at[-1]}x"]
            )
            tree = changed(
                tree, at[:-1], {odd_name if k == at[-1] else k: v for k, v in parent.items()}
            )
        else:
            tree = changed(tree, at, dice.choice(ODD))
    return json.dumps(tree).encode()


def odd_records(real: Sequence[bytes], seed: int) -> list[bytes]:
    """One to six of them, the same for the same seed."""
    dice = random.Random(seed)
    return [odd_record(real, dice) for _ in range(dice.randint(1, 6))]
