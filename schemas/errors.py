"""Every error freshet raises on purpose.

    FreshetError
    ├── DefinitionError        the app's file is wrong: a declaration, an expression, a unit
    │   └── SchemaError        an event schema is unreadable, or an evolution is incompatible
    ├── ComponentError         a part outside this process is not as it must be
    │   ├── LogError           a topic, partition or broker
    │   ├── StoreError         the online feature store
    │   ├── RegistryError      the schema registry
    │   ├── DiskError          the disk of a run is full
    │   ├── ObjectStoreError   the store of objects that a run's folder is in
    │   └── CheckpointError    state on disk is missing, torn or of another log
    ├── LearnerError           a learner was given or produced something it cannot mean
    ├── SnapshotError          a snapshot is unsigned, altered or unusable
    └── RequestError           a request that cannot be answered as asked (HTTP 400)

An error carries its facts as attributes and says four things: which component, which resource, what
caused it and what to do next. Foreign errors are translated once, where the foreign library is
called.
"""

from __future__ import annotations

from freshet.schemas.shown_text import shown


class FreshetError(Exception):
    """The root of every error that freshet raises on purpose. Its text is made of its facts.

    Errors keep their facts when they are pickled, so they come across processes whole. Its texts
    hold no control characters, and of addresses neither login nor parameters, whatever they quote.

    Args:
        resource: What it happened to, such as `topic deliveries`; the attribute `resource`.
        cause: What was wrong with it; the attribute `cause`.
        next_step: What to do about it; the attribute `next_step`.
        **facts: Whatever else is known, such as an offset; the attribute `facts`, a `dict`.

    Attributes:
        component: Which part speaks, such as `definition`, `log` or `store`; one for each class.

    Examples:
        >>> import freshet as fr
        >>> try:
        ...     fr.Classes(["late"])
        ... except fr.FreshetError as error:
        ...     print(error.component, "|", error.resource)
        ...     print(error.cause)
        ...     print(error.next_step)
        definition | fr.Classes
        it has 1 class
        Declare 2 to 1,000 of them.
    """

    component = "freshet"

    def __init__(self, resource: str, cause: str, next_step: str, **facts: object) -> None:
        # They quote data, files and other people's errors: no escape sequence and no password gets
        # further than this.
        self.resource = shown(resource)
        self.cause = shown(cause)
        self.next_step = shown(next_step)
        self.facts = facts
        super().__init__(f"{self.component} {self.resource}: {self.cause}. {self.next_step}")

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.resource, self.cause, self.next_step, self.facts)


def _rebuild(
    kind: type[FreshetError], resource: str, cause: str, next_step: str, facts: dict[str, object]
) -> FreshetError:
    return kind(resource, cause, next_step, **facts)


class DefinitionError(FreshetError):
    """A declaration of the app is wrong; raised while the app is built, before anything runs."""

    component = "definition"


class SchemaError(DefinitionError):
    """An event schema cannot be read, or changed in a way that running readers cannot follow."""

    component = "schema"


class ComponentError(FreshetError):
    """A part outside this process failed; the operation may be tried again once it is mended."""

    @property
    def retry_seconds(self) -> int | None:
        """After how long the very same request should be sent again, where that is known."""
        found = self.facts.get("retry_seconds")
        if isinstance(found, int):
            return found
        return None

    @property
    def refused(self) -> bool:
        """Whether an operator decided that this is not done: nothing is broken then."""
        return self.facts.get("refused") is True


class LogError(ComponentError):
    """A topic, a partition or the broker behind it is not as it must be, or does not answer."""

    component = "log"


class StoreError(ComponentError):
    """The online feature store is not as it must be, or does not answer."""

    component = "store"


class RegistryError(ComponentError):
    """The schema registry does not answer, or not as a registry does."""

    component = "registry"


class DiskError(ComponentError):
    """The disk that a run writes to is full; whoever writes waits until there is room."""

    component = "disk"


class ObjectStoreError(ComponentError):
    """The store of objects that a run's folder is in does not answer, or refuses access; whoever
    needs it waits until it is back."""

    component = "object store"


class CheckpointError(ComponentError):
    """A checkpoint is torn, unreadable, or belongs to another log or definition."""

    component = "checkpoint"


class LearnerError(FreshetError):
    """A learner was given, or would produce, something that it cannot mean (a non-finite weight, a
    wrong width)."""

    component = "learner"


class SnapshotError(FreshetError):
    """A snapshot that must not be served: unsigned, altered, of another schema, or not finite."""

    component = "snapshot"


class RequestError(FreshetError):
    """A request that cannot be answered as it was asked; its text says what was expected."""

    component = "request"

    @property
    def status(self) -> int:
        """Its HTTP status: 400 where nothing tells more."""
        found = self.facts.get("status")
        if isinstance(found, int):
            return found
        return 400
