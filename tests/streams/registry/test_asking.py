"""No id keeps another waiting: not one that the registry cannot answer, nor many that it does not
know."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from freshet.schemas.errors import RegistryError, RequestError, SchemaError
from freshet.schemas.registry.address import parsed
from freshet.schemas.registry.client import Reference, Registered, Version
from freshet.streams.registry import asking as asking_module
from freshet.streams.registry.asking import Asking
from freshet.streams.registry.turns import Asked, Turns

AVRO = {"type": "record", "name": "r", "fields": [{"name": "id", "type": "string"}]}
PATIENCE_SECONDS = 20.0


class Stub:
    """A registry as its client sees it: ids that it knows, that it cannot answer, and none else; it
    answers while it is `open`."""

    name = "registry stub"

    def __init__(self) -> None:
        self.schemas: dict[int, Registered] = {5: Registered(json.dumps(AVRO))}
        self.broken: set[int] = set()
        self.referred: dict[str, Registered] = {}
        self.asked: list[int] = []
        self.open = threading.Event()
        self.open.set()

    def close(self) -> None:
        self.open.set()

    def schema(self, schema_id: int) -> Registered | None:
        self.open.wait(PATIENCE_SECONDS)
        self.asked.append(schema_id)
        if schema_id in self.broken:
            raise RegistryError(self.name, f"cannot answer {schema_id}", "Wait.")
        return self.schemas.get(schema_id)

    def version_of(self, schema_id: int, subject: str) -> int | None:
        return 1

    def version(self, subject: str, version: int) -> Version:
        if subject not in self.referred:
            raise RequestError(f"subject {subject}", "is not there", "Register it.", status=404)
        return Version(subject, version, 1, self.referred[subject])


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking_module, "GRACE_SECONDS", 0.01)
    monkeypatch.setattr(asking_module, "PAUSES_SECONDS", (0.01,))
    monkeypatch.setattr(asking_module, "PATIENCE_SECONDS", PATIENCE_SECONDS)


@contextmanager
def asking_of(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asking]:
    monkeypatch.setattr(asking_module, "RegistryClient", lambda address: stub)
    with closing(Asking(parsed("http://127.0.0.1:9"))) as asking:
        yield asking


def kept_of(asking: Asking, subject: str, schema_id: int) -> Any:
    return json.loads(json.dumps(asking.answers(subject, [schema_id])[schema_id]))


def test_an_id_that_the_registry_cannot_answer_is_a_fault_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stub = Stub()
    stub.broken = {7}
    with asking_of(stub, monkeypatch) as asking:
        with pytest.raises(RegistryError, match="cannot answer 7"):
            asking.answers("a", [5, 7])
        for subject in ("a", "b"):
            assert kept_of(asking, subject, 5)["name"] == "r"
            assert asking.answers(subject, [6]) == {6: None}
        with pytest.raises(RegistryError, match="cannot answer 7"):
            asking.answers("a", [7])
        # It is asked on, and answered once it can be.
        stub.schemas[7] = stub.schemas[5]
        stub.broken = set()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                assert kept_of(asking, "a", 7)["schema_id"] == 7
                break
            except RegistryError:
                continue
        else:
            raise AssertionError("it was never asked again")


def test_a_new_id_does_not_wait_for_the_pause_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose pause, here, is longer than anybody waits."""
    monkeypatch.setattr(asking_module, "PAUSES_SECONDS", (1_000.0,))
    monkeypatch.setattr(asking_module, "GRACE_SECONDS", 1_000.0)
    stub = Stub()
    stub.broken = {7}
    with asking_of(stub, monkeypatch) as asking:
        with pytest.raises(RegistryError, match="cannot answer 7"):
            asking.answers("a", [7, 8])
        assert kept_of(asking, "b", 5)["schema_id"] == 5


def test_a_flood_of_unknown_ids_keeps_no_other_subject_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asking_module, "PATIENCE_SECONDS", 0.0)
    stub = Stub()
    stub.open.clear()
    with asking_of(stub, monkeypatch) as asking:
        for subject, ids in (("a", range(1_000, 6_000)), ("b", range(5, 6))):
            with pytest.raises(RegistryError, match="has not answered within"):
                asking.answers(subject, ids)
        monkeypatch.setattr(asking_module, "PATIENCE_SECONDS", PATIENCE_SECONDS)
        stub.open.set()
        assert kept_of(asking, "b", 5)["schema_id"] == 5
        # One of the flood was being asked when it came, and one had its turn.
        assert stub.asked.index(5) <= 2
        assert asking.answers("a", range(1_000, 1_100)) == dict.fromkeys(range(1_000, 1_100))


def test_no_is_believed_when_it_is_said_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = Stub()
    with asking_of(stub, monkeypatch) as asking:
        assert asking.answers("a", [8, 9]) == {8: None, 9: None}
    assert sorted(stub.asked) == [8, 8, 9, 9]


def test_what_could_not_be_read_contradicts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither once its reference is there, nor once it is gone."""
    nested = {"type": "record", "name": "o", "fields": [{"name": "x", "type": "Place"}]}
    place = Registered(json.dumps({"type": "record", "name": "Place", "fields": []}))
    stub = Stub()
    stub.schemas[7] = Registered(json.dumps(nested), references=(Reference("Place", "places", 1),))
    kept = []
    for there in (False, True):
        stub.referred = {"places": place} if there else {}
        with asking_of(stub, monkeypatch) as asking:
            kept.append(kept_of(asking, "a", 7))
    assert ["cause" in each for each in kept] == [True, False]
    for there in (False, True):
        stub.referred = {"places": place} if there else {}
        for each in kept:
            looked_at(stub, monkeypatch, 7, each)
    # Another schema does.
    with pytest.raises(SchemaError, match="is another one in the registry"):
        looked_at(stub, monkeypatch, 5, kept[1] | {"schema_id": 5})


def looked_at(stub: Stub, monkeypatch: pytest.MonkeyPatch, schema_id: int, kept: Any) -> None:
    with asking_of(stub, monkeypatch) as asking:
        asking.look_at("a", {schema_id: kept})
        deadline = time.monotonic() + PATIENCE_SECONDS
        while asking._kept and time.monotonic() < deadline:
            asking.check()
        asking.check()


def test_turns_are_taken_over_subjects_and_none_before_it_is_due() -> None:
    turns = Turns()
    assert turns.next_due is None
    for schema_id in range(3):
        turns.add(Asked("a", schema_id), 1.0)
    turns.add(Asked("b", 9), 1.0)
    turns.add(Asked("c", 9), 2.0)
    assert turns.take(0.5) is None
    assert turns.next_due == 1.0
    taken = []
    while (asked := turns.take(1.0)) is not None:
        taken.append(asked)
    assert taken == [Asked("a", 0), Asked("b", 9), Asked("a", 1), Asked("a", 2)]
    assert turns.next_due == 2.0
