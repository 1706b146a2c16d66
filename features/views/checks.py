"""What a view's declaration must say, told where it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from freshet.features.aggregates import GIVES_A_VALUE, Aggregate, Distinct, inputs_of
from freshet.features.inputs import Input
from freshet.schemas.declared import check_each, check_kind
from freshet.schemas.errors import DefinitionError
from freshet.schemas.events.field import KEY_TYPES, NUMBERS, TEXTS
from freshet.schemas.topics.topic import Topic, check_name
from freshet.streams.intake.expressions import check_row_wise

OF_TOPIC = "Name the topic itself: the variable, not its text."
NO_KEY = "Name a field, or several; key=() is one row for all events."


def check_topics(where: str, topic: object) -> None:
    """Raises `DefinitionError` for what is neither a topic nor several."""
    if isinstance(topic, list | tuple):
        check_each(where, "topic", topic, Topic, OF_TOPIC)
        names = [one.name for one in topic]
        if not names or len(set(names)) < len(names):
            raise DefinitionError(
                where, f"is over the topics {names}", "List at least one, and each once."
            )
        return
    check_kind(where, "topic", topic, Topic, OF_TOPIC)


def check_key(where: str, key: object, topics: Sequence[Topic]) -> None:
    """Raises `DefinitionError` for a key that is none, or that topics write otherwise."""
    names = " and ".join(topic.name for topic in topics)
    if key is None:
        raise DefinitionError(where, "key=None names no field", NO_KEY)
    if isinstance(key, str):
        keys: Sequence[str] = (key,)
    else:
        expected = f"A key is the name of a field of {names}, or several; () is none."
        check_each(where, "key", key, str, expected)
        assert isinstance(key, Sequence)
        keys = key
    for name in keys:
        for topic in topics:
            _check_key_field(where, name, topic, len(topics) > 1)
        _check_kinds(where, name, topics)


def check_features(where: str, features: Mapping[str, Aggregate], topics: Sequence[Topic]) -> None:
    """Raises `DefinitionError` for what is no feature, or none of these topics."""
    if not features:
        raise DefinitionError(
            where, "has no features", 'Add one, such as {"n": fr.count(over="1h")}.'
        )
    for name, feature in features.items():
        check_name(f"{where}: feature", name)
        if not isinstance(feature, Aggregate):
            raise DefinitionError(
                f"{where}: feature {name!r}",
                f"{feature!r} is no aggregate",
                'Use one, such as fr.count(over="1h").',
            )
        for own in inputs_of(feature):
            _check_condition(f"{where}: feature {name!r}", own, topics)
    # Once all are known to be aggregates: of each what is its own, then what all need.
    for feature in features.values():
        for own in inputs_of(feature):
            of_these = topics_of(own, topics)
            for topic in of_these:
                _check_field(where, feature, own, topic, len(topics) > 1)
            _check_texts(where, own, of_these)


def topics_of(own: Input, topics: Sequence[Topic]) -> list[Topic]:
    """Those among a view's topics whose events an input is of."""
    return [topic for topic in topics if own.topic in (None, topic.name)]


def _check_key_field(where: str, name: str, topic: Topic, several: bool) -> None:
    types = _types_of(topic)
    if types.get(name) in KEY_TYPES:
        return
    may_be = [field for field, type_ in types.items() if type_ in KEY_TYPES]
    next_step = f"Fields of {topic.name} that may be keys: {', '.join(may_be)}."
    if several:
        next_step += f' One of another name is taken by derive={{"{name}": pl.col("…")}} of it.'
    raise DefinitionError(where, f"key {name!r} is {_what(types, name, topic)}", next_step)


def _check_kinds(where: str, name: str, topics: Sequence[Topic]) -> None:
    """Else one value is written in two ways, and has two rows."""
    first = topics[0]
    kind = first.all_fields[name].key_kind
    for topic in topics[1:]:
        other = topic.all_fields[name].key_kind
        if other != kind:
            raise DefinitionError(
                where,
                f"key {name!r} is a {kind} in {first.name}, and a {other} in {topic.name}",
                "Declare both of one kind, so that they are written alike.",
            )


def _check_condition(where: str, own: Input, topics: Sequence[Topic]) -> None:
    of_these = topics_of(own, topics)
    if not of_these:
        raise DefinitionError(
            where,
            f"is of topic {own.topic}, which the view is not over",
            f"It is over {', '.join(topic.name for topic in topics)}.",
        )
    if own.where is None or own.where.expression is None:
        return
    for topic in of_these:
        place = f"{where}: where"
        if len(topics) > 1:
            place += f" over {topic.name}"
        check_row_wise(own.where.expression, topic.all_fields, place, true_or_false=True)


def _check_field(where: str, feature: Aggregate, own: Input, topic: Topic, several: bool) -> None:
    """Whether a field may be what a feature is of: a number, or a text, too."""
    if own.field is None:
        return
    types = _types_of(topic)
    may_be = [name for name, type_ in types.items() if type_ in NUMBERS]
    what = "Numbers"
    cause = _what(types, own.field, topic)
    if isinstance(feature, Distinct | GIVES_A_VALUE):
        may_be = [name for name, type_ in types.items() if type_ in (*TEXTS, *NUMBERS)]
        what = "Texts and numbers"
    # What is no field counts as none of them.
    if own.field in may_be:
        return
    next_step = f"{what} of {topic.name}: {', '.join(may_be)}."
    if several and own.topic is None:
        next_step += " If it is of one topic alone, say so: fr.of(topic, …)."
    raise DefinitionError(where, f"field {own.field!r} is {cause}", next_step)


def _check_texts(where: str, own: Input, topics: Sequence[Topic]) -> None:
    """Else no value of one topic is one of another."""
    if own.field is None:
        return
    is_text = {topic.name: topic.all_fields[own.field].type in TEXTS for topic in topics}
    if len(set(is_text.values())) < 2:
        return
    texts = " and ".join(name for name, is_one in is_text.items() if is_one)
    numbers = " and ".join(name for name, is_one in is_text.items() if not is_one)
    raise DefinitionError(
        where,
        f"field {own.field!r} is a text in {texts}, and a number in {numbers}",
        "Declare all of one kind, or say which topic a feature is of: fr.of(topic, …).",
    )


def is_text(own: Input, topics: Sequence[Topic]) -> bool:
    """Whether an input is a text, as it then is in each of its topics."""
    of_these = topics_of(own, topics)
    return own.field is not None and all(
        topic.all_fields[own.field].type in TEXTS for topic in of_these
    )


def texts_of(own: Input, topics: Sequence[Topic]) -> tuple[str, ...]:
    """All that an input can be in any of its topics, each once; nothing where it is no text, or may
    be any in one of them."""
    found: list[str] = []
    for topic in topics_of(own, topics):
        declared: tuple[str, ...] = ()
        if own.field is not None:
            declared = _all_texts(own.field, topic)
        if not declared:
            return ()
        found.extend(declared)
    return tuple(dict.fromkeys(found))


def _all_texts(name: str, topic: Topic) -> tuple[str, ...]:
    """An enum's symbols, or the domain of a text; else none."""
    own = topic.all_fields[name]
    if own.type not in TEXTS:
        return ()
    return own.domain or own.symbols


def _types_of(topic: Topic) -> dict[str, str]:
    return {field.name: field.type for field in topic.all_fields.fields}


def _what(types: Mapping[str, str], field: str, topic: Topic) -> str:
    if field in types:
        return f"of type {types[field]}"
    return f"not a field of {topic.name}"
