"""Topics of another cluster: which process reads them, and what of it may be declared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import freshet as fr
from freshet.roles import preflight
from freshet.roles.names import elsewhere, intakes, role_names, topics_of
from freshet.runs.clusters import RoutedLog, routed
from freshet.schemas.errors import DefinitionError, LogError
from freshet.settings import settings
from freshet.streams.kafka.log import KafkaLog
from freshet.streams.outages import Outages
from freshet.streams.sqlite.log import SqliteLog

OTHER, THIRD = "kafka://other:9092", "kafka://a.b:1,[::1]:2"
SCHEMA = {
    "type": "record",
    "name": "visit",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": "long"},
        {"name": "user", "type": "string"},
    ],
}


def topic(name: str, cluster: str | None = None, **declared: Any) -> fr.Topic:
    log = None if cluster is None else f"{name}.v1"
    return fr.Topic(name, SCHEMA, "id", "at", **{"log": log, "cluster": cluster, **declared})


APP = fr.App(
    "shop",
    topics=[topic("own"), topic("one", OTHER), topic("two", THIRD), topic("three", OTHER)],
)


def test_each_cluster_has_a_process_of_its_own() -> None:
    names = {name: [t.name for t in topics] for name, topics in intakes(APP).items()}
    assert names == {"intake": ["own"], "intake.one": ["one", "three"], "intake.two": ["two"]}
    assert role_names(APP)[:3] == ["intake", "intake.one", "intake.two"]
    assert topics_of(APP, "intake.two") == [APP.topic("two")]
    with pytest.raises(DefinitionError, match=r"role 'intake\.three': app shop takes nothing in"):
        topics_of(APP, "intake.three")


def test_nobody_else_asks_for_what_is_there() -> None:
    assert elsewhere(APP, "view") == {"one.v1", "two.v1", "three.v1"}
    assert elsewhere(APP, "intake.one") == {"two.v1"}


def test_an_app_without_one_has_the_processes_that_it_had() -> None:
    plain = fr.App("shop", topics=[topic("own"), topic("theirs", log="theirs.v1")])
    assert role_names(plain) == ["intake", "archive", "serve", "control"]


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        (
            {"cluster": OTHER, "log": None},
            "names a cluster (kafka://other:9092), and no log= there",
        ),
        ({"cluster": "other:9092"}, "cluster='other:9092' is no address of brokers"),
        ({"cluster": "kafka://other"}, "cluster='kafka://other' is no address of brokers"),
        ({"cluster": "redis://other:9092"}, "is no address of brokers"),
        ({"cluster": "kafka://ann:secret@other:9092"}, "has a login or settings"),
        ({"cluster": "kafka://other:9092?sasl.password=secret"}, "has a login or settings"),
        ({"cluster": 7}, "cluster=7 is of type int"),
    ],
)
def test_what_is_no_cluster_is_refused_without_its_password(
    declared: dict[str, Any], why: str
) -> None:
    with pytest.raises(DefinitionError) as refused:
        topic("orders", **{"log": "orders.v1", **declared})
    assert why in str(refused.value)
    assert "secret" not in str(refused.value)
    assert "setting clusters" in str(refused.value)


def test_another_cluster_is_another_topic() -> None:
    assert topic("one", OTHER).digest != topic("one", THIRD).digest
    assert topic("one").digest == topic("one", None).digest


def test_a_log_that_is_a_folder_is_refused_by_a_run_and_has_all_topics_in_a_replay(
    tmp_path: Path,
) -> None:
    log = SqliteLog(tmp_path / "log")
    assert routed(APP, log, {}) is log
    with pytest.raises(DefinitionError) as refused:
        preflight.check(APP, log, settings(run_dir=tmp_path))
    assert str(refused.value) == (
        "definition topic one: is read from kafka://other:9092, and this run has a log of its own "
        "folder. Name a Kafka with --log, for what the app writes."
    )
    preflight.check(APP, log, settings(run_dir=tmp_path, replay=True))
    log.close()


def test_logins_are_settings_and_stay_out_of_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = "kafka://ann:secret@other:9092"
    monkeypatch.setenv("FRESHET_CLUSTERS", f'{{"{OTHER}": "{whole}"}}')
    assert settings().clusters == {OTHER: whole}
    for wrong in (f'{{"{OTHER}": ["{whole}"]}}', f'"{whole}"', f"{{{whole}"):
        monkeypatch.setenv("FRESHET_CLUSTERS", wrong)
        with pytest.raises(DefinitionError) as refused:
            settings()
        assert "clusters" in str(refused.value)
        assert "secret" not in str(refused.value)


def test_outages_of_two_clusters_are_two() -> None:
    outages = Outages()
    for which in ("one", "other"):
        outages.begin(LogError(f"kafka://{which}", "is away", "Wait."), "waits", which)
    outages.over("log", "one")
    assert [outage.resource for outage in outages.current()] == ["kafka://other"]
    outages.over("log")
    assert len(outages.current()) == 1


def test_a_reader_reads_of_one_cluster(kafka: str) -> None:
    own, other = KafkaLog(kafka), KafkaLog(kafka)
    log = RoutedLog(own, {"theirs": other})
    with pytest.raises(ValueError, match="too many values"):
        log.reader(["theirs", "ours"], None)
    log.close()


def test_the_apps_own_log_is_read_also_where_no_topic_is() -> None:
    """What is sent again of dead letters stands there."""
    away = fr.App("shop", topics=[topic("one", OTHER)])
    assert {name: [t.name for t in own] for name, own in intakes(away).items()} == {
        "intake": [],
        "intake.one": ["one"],
    }
    assert role_names(away)[:2] == ["intake", "intake.one"]
