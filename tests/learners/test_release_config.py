"""When a lineage takes over, as it is declared."""

from __future__ import annotations

import pytest

from freshet.learners.release_config import ReleaseConfig
from freshet.schemas.errors import DefinitionError


def test_a_config_out_of_range_is_refused() -> None:
    with pytest.raises(DefinitionError, match="out of range"):
        ReleaseConfig(margin=-1)
