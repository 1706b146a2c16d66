"""How many bytes the newest records of a log have: as marks, some hundreds of kilobytes apart,
which whoever goes on with them keeps."""

from __future__ import annotations

from collections.abc import Sequence

from freshet.schemas.sizes import cuts
from freshet.streams.log.contract import Batch

Mark = tuple[int, int]  # an offset, and the bytes of the records from the mark before up to it
MARK_BYTES = 512 << 10
MOST_MARKS = 512  # what lies before them is far more than anybody keeps


class Extent:
    """Of one partition, as far as it was read; `marks` are those that are known, oldest first."""

    def __init__(self, marks: Sequence[Mark] = ()) -> None:
        self.marks = list(marks)

    def note(self, batch: Batch) -> None:
        """The next records."""
        sizes = batch.end - batch.start
        for first, after in cuts(sizes, len(batch), MARK_BYTES):
            offset = int(batch.offsets[after - 1]) + 1
            size = int(sizes[first:after].sum())
            # Few come at once: not each has a mark of its own.
            if self.marks and self.marks[-1][1] + size <= MARK_BYTES:
                size += self.marks.pop()[1]
            self.marks.append((offset, size))
        del self.marks[:-MOST_MARKS]

    def first_within(self, most_bytes: int) -> int:
        """The offset from which on the records have at most so many bytes; 0 if all that is known
        has.

        >>> Extent([(10, 500), (20, 400), (25, 700)]).first_within(1_200)
        10
        """
        held = 0
        for at in reversed(range(len(self.marks))):
            offset, size = self.marks[at]
            held += size
            if held > most_bytes:
                return offset
        return 0
