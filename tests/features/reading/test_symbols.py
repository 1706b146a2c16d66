"""Texts of the codes that rows keep."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.features.reading.symbols import Symbols
from freshet.features.sketches.layout import MISSING
from freshet.features.views.event_columns import codes


@settings(deadline=None)
@given(st.lists(st.text(), min_size=1, unique=True), st.lists(st.text()))
def test_texts_come_back_and_others_are_unknown(texts: list[str], others: list[str]) -> None:
    symbols = Symbols.of(texts)
    asked = [*texts, *others]
    found, known = symbols.texts_of(codes(pa.array(asked, pa.string()), True))
    assert known.tolist() == [text in texts for text in asked]
    assert [text for text, there in zip(found, known) if there] == [t for t in asked if t in texts]
    assert not symbols.texts_of(np.array([MISSING, 0]))[1].any()
