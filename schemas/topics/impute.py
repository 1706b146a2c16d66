"""How a missing value of a field is filled: declarations for `fr.Topic(impute={"field": …})`.

Intake fills the events that it applies, after duplicates, late ones and filtered ones are gone,
and counts how many values it filled. `median`, `mean` and `last` keep a running state in each
partition of the topic: what they fill depends on the earlier applied events of that partition, in
the order of its log, and on nothing else. `median` and `mean` compute in float64; for int and
long fields the result is rounded to the nearest whole number (a tie to the even one) and held
within the type's bounds. A constant and the last value of such a field keep every digit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Impute:
    """How one field is filled. Made by `fr.impute.constant`, `median`, `mean` and `last`.

    Args:
        kind: Which of the four.
        value: The constant, or what is filled in before a value was seen.
        by: A field of any type but float and double. Each of its values has a state of its
            own, and so have events where it is missing. None: one state for the partition.
    """

    kind: Literal["constant", "median", "mean", "last"]
    value: float | str = 0.0
    by: str | None = None


def constant(value: float | str) -> Impute:
    """Fill in the same value each time; the only kind that the fields of requests may use.

    Args:
        value: A text for string and enum fields, otherwise a number. It must be a value that an
            event could have had: of the field's type, within its domain and range.

    Raises:
        DefinitionError: when the topic is declared, for a value that the field cannot have.

    Examples:
        >>> import freshet as fr
        >>> fr.impute.constant(1.5)
        Impute(kind='constant', value=1.5, by=None)
    """
    return Impute("constant", value)


def median(by: str | None = None, start: float = 0.0) -> Impute:
    """Fill in the running median of a number field.

    Exact for up to five values (of two middle ones the lower), then approximated from five
    markers, in constant memory.

    Source: the P² algorithm of Jain and Chlamtac, "The P² algorithm for dynamic calculation of
    quantiles and histograms without storing observations" (1985).

    Args:
        by: A field of any type but float and double. Each of its values has a median of its
            own, and so have events where it is missing. None: one median for the partition.
        start: What is filled in until a value was seen.

    Raises:
        DefinitionError: when the topic is declared, if the field or `by` is not of such a type.

    Examples:
        >>> import freshet as fr
        >>> fr.impute.median(by="airport", start=10.0)
        Impute(kind='median', value=10.0, by='airport')
    """
    return Impute("median", start, by)


def mean(by: str | None = None, start: float = 0.0) -> Impute:
    """Fill in the running arithmetic mean of a number field.

    Args:
        by: A field of any type but float and double. Each of its values has a mean of its
            own, and so have events where it is missing. None: one mean for the partition.
        start: What is filled in until a value was seen.

    Raises:
        DefinitionError: when the topic is declared, if the field or `by` is not of such a type.

    Examples:
        >>> import freshet as fr
        >>> fr.impute.mean()
        Impute(kind='mean', value=0.0, by=None)
    """
    return Impute("mean", start, by)


def last(by: str | None = None, start: float = 0.0) -> Impute:
    """Fill in the newest value of a number field, in the order of the log (not of event time).

    Args:
        by: A field of any type but float and double. Each of its values has a newest value of its
            own, and so have events where it is missing. None: one for the partition.
        start: What is filled in until a value was seen.

    Raises:
        DefinitionError: when the topic is declared, if the field or `by` is not of such a type.

    Examples:
        >>> import freshet as fr
        >>> fr.impute.last(by="sensor")
        Impute(kind='last', value=0.0, by='sensor')
    """
    return Impute("last", start, by)
