"""The columns of a model's vectors: which features each learner reads, and what each column means.

A question is answered, and logged, with all that any learner reads; each takes its own of that, by
name and meaning. The meaning of a column is the digest of what its values come from, so that one of
the same name over a view that is declared otherwise is another column.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from freshet.features.views.view import FeatureRef
from freshet.learners.contract import LearnerSpec
from freshet.learners.on_demand import OnDemand
from freshet.schemas.errors import DefinitionError
from freshet.schemas.topics.digests import Facts, digest_of, of_field
from freshet.schemas.topics.topic import FieldRef

if TYPE_CHECKING:
    from freshet.schemas.topics.derivations import Derivation
    from freshet.schemas.topics.topic import Topic

Feature: TypeAlias = FieldRef | FeatureRef | OnDemand
KINDS = (FieldRef, FeatureRef, OnDemand)


def name_of(feature: Feature) -> str:
    """What vectors call it."""
    if isinstance(feature, FieldRef):
        return feature.field
    return feature.name


def read_as(is_category: bool) -> str:
    """As facts say it."""
    if is_category:
        return "category"
    return "number"


def own_features(learner: LearnerSpec) -> Sequence[Feature] | None:
    """Those that a learner declares for itself; None where it reads the model's."""
    # A learner of an app's own need not know of it.
    found: Sequence[Feature] | None = getattr(learner, "features", None)
    return found


def all_read(
    model: str, features: Sequence[Feature], learners: Iterable[LearnerSpec]
) -> tuple[Feature, ...]:
    """The features of a model and of its learners, each once, in order of declaration.

    Raises:
        DefinitionError: two are of one name.
    """
    found = dict[str, Feature]()
    for feature in features:
        # Of the model's own list each keeps its place, and its mistakes are told elsewhere.
        found.setdefault(name_of(feature), feature)
    own = list(features)
    for learner in learners:
        for feature in own_features(learner) or ():
            name = name_of(feature)
            known = found.get(name)
            if known is None:
                found[name] = feature
                own.append(feature)
            elif known != feature:
                raise DefinitionError(
                    f"model {model}",
                    f"feature {name!r} of learner {learner.name} is another one than the model has "
                    "by that name",
                    "A vector is logged by names: give one of them another name, or declare it "
                    "once and name it in both places.",
                )
    return tuple(own)


class Meanings:
    """What the columns of vectors mean, as facts by name. `computed` are the on-demand features
    among them."""

    def __init__(
        self,
        on: Topic,
        read: Sequence[Feature],
        of_views: Iterable[FeatureRef],
        computed: Sequence[Derivation],
        categories: frozenset[str],
    ) -> None:
        self._on = on
        self._read = {name_of(feature): feature for feature in read}
        self._of_views = {ref.name: ref for ref in of_views}
        self._computed = {made.field.name: made for made in computed}
        self._derived = {made.field.name: made for made in on.derivations}
        self._categories = categories

    def facts(self, name: str) -> Facts:
        """Of one column."""
        feature = self._read[name]
        if isinstance(feature, FieldRef):
            return self._of_field(feature)
        return self._of(name)

    def of_field(self, ref: FieldRef) -> str:
        """The digest of a field of requests, whether it is read or not."""
        return digest_of(self._of_field(ref))

    def _of_field(self, ref: FieldRef) -> Facts:
        kind = of_field(self._on.all_fields[ref.field])
        told = {f"feature {ref.field}": f"{read_as(ref.categorical)}, {kind}"}
        return {**told, **self._of_request([ref.field])}

    def digest(self, name: str) -> str:
        """8 hex digits that change with what its values come from, whatever else is read."""
        return digest_of(self.facts(name))

    def together(self, names: Iterable[str]) -> Facts:
        """The facts of several columns; of each view one, which tells of what they read of it."""
        found: dict[str, str] = {}
        for name in names:
            found |= self.facts(name)
        views: dict[str, dict[str, str]] = {}
        plain = {}
        for fact, value in found.items():
            kind, _, name = fact.partition(" ")
            if kind == "of" and name in self._of_views:
                views.setdefault(self._of_views[name].view, {})[name] = value
            else:
                plain[fact] = value
        return {**plain, **{f"view {view}": digest_of(own) for view, own in views.items()}}

    def _of(self, name: str) -> Facts:
        """Of what is no field of a request."""
        ref = self._of_views.get(name)
        if ref is not None:
            # By which keys it is found is told by requests.
            return {f"of {name}": ref.meaning, **self._of_request(ref.keys)}
        made = self._computed[name]
        kinds = [f"{read}: {of_field(made.before[read])}" for read in made.reads]
        kind = read_as(name in self._categories)
        found: dict[str, str] = {
            f"on demand {name}": f"{kind}, {made.fact} over {'; '.join(kinds)}"
        }
        for read in made.reads:
            if read in self._of_views or read in self._computed:
                found |= self._of(read)
            else:
                found |= self._of_request([read])
        return found

    def _of_request(self, fields: Iterable[str]) -> Mapping[str, str]:
        """How fields that a request may lack are filled in, and of what they are derived."""
        found: dict[str, str] = {}
        for name in fields:
            how = self._on.impute.get(name)
            # What a request may lack is filled in as an event's would be.
            if how is not None:
                found[f"missing {name} in a request"] = repr(how.value)
            made = self._derived.get(name)
            if made is not None:
                # With the kinds of what it is made of: a request brings that.
                kinds = [f"{read}: {of_field(self._on.all_fields[read])}" for read in made.reads]
                found[f"derive {name} of a request"] = f"{made.fact} over {'; '.join(kinds)}"
                found |= self._of_request(made.reads)
        return found
