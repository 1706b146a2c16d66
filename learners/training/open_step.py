"""The rows of a step that is not closed yet: in pieces as they are read, joined when it closes, and
as arrays of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.schemas.models.layout import Layout
from freshet.schemas.text.columns import Texts
from freshet.schemas.wire.outcomes import TEXTS, ExampleRows
from freshet.streams.operators.task import as_json, from_json

Arrays = dict[str, npt.NDArray[Any]]
State = Mapping[str, npt.NDArray[Any]]
Bools = npt.NDArray[np.bool_]


class Open(NamedTuple):
    """Rows of a step, and which of them lack a column that was not logged."""

    rows: ExampleRows
    lacking: Bools


def piece(rows: ExampleRows, a: int, b: int) -> ExampleRows:
    """Rows `a` to `b` (exclusive)."""
    if a == 0 and b == len(rows):
        return rows
    return _taken(rows, slice(a, b), np.arange(a, b))


def at_places(rows: ExampleRows, keep: npt.NDArray[np.intp]) -> ExampleRows:
    """Those at these places."""
    if len(keep) == len(rows):
        return rows
    return _taken(rows, keep, keep)


def _taken(
    rows: ExampleRows, s: slice | npt.NDArray[np.intp], keep: npt.NDArray[np.intp]
) -> ExampleRows:
    texts = {k: v.take(keep) for k, v in rows.texts.items()}
    return ExampleRows(
        rows.kind[s],
        rows.ask[s],
        rows.t[s],
        rows.label[s],
        rows.saw_future[s],
        rows.fixed[s],
        texts,
    )


def joined(parts: Sequence[Open]) -> Open:
    """Pieces as one."""
    if len(parts) == 1:
        return parts[0]

    def column(name: str) -> npt.NDArray[Any]:
        return np.concatenate([getattr(part.rows, name) for part in parts])

    texts = {name: Texts.concatenate([part.rows.texts[name] for part in parts]) for name in TEXTS}
    rows = ExampleRows(
        column("kind"),
        column("ask"),
        column("t"),
        column("label"),
        column("saw_future"),
        column("fixed"),
        texts,
    )
    return Open(rows, np.concatenate([part.lacking for part in parts]))


def dumped(parts: Sequence[Open], layout: Layout) -> Arrays:
    """What `restored` makes them of; nothing of none."""
    if not parts:
        return {}
    whole = joined(parts)
    state = _dump_rows(whole.rows)
    state["open.lacking"] = whole.lacking.astype(np.uint8)
    state["open.layout"] = as_json(layout.text.decode())
    return state


def restored(state: State, layout: Layout) -> list[Open]:
    """By the layout of now: slices may be others than they were."""
    if "open.kind" not in state:
        return []
    written = Layout.parse(from_json(state["open.layout"]).encode())
    rows = _load_rows(state, written.dtype)
    if written != layout:
        rows = ExampleRows.from_arrow(rows.to_arrow(written, 0), layout)
    return [Open(rows, state["open.lacking"].astype(np.bool_))]


def _dump_rows(rows: ExampleRows) -> Arrays:
    state: Arrays = {f"open.{n}": getattr(rows, n) for n in ("kind", "ask", "t", "label")}
    state["open.saw_future"] = rows.saw_future.astype(np.uint8)
    state["open.fixed"] = np.frombuffer(np.ascontiguousarray(rows.fixed).tobytes(), np.uint8).copy()
    for name, texts in rows.texts.items():
        # Packed: each text begins where the one before it ends, so only the ends are kept.
        column = Texts.from_arrow(texts.to_arrow())
        state[f"open.{name}.data"] = column.data[: int(column.end[-1])]
        state[f"open.{name}.end"] = column.end
    return state


def _load_rows(state: State, dtype: np.dtype[np.void]) -> ExampleRows:
    texts = {}
    for name in TEXTS:
        end = state[f"open.{name}.end"]
        start = np.concatenate([np.zeros(1, np.int64), end[:-1]])
        texts[name] = Texts(state[f"open.{name}.data"], start, end, np.ones(len(end), np.bool_))
    return ExampleRows(
        state["open.kind"],
        state["open.ask"],
        state["open.t"],
        state["open.label"],
        state["open.saw_future"].astype(np.bool_),
        state["open.fixed"].view(dtype),
        texts,
    )
