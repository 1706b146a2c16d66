"""Brokers that want TLS, a client's certificate, or a login with SCRAM: all by the address, and all
that goes wrong with it is told by its cause."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (
    AdminClient,
    NewTopic,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

import freshet as fr
from freshet.schemas.errors import ComponentError, LogError
from freshet.servers.kafka_server import KafkaServer
from freshet.servers.server import free_ports
from freshet.streams.catalog import open_log
from freshet.testing import LocalRun, MemoryStore

HOUR = 3_600_000
USER = "intake@shop"
PASSWORD = "p?ss:w/rd@1"
VISIT = {
    "type": "record",
    "name": "visit",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": "long"},
        {"name": "user", "type": "string"},
    ],
}


class SecuredKafka(KafkaServer):
    """With listeners that want TLS and a client's certificate (`tls`), and TLS and a login by SCRAM
    (`login`), beside the plain one."""

    def __init__(self, directory: Path, certificates: Certificates) -> None:
        super().__init__(directory)
        self.certificates = certificates
        self.tls, self.login = free_ports(2)

    def _properties(self) -> dict[str, str]:
        plain = super()._properties()
        own = f",TLS://127.0.0.1:{self.tls},LOGIN://127.0.0.1:{self.login}"
        module = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        return {
            **plain,
            "listeners": plain["listeners"] + own,
            "advertised.listeners": plain["advertised.listeners"] + own,
            "listener.security.protocol.map": (
                "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,TLS:SSL,LOGIN:SASL_SSL"
            ),
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.login.scram-sha-512.sasl.jaas.config": module,
            "listener.name.tls.ssl.client.auth": "required",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.certificates.keystore("broker")),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.certificates.of("authority")),
        }


@dataclass(frozen=True)
class Certificates:
    """An authority, and what it has signed for the broker and for a client."""

    folder: Path

    def of(self, name: str) -> Path:
        return self.folder / f"{name}.pem"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    def keystore(self, name: str) -> Path:
        """Key and certificate in one file, as Kafka wants them."""
        both = self.folder / f"{name}.both.pem"
        both.write_text(self.key(name).read_text() + self.of(name).read_text())
        return both

    def make(self) -> None:
        for authority in ("authority", "stranger"):
            self._openssl("req", "-x509", *self._request(authority))
        for name in ("broker", "client"):
            signed = ("-CA", str(self.of("authority")), "-CAkey", str(self.key("authority")))
            named = ("-addext", "subjectAltName=IP:127.0.0.1")
            self._openssl("req", "-x509", *self._request(name), *signed, *named)

    def _request(self, name: str) -> list[str]:
        made = ["-newkey", "rsa:2048", "-noenc", "-days", "2", "-subj", f"/CN={name}"]
        return [*made, "-keyout", str(self.key(name)), "-out", str(self.of(name))]

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    folder = tmp_path_factory.mktemp("certificates")
    certificates = Certificates(folder)
    try:
        certificates.make()
        server = SecuredKafka(tmp_path_factory.mktemp("kafka"), certificates)
        server.start()
    except (ComponentError, FileNotFoundError) as error:
        if "kafka" in os.environ.get("FRESHET_REQUIRE", "").split(","):
            pytest.fail(f"kafka is required: {error}")
        pytest.skip(str(error))
    admin = AdminClient({"bootstrap.servers": server.address})
    how = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 8_192)
    granted = UserScramCredentialUpsertion(USER, how, PASSWORD.encode())
    for done in admin.alter_user_scram_credentials([granted]).values():
        done.result()
    yield server
    server.stop()


def address(server: SecuredKafka, how: str, **changes: str) -> str:
    certificates = server.certificates
    settings = {"ssl.ca.location": str(certificates.of("authority"))}
    where = f"127.0.0.1:{server.tls}"
    if how == "tls":
        settings["security.protocol"] = "SSL"
        settings["ssl.certificate.location"] = str(certificates.of("client"))
        settings["ssl.key.location"] = str(certificates.key("client"))
    else:
        where = f"{quote(USER, '')}:{quote(PASSWORD, '')}@127.0.0.1:{server.login}"
        settings["security.protocol"] = "SASL_SSL"
        settings["sasl.mechanism"] = "SCRAM-SHA-512"
    settings |= {name.replace("_", "."): value for name, value in changes.items()}
    query = "&".join(f"{name}={quote(value, '')}" for name, value in settings.items() if value)
    return f"kafka://{where}?{query}"


def topic_of_others(server: SecuredKafka) -> str:
    name = f"visits.{uuid.uuid4().hex[:8]}"
    # Held until it has answered: its end would end the request.
    admin = AdminClient({"bootstrap.servers": server.address})
    admin.create_topics([NewTopic(name, 2, 1)])[name].result()
    producer = Producer({"bootstrap.servers": server.address})
    for i in range(20):
        event = {"id": str(i), "at": HOUR + i, "user": "ann"}
        producer.produce(name, json.dumps(event).encode(), partition=i % 2, timestamp=HOUR + i)
    producer.flush()
    return name


@pytest.mark.parametrize("how", ["tls", "login"])
def test_a_whole_app_runs_over_a_secured_broker(
    secured: SecuredKafka, tmp_path: Path, how: str
) -> None:
    visits = fr.Topic("visits", VISIT, "id", "at", log=topic_of_others(secured))
    view = fr.View("by_user", visits, key="user", features={"n": fr.count(over="6h")})
    app = fr.App(f"secured{uuid.uuid4().hex[:8]}", topics=[visits], views=[view])
    log = open_log(address(secured, how))
    with LocalRun(app, tmp_path, MemoryStore(), log=log) as local:
        local.step(HOUR, 2 * HOUR, {}, {})
        facts = {task.name: task.facts() for o in local.operators for task in o.tasks()}
    applied = [facts[f"intake:visits:{p}"]["fates"]["applied"] for p in range(2)]
    assert applied == [10, 10]


@pytest.mark.parametrize(
    ("how", "changes", "why"),
    [
        ("login", {"sasl_password": "guess"}, "refused the login"),
        ("login", {"sasl_mechanism": "PLAIN"}, "refused the login"),
        (
            "login",
            {"ssl_ca_location": "stranger"},
            "certificate verify failed",
        ),
        ("tls", {"ssl_certificate_location": "", "ssl_key_location": ""}, "no connection by TLS"),
        ("tls", {"ssl_ca_location": "/not/there.pem"}, "ssl.ca.location"),
        ("tls", {"security_protocol": "SASL_TLS"}, "security.protocol"),
    ],
)
def test_what_is_wrong_is_told_by_its_cause(
    secured: SecuredKafka, how: str, changes: dict[str, str], why: str
) -> None:
    if changes.get("ssl_ca_location") == "stranger":
        changes = {"ssl_ca_location": str(secured.certificates.of("stranger"))}
    log = open_log(address(secured, how, **changes))
    with pytest.raises(LogError) as refused:
        log.bounds("visits")
    told = str(refused.value)
    assert why in told
    assert PASSWORD not in told
    assert quote(PASSWORD, "") not in told
