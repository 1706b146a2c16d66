"""numba kernels of the texts behind rows: put there, cut off, and found by their codes."""

from __future__ import annotations

from typing import Any

from freshet.features.compiled_kernels import inlined, kernel
from freshet.schemas.text.kernels import SEED_LOW, hash_span, u64
from freshet.schemas.text.word_kernels import word_at

WORD = 8
NOBODY = -1  # the id of a text that nobody has


@inlined
def words_of(size: Any) -> Any:
    """How many words a text of so many bytes takes."""
    return 1 + (size + WORD - 1) // WORD


@kernel
def measure(ends: Any, ids: Any, id_ends: Any, places: Any, new_ends: Any) -> None:
    """Where rows end, in words, with the texts of `ids` behind them; those of a row end at its
    `id_ends`. Of text `k` the bytes are from `places[2k]` to `places[2k + 1]`."""
    more = 0
    at = 0
    for row in range(ends.size):
        more += 1
        while at < id_ends[row]:
            if ids[at] != NOBODY:
                more += words_of(places[2 * ids[at] + 1] - places[2 * ids[at]])
            at += 1
        new_ends[row] = ends[row] + more


@kernel
def append(rows: Any, ids: Any, id_ends: Any, held: Any, places: Any, out: Any) -> None:
    """Write rows with the texts of `ids` behind them; `rows` are their words, and where they
    end."""
    words, ends = rows
    at = 0
    to = 0
    begin = 0
    for row in range(ends.size):
        for word in range(begin, ends[row]):
            out[to] = words[word]
            to += 1
        begin = ends[row]
        first = to
        while at < id_ends[row]:
            k = ids[at]
            at += 1
            if k == NOBODY:
                continue
            start = places[2 * k]
            size = places[2 * k + 1] - start
            out[to] = size
            for byte in range(0, size, WORD):
                out[to + 1 + byte // WORD] = word_at(held, start + byte, size - byte)
            to += words_of(size)
        out[to] = to + 1 - first
        to += 1


@kernel
def cut(words: Any, ends: Any, out: Any, new_ends: Any, section_starts: Any) -> Any:
    """Copy rows without their texts; where each ends then, in words, and the word at which its
    texts begin. What is no row with texts has no words. Returns how many texts there are."""
    to = 0
    begin = 0
    count = 0
    for row in range(ends.size):
        end = ends[row]
        section_starts[row] = end
        section = 0
        if end > begin:
            section = words[end - 1]
        if 1 <= section <= end - begin:
            texts = _texts_between(words, end - section, end - 1)
            if texts >= 0:
                count += texts
                section_starts[row] = end - section
                for word in range(begin, end - section):
                    out[to] = words[word]
                    to += 1
        new_ends[row] = to
        begin = end
    return count


@kernel
def _texts_between(words: Any, at: Any, end: Any) -> Any:
    """How many texts lie between two words; -1 where something else does."""
    count = 0
    while at < end:
        # More bytes than there are words would be none that are there.
        if not 0 <= words[at] <= (end - at - 1) * WORD:
            return -1
        at += words_of(words[at])
        count += 1
    return count


@kernel
def spans(words: Any, ends: Any, section_starts: Any, starts: Any, text_ends: Any) -> None:
    """The bytes at which all texts begin and end, in order."""
    text = 0
    for row in range(ends.size):
        at = section_starts[row]
        while at < ends[row] - 1:
            starts[text] = (at + 1) * WORD
            text_ends[text] = starts[text] + words[at]
            at += words_of(words[at])
            text += 1


@kernel
def find(data: Any, sections: Any, codes: Any, starts: Any, text_ends: Any, is_there: Any) -> None:
    """The bytes at which the text of each row's code begins and ends, and whether it has it.
    `sections` are the words of rows, where they end, and where their texts begin; `data` the same
    words as bytes."""
    words, ends, section_starts = sections
    for row in range(ends.size):
        starts[row] = 0
        text_ends[row] = 0
        is_there[row] = False
        at = section_starts[row]
        while at < ends[row] - 1:
            start = (at + 1) * WORD
            end = start + words[at]
            if hash_span(data, start, end, SEED_LOW) | u64(1) == u64(codes[row]):
                starts[row] = start
                text_ends[row] = end
                is_there[row] = True
                break
            at += words_of(words[at])
