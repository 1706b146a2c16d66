"""From the codes that rows keep of texts to the texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.features.views.event_columns import codes

I64 = npt.NDArray[np.int64]


class Symbols(NamedTuple):
    """All texts that a field can have, in the order of their codes."""

    codes: I64
    texts: npt.NDArray[Any]

    @staticmethod
    def of(texts: Sequence[str]) -> Symbols:
        """One text at least."""
        made = codes(pa.array(texts, pa.string()), True)
        order = np.argsort(made)
        return Symbols(made[order], np.array(texts, object)[order])

    def texts_of(self, wanted: I64) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """The texts of `n` codes, object `[n]`, and which of them are known, bool `[n]`."""
        places = np.searchsorted(self.codes, wanted)
        places = np.minimum(places, len(self.codes) - 1)
        return self.texts[places], self.codes[places] == wanted
