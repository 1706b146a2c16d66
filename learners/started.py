"""Lineages that were started while their app ran: a declared learner once more, over other
examples, or from an earlier state. They stand beside the declared ones, and compete with them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from freshet.learners.contract import Learner, LearnerSpec
from freshet.schemas.models.spans import Span
from freshet.schemas.models.vectors import VectorSchema


class Start(msgspec.Struct, frozen=True):
    """Where a lineage starts, and what it leaves out.

    It is of the learner that lineage `of` is declared with, the model's `number`-th that was
    started; `parent` is the lineage that it was started from. Questions that were asked before
    `since` (ms) are none to it. `lineage` is its own name. Those whose id is among `ids`, or of
    which the expression `where` is true (SQL, over fields, `id`, `asked_at`, `day` and `source`),
    and what is within `skips`, it predicts and scores, as the others do, and does not learn. It
    reads its log from `offset` on,
    or from the state of its parent that has read so far (`resumes`), and cuts snapshots from tick
    `cuts_from` on. `by` whom, `why`, and when (`at`, wall, ms), it was started."""

    learner: str
    of: str
    number: int
    parent: str
    by: str
    at: int
    why: str = ""
    since: int | None = None
    where: str = ""
    ids: tuple[str, ...] = ()
    skips: tuple[Span, ...] = ()
    offset: int = 0
    resumes: bool = False
    cuts_from: int = 0
    lineage: str = ""

    @property
    def name(self) -> str:
        """That of its learner, which tells it from the declared one."""
        return f"{self.learner}-r{self.number}"

    @property
    def facts(self) -> dict[str, str]:
        """What it learns otherwise than the declared one."""
        found = {"parent": self.parent, "number": str(self.number)}
        if self.since is not None:
            found["asked since"] = str(self.since)
        if self.where:
            found["except"] = self.where
        if self.ids:
            found["except ids"] = hashlib.sha256("\n".join(sorted(self.ids)).encode()).hexdigest()
        if self.skips:
            found["skipped"] = ", ".join(f"{span.start}–{span.until}" for span in self.skips)
        if self.resumes:
            found["resumes at"] = str(self.offset)
        return found


@dataclass(frozen=True)
class Started:
    """The spec of such a lineage."""

    spec: LearnerSpec
    start: Start

    @property
    def name(self) -> str:
        return self.start.name

    @property
    def servable(self) -> bool:
        return bool(getattr(self.spec, "servable", True))

    @property
    def features(self) -> Sequence[Any] | None:
        """What it reads is what that one does."""
        found: Sequence[Any] | None = getattr(self.spec, "features", None)
        return found

    def make(self, schema: VectorSchema) -> Learner:
        return self.spec.make(schema)
