"""The judge's hands: reads snapshots by name, asks them, signs what may be served. It decides
nothing by itself."""

from __future__ import annotations

from dataclasses import dataclass

from freshet.learners.catalog import predictor
from freshet.learners.contract import Export
from freshet.learners.model import Model
from freshet.learners.snapshots import files as snapshots
from freshet.learners.snapshots.folder import Root
from freshet.learners.snapshots.golden import golden_vectors
from freshet.learners.snapshots.signing import Signer, Verifier
from freshet.schemas.errors import ObjectStoreError, SnapshotError
from freshet.schemas.models.manifest import Identity, Manifest, SnapshotName, made_for, why_not_for
from freshet.schemas.wire.messages import Cut
from freshet.serving.release.comparison import Approved
from freshet.serving.release.qualify import Bounds, Candidate, Sound, Unsound, qualify


@dataclass(frozen=True)
class Judge:
    """Of one model of an app, whose snapshots are below `root`."""

    app: str
    model: Model
    root: Root
    trainer: Verifier
    qualifier: Signer

    def identity(self, lineage: str, number: int, digest: str) -> Identity:
        return Identity(
            self.app,
            self.model.name,
            lineage,
            number,
            digest,
        )

    def find(self, lineage: str, number: int) -> tuple[Identity, Manifest]:
        """A snapshot that a person names. Raises `SnapshotError`: there is none that its trainer
        signed."""
        signed = snapshots.read_signed(
            self.root, SnapshotName(self.app, self.model.name, lineage, number), self.trainer
        )
        return self.identity(lineage, number, signed.digest), signed.manifest

    def examine(self, which: Identity) -> Sound | Unsound:
        """Raises `SnapshotError`: it is not the one that it is said to be, or unsigned, or
        altered."""
        manifest = snapshots.read_manifest(
            self.root,
            which,
            self.trainer,
        )
        arrays = snapshots.arrays_of(memoryview(snapshots.read_arrays(self.root, manifest)))
        export = Export(manifest.kind, manifest.meta, arrays)
        own = made_for(manifest, self.model.vectors)
        candidate = Candidate(
            manifest,
            arrays,
            lambda: predictor(export, own),
        )
        return qualify(candidate, self.model.vectors, Bounds())

    def check(self, cut: Cut, which: Identity) -> None:
        """Raises `SnapshotError`: a cut says otherwise than its own snapshot when it was."""
        manifest = snapshots.read_manifest(
            self.root,
            which,
            self.trainer,
        )
        if manifest.tick != cut.tick:
            path = snapshots.place_of(self.root, which)
            told = f"it was cut at tick {manifest.tick}, and a message says {cut.tick}"
            raise SnapshotError(path, told, "Look who writes the control log.")

    def reflects(self, which: Identity) -> int | None:
        """The tick up to which a snapshot reflects all labels, by its own signed manifest: whatever
        anybody said of it, and however long ago it was cut. None where it is gone."""
        try:
            return snapshots.read_manifest(self.root, which, self.trainer).tick
        except SnapshotError:
            return None

    def is_approved(self, which: Identity) -> bool:
        """Whether its own signature is on it, whatever anybody said, and it answers what the model
        asks as it is declared now."""
        try:
            manifest = snapshots.read_manifest(
                self.root, which, self.trainer, self.qualifier.verifier()
            )
        except SnapshotError:
            return False
        return why_not_for(manifest, self.model.vectors) is None

    def approved(self, which: Identity) -> Approved | None:
        """What later cuts are compared with; None where it is gone, or answers no more."""
        try:
            found = snapshots.read_verified(
                self.root, which, self.trainer, self.qualifier.verifier()
            )
            export = Export(
                found.manifest.kind, found.manifest.meta, snapshots.arrays_of(found.data)
            )
            own = made_for(found.manifest, self.model.vectors)
            answers = predictor(export, own).predict(golden_vectors(own))
        except ObjectStoreError:
            raise  # which says nothing of the snapshot: it is asked again
        # whatever is wrong with an old snapshot, a new one is not to suffer for it
        except Exception:
            return None
        return Approved(
            which.number,
            found.manifest.examples,
            answers,
        )

    def approve(self, which: Identity) -> None:
        snapshots.approve(self.root, which, self.qualifier)

    def withdraw(self, which: Identity) -> None:
        snapshots.withdraw(self.root, which)

    def prune(self, lineage: str, keep: int, in_use: set[int]) -> None:
        snapshots.prune(
            self.root,
            self.model.name,
            lineage,
            keep,
            in_use,
        )
