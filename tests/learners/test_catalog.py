"""What the catalog keeps out of the serving process, and out of the room."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from freshet.learners import catalog
from freshet.learners.catalog import PREDICTORS, predictor
from freshet.learners.contract import Export
from freshet.schemas.errors import SnapshotError
from freshet.schemas.models.vectors import VectorSchema

ROOM = Path(catalog.__file__).parent
SERVES = """
import sys
import freshet.learners.baseline_learner, freshet.learners.logistic.learner
import freshet.learners.logistic.softmax, freshet.learners.linear.learner
import freshet.learners.river.predictor, freshet.learners.ctr.predictor, freshet.learners.catalog
print([m for m in ("torch", "river", "pandas") if m in sys.modules])
"""


def test_predictors_import_neither_torch_nor_river() -> None:
    found = subprocess.run(
        [sys.executable, "-c", SERVES], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def test_a_snapshot_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(SnapshotError, match="no predictor"):
        predictor(Export("forest", {}, {}), VectorSchema((), ()))


def test_every_predictor_is_there() -> None:
    for kind, build in PREDICTORS.items():
        with pytest.raises(Exception, match="for vectors"):
            build(Export(kind, {}, {}), VectorSchema((), ()))


def test_nothing_in_the_room_reads_or_writes_pickles() -> None:
    forbidden = re.compile(
        r"^\s*(import|from)\s+(pickle|dill|joblib|cloudpickle|shelve|marshal)|torch\.(save|load)\b|allow_pickle"
    )
    for file in ROOM.glob("*.py"):
        for line in file.read_text().splitlines():
            assert not forbidden.search(line), f"{file.name}: {line}"


def test_a_predictor_answers_as_its_learner_whatever_order_a_manifest_puts_its_meta_in() -> None:
    """Manifests are canonical JSON: their keys are sorted."""
    import json

    import numpy as np

    from freshet.learners.catalog import predictor
    from freshet.learners.contract import Export
    from freshet.learners.ctr.spec import TorchCtr
    from freshet.learners.logistic.learner import HashedLogistic
    from freshet.learners.snapshots.golden import golden_vectors
    from freshet.schemas.models.vectors import Examples, VectorSchema

    schema = VectorSchema(("a",), ("x", "y", "z"))
    sums = {"z_less_y": {"z": 1.0, "y": -1.0}, "a_sum": {"y": 0.5, "x": 0.1}}
    knots = {"z_less_y": (-1.0, 0.0, 1.0), "a_sum": (0.0, 0.5, 1.0), "x": (0.0, 1.0, 2.0)}
    golden = golden_vectors(schema)
    labels = (np.arange(len(golden)) % 2).astype(np.float32)
    for spec in (
        HashedLogistic(bits=10, combinations=sums, knots=knots),
        TorchCtr(bits=8, combinations=sums, knots=knots),
    ):
        learner = spec.make(schema)
        for _ in range(20):
            learner.learn(Examples(golden, labels))
        export = learner.export()
        meta = json.loads(json.dumps(export.meta, sort_keys=True))
        again = predictor(Export(export.kind, meta, export.arrays), schema).predict(golden)
        np.testing.assert_allclose(again, learner.predict(golden), atol=1e-5)
