"""A real Cassandra of one node from its jars."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

from freshet.servers.server import Server, free_ports, jars, java

# What Cassandra 5 reaches for inside the JDK 17: from its own conf/jvm17-server.options.
_EXPORTS = (
    "java.base/jdk.internal.misc java.base/jdk.internal.ref java.base/sun.nio.ch "
    "java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/sun.rmi.registry "
    "java.rmi/sun.rmi.server java.rmi/sun.rmi.transport.tcp java.sql/java.sql "
    "jdk.attach/sun.tools.attach "
    "jdk.compiler/com.sun.tools.javac.file jdk.unsupported/sun.misc"
)
_OPENS = (
    "java.base/java.io java.base/java.lang java.base/java.lang.module java.base/java.lang.reflect "
    "java.base/java.math java.base/java.net java.base/java.nio java.base/java.util "
    "java.base/java.util.concurrent java.base/java.util.concurrent.atomic "
    "java.base/jdk.internal.loader "
    "java.base/jdk.internal.math java.base/jdk.internal.misc java.base/jdk.internal.module "
    "java.base/jdk.internal.ref java.base/jdk.internal.reflect java.base/jdk.internal.util.jar "
    "java.base/sun.nio.ch jdk.compiler/com.sun.tools.javac jdk.management.jfr/jdk.management.jfr "
    "jdk.management/com.sun.management.internal"
)
_YAML = """\
cluster_name: freshet
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
num_tokens: 1
endpoint_snitch: SimpleSnitch
listen_address: 127.0.0.1
rpc_address: 127.0.0.1
native_transport_port: {port}
storage_port: {storage_port}
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: "127.0.0.1:{storage_port}"
commitlog_sync: periodic
commitlog_sync_period: 1000ms
commitlog_segment_size: 5MiB
auto_snapshot: false
memtable_allocation_type: heap_buffers
disk_access_mode: standard
"""
_LOGBACK = """\
<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d %level %logger %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="OUT"/></root>
</configuration>
"""


class CassandraServer(Server):
    """`address` is that of the native transport (CQL), on `port` (0: any)."""

    name = "cassandra"

    def __init__(self, directory: str | Path, port: int = 0) -> None:
        super().__init__(directory)
        free, self._storage_port = free_ports(2)
        self.port = port or free

    def command(self) -> Sequence[str]:
        yaml = self.directory / "cassandra.yaml"
        logback = self.directory / "logback.xml"
        yaml.write_text(_YAML.format(port=self.port, storage_port=self._storage_port))
        logback.write_text(_LOGBACK)
        classes = jars("cassandra")
        (jamm,) = classes.glob("jamm-*.jar")
        return [
            java(),
            *("-Xms512m", "-Xmx1g", "-XX:+UseSerialGC", "-Xss512k"),
            f"-javaagent:{jamm}",
            *(f"--add-exports={name}=ALL-UNNAMED" for name in _EXPORTS.split()),
            *(f"--add-opens={name}=ALL-UNNAMED" for name in _OPENS.split()),
            "-Djdk.attach.allowAttachSelf=true",
            f"-Dlogback.configurationFile={logback}",
            f"-Dcassandra.config={yaml.as_uri()}",
            f"-Dcassandra.storagedir={self.directory / 'data'}",
            "-Dcassandra-foreground=yes",
            # Else it waits for the word of other nodes, of which there are none.
            "-Dcassandra.skip_wait_for_gossip_to_settle=0",
            "-Dcassandra.ring_delay_ms=100",
            *("-cp", f"{classes}/*"),
            "org.apache.cassandra.service.CassandraDaemon",
        ]

    def answers(self, connection: socket.socket) -> bool:
        """Send an OPTIONS frame (protocol 4); SUPPORTED (6) comes back."""
        connection.sendall(b"\x04\x00\x00\x00\x05\x00\x00\x00\x00")
        reply = connection.recv(9)
        return len(reply) == 9 and reply[4] == 6
