"""`freshet servers start`: a real Kafka and Redis (and Cassandra) on this machine, for trying an
app out on them."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from freshet.terminal import terminal

if TYPE_CHECKING:
    from rich.console import Console

    from freshet.servers.server import Server

servers = typer.Typer(no_args_is_help=True, help="Real servers on this machine, for trying out.")
USUAL_PORTS = {"kafka": 9092, "redis": 6379, "cassandra": 9042, "registry": 8085}
WATCH_SECONDS = 0.5


class Wanted(NamedTuple):
    """A server to start: its kind, and the port that it is to have (0: any)."""

    kind: str
    port: int


@servers.callback()
def _group() -> None:
    """Keeps `start` a command of its own."""


@servers.command()
def start(
    which: Annotated[
        list[str] | None,
        typer.Argument(
            help="kafka, redis, cassandra, registry, with a port or without: kafka:9092; "
            "default: kafka and redis"
        ),
    ] = None,
    directory: Annotated[Path, typer.Option(help="where their data and logs are")] = Path(
        ".freshet/servers"
    ),
) -> None:
    """Start servers and print how to use them; they end with this command, and it with the first of
    them that ends. Kafka and Cassandra need Java 17, and Maven the first time."""
    raise SystemExit(run(which or ["kafka", "redis"], directory, terminal(None)))


def run(which: Sequence[str], directory: Path, console: Console) -> int:
    """Until SIGINT or SIGTERM (0), or until one of them ends by itself (1).

    Raises:
        DefinitionError: one of them is no server, or its port none.
        ComponentError: what one needs is missing, or its port is taken.
    """
    # All of it is checked before the first one starts: Cassandra takes half a minute to say so.
    wanted = [_parsed(text) for text in which]
    _check_apart(wanted)
    for server in wanted:
        _check_port(server)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    started: dict[str, Server] = {}
    with ExitStack() as stack:
        for kind, port in dict(wanted).items():
            with console.status(f"starting {kind} …"):
                started[kind] = stack.enter_context(_server(kind, directory / kind, port))
            console.print(
                f"{kind:10} {url(kind, started[kind].address)}", highlight=False, soft_wrap=True
            )
        console.print(
            f"\n{_how_to_use(started)}\nCtrl-C stops them.", highlight=False, soft_wrap=True
        )
        while not stop.wait(WATCH_SECONDS):
            ended = [server for server in started.values() if not server.alive]
            if ended:
                console.print(_ended(ended[0]), highlight=False, markup=False, soft_wrap=True)
                return 1
        console.print("stopping …", highlight=False)
    return 0


def url(kind: str, address: str) -> str:
    """What `--log`, `--store` or `--registry` takes."""
    if kind == "registry":
        return f"http://{address}"
    return f"{kind}://{address}" + {"kafka": "", "redis": "/0", "cassandra": "/freshet"}[kind]


def _parsed(text: str) -> Wanted:
    """`kafka`, or `kafka:9092`."""
    from freshet.schemas.errors import DefinitionError

    kind, separator, port = text.partition(":")
    if kind not in USUAL_PORTS:
        raise DefinitionError(
            f"server {kind!r}", "is unknown", f"Choose from {', '.join(USUAL_PORTS)}."
        )
    if not separator:
        return Wanted(kind, 0)
    if not port.isdecimal() or not 0 < int(port) < 65_536:
        example = f"{kind}:{USUAL_PORTS[kind]}"
        raise DefinitionError(
            f"server {text!r}", f"{port!r} is no port", f"Write {example}, or {kind} to have any."
        )
    return Wanted(kind, int(port))


def _check_apart(wanted: Sequence[Wanted]) -> None:
    """Raises `DefinitionError` where two of them would be one, or have one port (0 is another for
    each)."""
    from freshet.schemas.errors import DefinitionError

    kinds = [server.kind for server in wanted]
    ports = [server.port for server in wanted if server.port]
    for kind in kinds:
        if kinds.count(kind) > 1:
            raise DefinitionError(f"server {kind!r}", "is named twice", "Name each kind once.")
    for port in ports:
        if ports.count(port) > 1:
            raise DefinitionError(
                f"port {port}", "is named for two servers", "Give each a port of its own, or none."
            )


def _check_port(server: Wanted) -> None:
    """Raises `ComponentError` where another process has it: told before anything is started."""
    from freshet.schemas.errors import ComponentError

    if server.port == 0:
        return
    with socket.socket() as probe:
        # As the servers do: connections of one that has just ended are no reason to refuse.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", server.port))
        except OSError as error:
            raise ComponentError(
                f"{server.kind} at 127.0.0.1:{server.port}",
                f"its port cannot be used: {error.strerror}",
                f"Name another, as in {server.kind}:{server.port + 1}, or none to have any.",
            ) from error


def _how_to_use(started: Mapping[str, Server]) -> str:
    options = []
    if "kafka" in started:
        options.append(f"--log {url('kafka', started['kafka'].address)}")
    # An app has one store: of two that run, the first is named.
    stores = [kind for kind in ("redis", "cassandra") if kind in started]
    options += [f"--store {url(kind, started[kind].address)}" for kind in stores[:1]]
    if "registry" in started:
        options.append(f"--registry {url('registry', started['registry'].address)}")
    return f"freshet run APP.py {' '.join(options)}"


def _ended(server: Server) -> str:
    what = f"{server.name} at {server.address} ended by itself ({server.ending})"
    return f"{what}, so all are stopped; see {server.log}"


def _server(kind: str, directory: Path, port: int) -> Server:
    if kind == "kafka":
        from freshet.servers.kafka_server import KafkaServer

        return KafkaServer(directory, port=port)
    if kind == "cassandra":
        from freshet.servers.cassandra_server import CassandraServer

        return CassandraServer(directory, port=port)
    if kind == "registry":
        from freshet.servers.registry_server import RegistryServer

        return RegistryServer(directory, port)
    from freshet.servers.redis_server import RedisServer
    from freshet.servers.server import free_ports

    return RedisServer(directory, port=port or free_ports(1)[0])
