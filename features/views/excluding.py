"""A view without some events of its topics."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from freshet.features.views.view import View
from freshet.streams.admission.excluded import Excluded


def leaving_out(view: View, excluded: Mapping[str, Excluded]) -> View:
    """The same view without these events of its topics: other rows, of which nobody who reads them
    knows anything."""
    own = {name: found for name, found in excluded.items() if view.is_over(name)}
    made = copy.copy(view)
    for known in ("facts", "digest"):
        made.__dict__.pop(known, None)
    object.__setattr__(made, "excluded", own)
    return made
