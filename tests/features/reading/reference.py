"""Vectors the slow way: each column through Arrow, each view finished by itself, each row put in
place by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from freshet.features.rows.finish import finish
from freshet.features.stores.contract import VERSION_BYTES, RowKeys, RowReader
from freshet.features.views.view import View
from freshet.schemas.models.vectors import VectorSchema
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.keys import UUID, canonical, key_of


class Plan(NamedTuple):
    """What a `VectorPlan` is made of, with the fields that are UUIDs."""

    schema: VectorSchema
    views: Sequence[View]
    stored_as: Sequence[str]
    constants: Mapping[str, float | str]
    uuids: frozenset[str] = frozenset()


class Found(NamedTuple):
    """The bytes of what a question reads."""

    categories: bytes
    numbers: bytes
    versions: bytes
    value_age_ms: list[int]
    texts: list[str]


class Refused(Exception):
    """The input that cannot be."""


def read(plan: Plan, store: RowReader | None, columns: Mapping[str, Any], n: int, as_of: int) -> Found:  # fmt: skip
    keys = [key for view in plan.views for key in view.keys]
    names = dict.fromkeys((*plan.schema.categories, *keys))
    texts = {name: _texts(plan, name, columns.get(name), n) for name in names}
    numbers = np.full((n, len(plan.schema.numbers)), np.nan, np.float32)
    versions = np.zeros((n, VERSION_BYTES * len(plan.views)), np.uint8)
    ages = [-1] * n
    for v, view in enumerate(plan.views):
        if store is None or not all(key in columns for key in view.keys):
            continue
        for row in range(n):
            key = key_of([texts[name][row] for name in view.keys]).encode()
            (rows,) = store.read([RowKeys(plan.stored_as[v], [key])])
            done = finish(view.plan, rows.packed, np.array([as_of]), view.max_age_ms)
            for name, value in zip(view.plan.names, done.values[0]):
                if f"{view.name}.{name}" in plan.schema.numbers:
                    numbers[row, plan.schema.numbers.index(f"{view.name}.{name}")] = value
            if rows.present[0]:
                version = rows.packed.data[:VERSION_BYTES]
                versions[row, VERSION_BYTES * v : VERSION_BYTES * (v + 1)] = version
            ages[row] = max(ages[row], int(done.age_ms[0]))
    for column, name in enumerate(plan.schema.numbers):
        if name in columns:
            for row, value in enumerate(columns[name]):
                numbers[row, column] = _number(plan, name, value)
        elif "." not in name:
            numbers[:, column] = _number(plan, name, None)
    hashes = [[Texts.of([text]).hashes()[0] for text in texts[c]] for c in plan.schema.categories]
    joined = [key_of([texts[c][row] for c in plan.schema.categories]) for row in range(n)]
    categories = np.array(hashes, np.uint64).reshape(len(plan.schema.categories), n)
    return Found(
        np.ascontiguousarray(categories.T).tobytes(),
        numbers.tobytes(),
        versions.tobytes(),
        ages,
        joined,
    )


def _texts(plan: Plan, name: str, values: Any, n: int) -> list[str | None]:
    try:
        array = pa.array([None] * n if values is None else values, from_pandas=True)
        if pa.types.is_floating(array.type):
            array = array.cast(pa.int64())
        found: list[str | None] = array.cast(pa.string()).to_pylist()
    except (pa.ArrowException, UnicodeEncodeError, OverflowError) as error:
        raise Refused(name) from error
    constant = plan.constants.get(name)
    if isinstance(constant, float) and constant.is_integer():
        constant = int(constant)
    if constant is not None:
        found = [str(constant) if text is None else text for text in found]
    if name in plan.uuids:
        try:
            found = [canonical(text, UUID) for text in found]
        except ValueError as error:
            raise Refused(name) from error
    return found


def _number(plan: Plan, name: str, value: Any) -> float:
    number = np.nan if value is None else float(value)
    return float(plan.constants.get(name, np.nan)) if np.isnan(number) else number
