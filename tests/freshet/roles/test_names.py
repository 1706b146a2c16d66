"""Which processes belong to an app."""

from __future__ import annotations

from pathlib import Path

from freshet.app import load
from freshet.roles.names import members_of, role_names

APP = Path(__file__).parents[2] / "faults/light_flights.py"


def test_members_are_roles_their_members_and_trainers_by_learner_and_nobody_else() -> None:
    app = load(APP)
    belongs = members_of(app)
    names = role_names(app)
    (trainer, *_) = [name for name in names if name.startswith("train.")]
    by_learner = trainer.rpartition("-")[0]
    assert all(belongs(name) and belongs(f"{name}.2") for name in [*names, by_learner])
    gone = f"{by_learner}-00000000"
    assert not any(belongs(name) for name in (gone, "views", "view2", "", "train"))
