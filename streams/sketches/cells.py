"""Cells of a piece as arrays: made, emptied, saved, and read as sketches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.streams.operators.task import Arrays
from freshet.streams.sketches import sketch_kernels as kernels
from freshet.streams.sketches.sketch import Sketch, ordered_number
from freshet.streams.sketches.sketch_kernels import Cells, Sources

ROOM_BYTES = 32 << 20  # of one partition's cells, which take memory as they are used
MOST_CELLS = 512
_PER_CELL = ("hours", "places", "rows", "heads", "moments")


def empty_cells(fields: int, texts: int) -> Cells:
    """As many as there is room for."""
    sketch_bytes = 16 * kernels.SLOTS
    text_bytes = kernels.SLOTS * kernels.TEXT_BYTES
    cell_bytes = fields * sketch_bytes + texts * text_bytes
    room = max(8, min(MOST_CELLS, ROOM_BYTES // max(1, cell_bytes)))
    shape = (room, fields, kernels.SLOTS)
    # At least one, which kernels may be given where a field has no texts.
    of_texts = (room, max(1, texts), kernels.SLOTS, kernels.TEXT_BYTES)
    return Cells(
        # A quarter full at most, so that a search soon ends.
        table=np.zeros(4 * MOST_CELLS, np.int64),
        figures=np.zeros(kernels.FIGURES, np.int64),
        hours=np.zeros(room, np.int64),
        places=np.zeros(room, np.int64),
        rows=np.zeros(room, np.int64),
        heads=np.zeros((room, fields, kernels.HEAD), np.int64),
        moments=np.zeros((room, fields, kernels.MOMENTS)),
        keys=np.zeros(shape, np.int64),
        counts=np.zeros(shape, np.int64),
        texts=np.zeros(of_texts, np.uint8),
    )


def empty_sources() -> Sources:
    return Sources(
        hashes=np.zeros(kernels.SOURCE_SLOTS, np.uint64),
        slots=np.zeros(kernels.SOURCE_SLOTS, np.int64),
        names=np.zeros((kernels.SOURCES, kernels.SOURCE_BYTES), np.uint8),
        sizes=np.zeros(kernels.SOURCES, np.int64),
    )


def spare_sketch() -> tuple[npt.NDArray[Any], ...]:
    """Room for one, which kernels rebuild a sketch from."""
    return (
        np.zeros(kernels.SLOTS, np.int64),
        np.zeros(kernels.SLOTS, np.int64),
        np.zeros((kernels.SLOTS, kernels.TEXT_BYTES), np.uint8),
    )


def used(cells: Cells) -> int:
    return int(cells.figures[kernels.CELLS_USED])


def clear(cells: Cells, sources: Sources) -> None:
    """Forget all that was counted."""
    count = used(cells)
    cells.table[:] = 0
    cells.figures[:] = 0
    # Only what was used: the others are still zeros.
    for of_cells in cells[2:]:
        of_cells[:count] = 0
    for of_sources in sources:
        of_sources[:] = 0


def dumped(cells: Cells, sources: Sources) -> Arrays:
    """What is used of them."""
    count = used(cells)
    counts = cells.counts[:count].reshape(-1)
    texts = cells.texts[:count].reshape(-1, kernels.TEXT_BYTES)
    taken = np.flatnonzero(counts)
    # Empty texts are zeros, as they were.
    noted = np.flatnonzero(texts[:, 0])
    by_name = cells._asdict()
    whole = {name: by_name[name][:count] for name in _PER_CELL}
    found = {
        **whole,
        "figures": cells.figures,
        "taken": taken,
        "keys": cells.keys[:count].reshape(-1)[taken],
        "counts": counts[taken],
        "noted": noted,
        "texts": texts[noted],
    }
    of_sources = {f"sources.{name}": array for name, array in sources._asdict().items()}
    return {name: np.ascontiguousarray(array) for name, array in {**found, **of_sources}.items()}


def restore(cells: Cells, sources: Sources, state: Mapping[str, npt.NDArray[Any]]) -> None:
    """Become those that were dumped; both are empty."""
    count = int(state["figures"][kernels.CELLS_USED])
    by_name = cells._asdict()
    cells.figures[:] = state["figures"]
    for name in _PER_CELL:
        by_name[name][:count] = state[name]
    cells.keys.reshape(-1)[state["taken"]] = state["keys"]
    cells.counts.reshape(-1)[state["taken"]] = state["counts"]
    cells.texts.reshape(-1, kernels.TEXT_BYTES)[state["noted"]] = state["texts"]
    for name, array in sources._asdict().items():
        array[:] = state[f"sources.{name}"]
    kernels.place_cells(cells)


def source_name(sources: Sources, place: int) -> str | None:
    """None of those that have no place."""
    if place == kernels.SOURCES:
        return None
    size = int(sources.sizes[place])
    return sources.names[place, :size].tobytes().decode()


def sketch_of(cells: Cells, cell: int, field: int, kind: int, text_at: int) -> Sketch:
    """A field's sketch; of texts, those `text_at`."""
    rows = int(cells.rows[cell])
    head = cells.heads[cell, field].tolist()
    present = head[kernels.PRESENT]
    if kind == kernels.PRESENCE or not present:
        names: list[str] | None = None
        if kind == kernels.TEXT:
            names = []
        return Sketch(rows, present, names=names)
    keys = cells.keys[cell, field]
    counts = cells.counts[cell, field]
    taken = np.flatnonzero(counts)
    taken = taken[np.argsort(keys[taken])]
    kept = {
        "level": head[kernels.LEVEL],
        "keys": keys[taken].tolist(),
        "counts": counts[taken].tolist(),
    }
    if kind == kernels.TEXT:
        texts = cells.texts[cell, text_at, taken]
        return Sketch(rows, present, names=[_text(text.tobytes()) for text in texts], **kept)
    origin, total, squares = cells.moments[cell, field].tolist()
    return Sketch(
        rows,
        present,
        ordered_number(head[kernels.LOWEST]),
        ordered_number(head[kernels.HIGHEST]),
        origin + total / present,
        # Rounding may leave it a little below zero.
        max(0.0, squares - total * total / present),
        **kept,
    )


def _text(noted: bytes) -> str:
    """A text as it was noted: one that is cut says so."""
    room = kernels.TEXT_BYTES - 1
    size = noted[0]
    found = noted[1 : 1 + min(size, room)].decode(errors="ignore")
    if size > room:
        return found + "…"
    return found
