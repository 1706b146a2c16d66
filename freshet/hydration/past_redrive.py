"""Dead letters that were sent again, once more: as the app's own task has settled them."""

from __future__ import annotations

from freshet.streams.admission.recorded import Recorded
from freshet.streams.log.contract import Batch
from freshet.streams.redrive.task import RedriveTask


class PastRedrive(RedriveTask):
    """See `freshet.hydration.sources.PastIntake`."""

    def recall(self, known: Recorded, at: int) -> None:
        """There is nothing: its log alone decides."""

    def prepare(self, batch: Batch) -> None:
        """Letters are of schemas that were known when they were sent."""
