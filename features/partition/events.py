"""Events as they come to the rows of a partition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.features.rows.finish_kernels import plain
from freshet.features.rows.layout import NEVER
from freshet.features.rows.plan import RowPlan
from freshet.schemas.errors import DefinitionError
from freshet.schemas.text.columns import Texts

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Columns = tuple[I64, I64, F64, I64, I64]
_NO_WHOLES = np.zeros((0, 0), np.int64)


class More(NamedTuple):
    """What is known of `n` events besides.

    Where the plan has whole numbers, `wholes` int64 `[n, k]` are the values to the last digit;
    where a value is missing, or its field is of no such feature, they are not looked at. `clocks`
    int64 `[n]` say how far the log is at each event (ms); without them a row is over for events of
    its own key alone. `texts` are columns of the texts whose codes are among the wholes, one for
    each field of the plan's `texts`.
    """

    wholes: I64 | None = None
    clocks: I64 | None = None
    texts: Sequence[Texts] = ()


NO_MORE = More()


def checked(
    plan: RowPlan,
    count: int,
    times: I64,
    values: F64,
    version_index: npt.NDArray[np.int32] | I64,
    more: More,
) -> Columns:
    """Times, indexes, values, whole numbers and clocks of so many events, as kernels take them.

    Raises:
        DefinitionError: columns of other lengths, or not one for each field of the plan.
    """
    shape = (count, len(plan.fields))
    exact = _NO_WHOLES
    if plan.takes_codes and more.wholes is not None:
        exact = more.wholes
    clocks = more.clocks
    if clocks is None:
        clocks = np.full(count, NEVER)
    if (
        len(times) != count
        or len(version_index) != count
        or values.shape != shape
        or (plan.takes_codes and exact.shape != shape)
    ):
        raise DefinitionError(
            f"events of a view over {', '.join(plan.fields) or 'no field'}",
            f"have {count} keys, {len(times)} times, {len(version_index)} indexes, "
            f"values {values.shape} and whole numbers {exact.shape}",
            "Pass one row for each event and one column for each field of the plan.",
        )
    if plan.texts is not None:
        _check_texts(plan, count, more.texts)
    return (
        plain(times, np.int64),
        plain(version_index, np.int64),
        plain(values, np.float64),
        plain(exact, np.int64),
        plain(clocks, np.int64),
    )


def _check_texts(plan: RowPlan, count: int, columns: Sequence[Texts]) -> None:
    assert plan.texts is not None
    wanted = [plan.fields[field] for field in plan.texts.fields]
    if [len(column) for column in columns] == [count] * len(wanted):
        return
    raise DefinitionError(
        f"events of a view that keeps the texts of {', '.join(wanted)}",
        f"have {len(columns)} columns of texts",
        "Pass one column for each of these fields, with one text for each event.",
    )
