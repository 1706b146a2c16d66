"""What a model predicts: whether something is so, which of some classes it is, or a number.

A task says what a label is and what an answer looks like; learners, figures, gates and answers
follow it. Labels travel as one number each, whatever the task: 0.0 or 1.0, the place of a class
among those declared, or the number itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from freshet.schemas.declared import brief, check_each
from freshet.schemas.errors import DefinitionError, SchemaError

BINARY = "binary"
CLASSES = "classes"
REGRESSION = "regression"
MOST_CLASSES = 1_000  # an answer has a probability for each, and so has every logged one
OF_CLASSES = 'Write the values that its labels have, such as fr.Classes(["red", "green", "blue"]).'


@dataclass(frozen=True, slots=True)
class Binary:
    """Whether something is so: labels are true or false, an answer is the probability of true.

    Examples:
        >>> import freshet as fr
        >>> fr.Binary()
        Binary()
    """

    kind = BINARY

    @property
    def width(self) -> int:
        """Numbers an answer has."""
        return 1

    @property
    def facts(self) -> tuple[str, ...]:
        """What makes it another one; of a binary one nothing, since models were that before."""
        return ()


@dataclass(frozen=True, slots=True)
class Classes:
    """Which of some classes it is: labels are texts, an answer has a probability for each class,
    in the order declared, which add up to 1.

    Args:
        classes: The values that labels have, at least two, each once.

    Raises:
        DefinitionError: fewer than two or more than 1,000 classes, one twice, or one that is no
            text or an empty one.

    Examples:
        >>> import freshet as fr
        >>> fr.Classes(["red", "green", "blue"]).width
        3
    """

    classes: Sequence[str]

    kind = CLASSES

    def __post_init__(self) -> None:
        check_each(
            "fr.Classes",
            "classes",
            self.classes,
            str,
            OF_CLASSES,
        )
        given = tuple(self.classes)
        if not 2 <= len(given) <= MOST_CLASSES:
            raise DefinitionError(
                "fr.Classes",
                f"it has {len(given)} {'class' if len(given) == 1 else 'classes'}",
                f"Declare 2 to {MOST_CLASSES:,} of them.",
            )
        if len(set(given)) < len(given) or "" in given:
            raise DefinitionError("fr.Classes", f"classes={brief(list(given))}", OF_CLASSES)
        # A list that somebody still changes would change what is declared; frozen to all others.
        object.__setattr__(self, "classes", given)

    @property
    def width(self) -> int:
        """Numbers an answer has: the classes."""
        return len(self.classes)

    @property
    def facts(self) -> tuple[str, ...]:
        """What makes it another one."""
        return (self.kind, *self.classes)


@dataclass(frozen=True, slots=True)
class Regression:
    """A number: labels are numbers, and so is an answer.

    Examples:
        >>> import freshet as fr
        >>> fr.Regression().width
        1
    """

    kind = REGRESSION

    @property
    def width(self) -> int:
        """Numbers an answer has."""
        return 1

    @property
    def facts(self) -> tuple[str, ...]:
        """What makes it another one."""
        return (self.kind,)


Task = Binary | Classes | Regression
TASKS = (Binary, Classes, Regression)
OF_TASKS = 'Write fr.Binary(), fr.Classes(["a", "b"]) or fr.Regression().'
DEFAULT_TASK = Binary()


def task_of(facts: Sequence[str]) -> Task:
    """The task that has these facts. Raises `SchemaError` for one that this version does not
    know."""
    match tuple(facts):
        case ():
            return DEFAULT_TASK
        case (kind, *classes) if kind == CLASSES:
            return Classes(classes)
        case (kind,) if kind == REGRESSION:
            return Regression()
    raise SchemaError(f"task {brief(list(facts))}", "is not known", "Update freshet.")
