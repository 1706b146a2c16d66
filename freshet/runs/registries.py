"""Topics whose records bear ids of a schema registry: what is asked of it before a role starts."""

from __future__ import annotations

from contextlib import closing

from freshet.app import App
from freshet.schemas.errors import DefinitionError, SchemaError
from freshet.schemas.registry.client import RegistryClient
from freshet.schemas.registry.writers import writer_of
from freshet.schemas.topics.topic import NO_ID, Topic
from freshet.settings import Settings
from freshet.streams.log.contract import Log
from freshet.streams.registry import kept
from freshet.streams.registry.writers import kept_writers


def check(app: App, topic: Topic, log: Log, given: Settings) -> None:
    """See that a topic's registry is named, and means the same as the topic by the id of its
    schema.

    Raises:
        DefinitionError: no registry is named, and others write the topic.
        SchemaError: the registry has another schema under that id, or none.
        RegistryError: it is not there to say so, and has never said so before.
    """
    name = app.log_of(topic.name)
    url = given.checkpoints_url
    # Of an embedded log, or of a replay, whatever is in it freshet wrote itself.
    if not given.registry:
        if log.is_shared and not given.replay:
            raise DefinitionError(
                f"topic {topic.name}",
                f"has records of a schema registry (subject {topic.registry}), and none is named",
                "Name it: --registry http://host:8081; freshet registry start runs one.",
            )
        return
    own = topic.declared.schema_id
    if own != NO_ID and own not in kept.schemas(url, name) and not given.replay:
        kept.keep(url, name, {own: _fetched(topic, given)}, ())
    # What is kept may be told otherwise in the file by now.
    kept_writers(url, name, topic)


def _fetched(topic: Topic, given: Settings) -> kept.Kept:
    assert given.registry_address is not None
    assert topic.registry is not None
    own = topic.declared.schema_id
    with closing(RegistryClient(given.registry_address)) as client:
        found = client.schema(own)
        if found is None:
            raise SchemaError(
                f"of topic {topic.name}",
                f"says schema_id {own}, which the registry {client.name} does not know",
                "Leave schema_id out, or register it: freshet registry push FILE SUBJECT.",
            )
        version = client.version_of(own, topic.registry)
        return writer_of(own, version, found, lambda r: client.version(r.subject, r.version).schema)
