"""The texts that the rows of a partition name by their codes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from freshet.features.partition import text_kernels as kernels
from freshet.features.rows.plan import RowPlan
from freshet.features.texts import section_kernels
from freshet.features.texts.sections import cut
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.interner import Interner

I64 = npt.NDArray[np.int64]
Rows = tuple[I64, I64]
# So few texts are not worth a look at the rows.
FEW_TEXTS = 1 << 12
# Whoever looks for texts that are gone reads all rows: once for so many new texts a row at least.
ROWS_A_TEXT = 4
# Rows that are read at once.
A_PART = 10_000


class RowTexts:
    """One table of texts for all rows in memory. A text that no row has any more is forgotten with
    others, now and then; when shows nowhere, since a row is given only what it names."""

    def __init__(self, plan: RowPlan) -> None:
        texts = plan.texts
        assert texts is not None
        self.fields = texts.fields
        self._of_rows = (texts.states, texts.tail_words, texts.sketches)
        self._tables = (plan.shape, plan.ring_table, plan.sketches.table)
        self._table = Interner()
        self._most = FEW_TEXTS
        self._bytes_a_row = 0.0

    def __len__(self) -> int:
        return len(self._table)

    @property
    def used_bytes(self) -> int:
        """Memory that it takes."""
        return self._table.used_bytes

    def live_bytes(self, rows: int) -> int:
        """Memory that so many rows need, as far as is known: those that went may have left texts
        behind."""
        return min(self._table.live_bytes, int(self._bytes_a_row * rows))

    def learn(self, columns: Sequence[Texts]) -> None:
        """Know the texts of events that are folded next."""
        for texts in columns:
            # Nobody names a missing one.
            self._table(texts.where(texts.valid))

    def forget(self, ids: I64, pack: Callable[[I64], Rows]) -> None:
        """Forget, where there may be many such, all texts that none of the rows of these ids names;
        `pack` gives their words."""
        if len(self._table) <= self._most:
            return
        is_named = np.zeros(self._table.given, np.bool_)
        for first in range(0, ids.size, A_PART):
            named, _ = self._named(*pack(ids[first : first + A_PART]))
            is_named[named[named >= 0]] = True
        known = self._table.ids()
        self._table.forget(known[~is_named[known]])
        # What became of texts is nobody's news.
        self._table.changes()
        live = len(self._table)
        self._most = live + max(FEW_TEXTS, live, ids.size // ROWS_A_TEXT)
        self._bytes_a_row = self._table.live_bytes / max(1, ids.size)

    def behind(self, words: I64, ends: I64) -> Rows:
        """Rows with the texts that they name behind them."""
        return next(self.behind_each([(words, ends)]))

    def behind_each(self, parts: Iterable[Rows]) -> Iterator[Rows]:
        """`behind`, of some parts of the rows."""
        # Of all parts: it is as large as the table of texts.
        seen = np.full(self._table.given, -1, np.int64)
        first = 0
        for words, ends in parts:
            yield self._behind(words, ends, seen, first)
            first += ends.size

    def _behind(self, words: I64, ends: I64, seen: I64, first: int) -> Rows:
        ids, id_ends = self._named(words, ends)
        kernels.once_a_row(ids, id_ends, seen, first)
        held, places = self._table.bytes_held
        new_ends = np.empty(ends.size, np.int64)
        section_kernels.measure(ends, ids, id_ends, places, new_ends)
        out = np.empty(int(new_ends[-1]) if ends.size else 0, np.int64)
        section_kernels.append((words, ends), ids, id_ends, held, places, out)
        return out, new_ends

    def cut(self, words: I64, ends: I64) -> Rows:
        """Rows without the texts behind them, which are known from now on."""
        bare, bare_ends, sections = cut(words, ends)
        self.learn([sections.all()])
        return bare, bare_ends

    def _named(self, words: I64, ends: I64) -> Rows:
        """The ids of all texts that rows name, and where those of each row end."""
        # Each takes a word at least.
        codes = np.empty(words.size, np.int64)
        code_ends = np.empty(ends.size, np.int64)
        count = kernels.codes_in(words, ends, self._of_rows, self._tables, codes, code_ends)
        return self._table.find_hashed(codes[:count]), code_ends
