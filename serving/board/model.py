"""What is known of one model: its snapshots and their fate, what is served and how it lags, its
lineages side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from freshet.learners.model import Model
from freshet.schemas.wire import messages
from freshet.serving.board.lineage_snapshots import LineageSnapshots
from freshet.serving.board.served_quality import ServedFigures, ServedQuality
from freshet.serving.board.stages import Stage, slowest
from freshet.serving.quality.told import told_quality, told_references
from freshet.serving.status import status as s
from freshet.serving.status.reports_file import Swaps
from freshet.streams.log.contract import Batch

Told = Mapping[str, Any]
NOTHING: Told = {}


class ModelBoard:
    """Fed with the model's messages, in order, and with its examples log."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.quality = ServedQuality(model)
        self.lineages = tuple(model.lineage(x) for x in model.learners)
        self._snapshots = {x: LineageSnapshots() for x in self.lineages}
        # By its name alone: so an app says which learner others are held against.
        self._baseline = next((x for x in self.lineages if x.startswith("baseline")), "")
        self._settled: messages.Settled | None = None
        self.swaps = Swaps()
        self._since_ms: int | None = None
        self._of_lineages: dict[str, tuple[Told, list[s.SliceFigures]]] = {}
        self._of_served: tuple[ServedFigures, Told, list[s.SliceFigures]] | None = None

    def compete(self, model: Model) -> None:
        """The same model, with lineages that were started meanwhile."""
        self.model = model
        self.lineages = tuple(model.lineage(spec) for spec in model.learners)
        for lineage in self.lineages:
            self._of(lineage)

    @property
    def champion(self) -> str:
        """The lineage that was settled on; the first one before that, and where that is declared no
        more."""
        if self._settled is not None and self._settled.lineage in self.lineages:
            return self._settled.lineage
        return self.lineages[0]

    def learn(self, batch: Batch) -> None:
        self.quality.learn(batch)

    def note(self, m: messages.Message) -> None:
        match m:
            case messages.Settled():
                # Since when this lineage is served: a newer snapshot of it does not change that.
                if self._settled is None or self._settled.lineage != m.lineage:
                    self._since_ms = m.tick
                self._settled = m
            case messages.Swapped():
                self.swaps = self.swaps.and_(m)
            case messages.Cut():
                self._of(m.lineage).cut(m)
            case messages.Verdict():
                self._of(m.lineage).judge(m)
            case _:
                pass

    def _of(self, lineage: str) -> LineageSnapshots:
        """Also of a lineage that the app no longer declares: its snapshot may still be served."""
        return self._snapshots.setdefault(lineage, LineageSnapshots())

    def figures(
        self,
        now_ms: int | None,
        slo_ms: int,
        told: Mapping[str, Told],
        states: Mapping[str, s.RoleState],
        behind: str,
    ) -> s.ModelFigures:
        """`told` are the newest facts of each lineage's trainer, `states` how its process is; both
        by lineage. `behind` is the role that it waits for."""
        known = self._snapshots.values()
        of_served = self.quality.figures
        base = told.get(self._baseline, NOTHING)
        return s.ModelFigures(
            name=self.model.name,
            task=self.model.task.kind,
            served=self._served(),
            baseline=self._baseline,
            lag_ms=self._lag(now_ms),
            slo_ms=slo_ms,
            behind=behind,
            asked=self.quality.asked,
            labelled=self.quality.labelled,
            expired=self.quality.expired,
            snapshots=sum(x.cuts for x in known),
            approvals=sum(x.approvals for x in known),
            refusals=sum(x.refusals for x in known),
            swaps=self.swaps.count,
            rolling=of_served.rolling,
            rolling_baseline=told_quality(base.get("rolling")),
            overall=of_served.overall,
            overall_baseline=told_quality(base.get("all")),
            rolling_references=of_served.rolling_references,
            overall_references=of_served.overall_references,
            lineages=[
                self._lineage(name, told.get(name, NOTHING), states.get(name, "starting"))
                for name in self.lineages
            ],
            slices=self._slices(of_served, base),
            calibration=list(of_served.calibration),
            classes=list(of_served.classes),
            rungs=self.quality.rungs,
            skew=self.quality.skew,
            skewed=self.quality.skewed,
            decision=self._settled.reason if self._settled is not None else "",
            owner=self.model.owner,
            description=self.model.description,
        )

    @property
    def _answering(self) -> messages.Swapped | None:
        """What was put in place last. Of a lineage that is declared no more it counts for as long
        as it is ordered: scorers of before may have had it."""
        swapped = self.swaps.newest
        if swapped is None or swapped.lineage in self.lineages:
            return swapped
        if self._settled is not None and self._settled.lineage == swapped.lineage:
            return swapped
        return None

    def _served(self) -> s.Served | None:
        m = self._answering
        return (
            None
            if m is None
            else s.Served(lineage=m.lineage, number=m.number, since_ms=self._since_ms)
        )

    def _lag(self, now_ms: int | None) -> int | None:
        """How long ago it was that the served snapshot reflected all labels."""
        if self._answering is None or now_ms is None:
            return None
        return max(0, now_ms - self._answering.tick)

    def behind(
        self,
        now_ms: int | None,
        pace_ms: int,
        intake: Sequence[Stage],
        reached: Mapping[str, int | None],
    ) -> str:
        """The role that the served snapshot waits for, where `intake` stands there, the roles after
        it that are before release have `reached` those ticks, and snapshots are cut every
        `pace_ms`."""
        trainer = f"train.{self.model.name}.{self.champion}"
        order = self._settled.reflects if self._settled is not None else None
        stages = [
            *intake,
            Stage("join", reached.get("join")),
            # Twice the trainer: what it has read, and what it has cut of that.
            Stage(trainer, reached.get("train")),
            Stage(trainer, self._of(self.champion).tick, pace_ms),
            Stage("release", order),
            Stage("serve", self._answering.tick if self._answering is not None else None),
        ]
        return slowest(now_ms, stages)

    def _lineage(self, name: str, told: Told, state: s.RoleState) -> s.LineageFigures:
        snapshots = self._snapshots[name]
        return s.LineageFigures(
            name=name,
            alias="champion" if self._settled is not None and self._settled.lineage == name else "",
            state=state,
            number=snapshots.number,
            examples=int(told.get("learned", 0)),
            overall=told_quality(told.get("all")),
            rolling=told_quality(told.get("rolling")),
            references=told_references(told.get("references", NOTHING).get("all")),
            slices=self._lineage_slices(name, told),
            cut_ms=snapshots.tick,
            refusals=snapshots.refusals,
            refused=snapshots.reasons,
            newest_approved=snapshots.approved,
            newest_refused=snapshots.refused,
            verdict=snapshots.verdict,
            skips=[
                s.SkipFigures(
                    start_ms=skip["start"],
                    until_ms=skip["until"],
                    by=skip["by"],
                    why=skip["why"],
                    examples=skip["examples"],
                )
                for skip in told.get("skips", ())
            ],
        )

    def _lineage_slices(self, lineage: str, told: Told) -> list[s.SliceFigures]:
        """Converted once for each time that a trainer tells them."""
        before = self._of_lineages.get(lineage)
        # By identity: to compare figures would cost what this saves.
        if before is None or before[0] is not told:
            made = [
                s.SliceFigures(field=field, value=value, served=told_quality(f))
                for field, of_field in told.get("slices", NOTHING).items()
                for value, f in of_field.items()
            ]
            before = self._of_lineages[lineage] = (told, made)
        return before[1]

    def _slices(self, served: ServedFigures, base: Told) -> list[s.SliceFigures]:
        """What was served beside the baseline; made once for each time that either changes."""
        if (
            self._of_served is None
            or self._of_served[0] is not served
            or self._of_served[1] is not base
        ):
            slices = base.get("slices", NOTHING)
            made = [
                s.SliceFigures(
                    field=f, value=v, served=q, baseline=told_quality(slices.get(f, NOTHING).get(v))
                )
                for f, v, q in served.slices
            ]
            self._of_served = (served, base, made)
        return self._of_served[2]
