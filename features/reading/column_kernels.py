"""numba kernels that put finished rows into the columns of an answer."""

from __future__ import annotations

from typing import Any

import numpy as np

from freshet.features.compiled_kernels import inlined, kernel
from freshet.features.rows.layout import NOT_FOUND, NULL_VALUE, PRESENT
from freshet.schemas.durations import EARLIEST_MS, LATEST_MS
from freshet.schemas.events.time_kernels import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS

TIME_CHARACTERS = len("1970-01-01T00:00:00.000Z")
DAYS_OF_ERA = 146_097
# From the first of March of year 0, where eras begin, to 1970.
DAYS_BEFORE_1970 = 719_468


@kernel
def lay_out(finished: Any, place: Any, as_of_ms: Any, out: Any) -> Any:
    """The columns of one view. Row `q` of the answer is row `place[q]` of what was `finished`:
    values `[rows, features]`, ages and statuses `[rows]`. `out` gets the values and statuses
    `[features, n]`, of present rows without a finite value NULL_VALUE, and the time of each row's
    newest event (ms; 0 of one that is not there). Returns how many values are not PRESENT."""
    values, ages, row_status = finished
    others = 0
    columns, statuses, times = out
    for q in range(place.size):
        row = place[q]
        status = row_status[row]
        times[q] = 0
        newest = as_of_ms - ages[row]
        # No event is of another year; only a row that others wrote is.
        if status != NOT_FOUND and EARLIEST_MS <= newest <= LATEST_MS:
            times[q] = newest
        for f in range(columns.shape[0]):
            columns[f, q] = values[row, f]
            statuses[f, q] = status
            # JSON has no number for an infinite one.
            if status == PRESENT and not np.isfinite(values[row, f]):
                statuses[f, q] = NULL_VALUE
            others += statuses[f, q] != PRESENT
    return others


@kernel
def write_times(times: Any, characters: Any) -> None:
    """Times (ms, of years of four digits) as ISO 8601 in UTC: `characters`, uint32 `[n, 24]`, are
    Unicode's. Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms" (2014),
    `civil_from_days`."""
    for row in range(times.size):
        day = np.int64(times[row] // DAY_MS)
        ms = np.int64(times[row] - day * DAY_MS)
        since = day + DAYS_BEFORE_1970
        era = since // DAYS_OF_ERA
        of_era = since - era * DAYS_OF_ERA
        year_of_era = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
        of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
        # Months from March on, so that a leap day is a year's last.
        march_month = (5 * of_year + 2) // 153
        month = march_month + 3
        year = year_of_era + era * 400
        if month > 12:
            month -= 12
            year += 1
        text = characters[row]
        _write(text, 0, 4, year, "-")
        _write(text, 5, 2, month, "-")
        _write(text, 8, 2, of_year - (153 * march_month + 2) // 5 + 1, "T")
        _write(text, 11, 2, ms // HOUR_MS, ":")
        _write(text, 14, 2, ms // MINUTE_MS % 60, ":")
        _write(text, 17, 2, ms // SECOND_MS % 60, ".")
        _write(text, 20, 3, ms % SECOND_MS, "Z")


@inlined
def _write(text: Any, at: Any, digits: Any, number: Any, after: Any) -> None:
    """So many digits of a number, and the character after them."""
    left = number
    for place in range(digits):
        text[at + digits - 1 - place] = ord("0") + left % 10
        left //= 10
    text[at + digits] = ord(after)
