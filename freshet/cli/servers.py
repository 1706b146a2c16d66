"""`freshet servers start`: a real Kafka and Redis (and Cassandra) on this machine, for trying an app out on them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

servers = typer.Typer(no_args_is_help=True, help="Real servers on this machine, for trying out.")
KINDS = ("kafka", "redis", "cassandra")


@servers.callback()
def _group() -> None:
    """Keeps `start` a command of its own."""


@servers.command()
def start(
    which: Annotated[list[str] | None, typer.Argument(help="kafka, redis, cassandra; default: kafka and redis")] = None,
    directory: Annotated[Path, typer.Option(help="where their data and logs are")] = Path(".freshet/servers"),
) -> None:
    """Start servers and print how to use them; they end with this command. Kafka and Cassandra need Java 17, and Maven the
    first time."""
    run(which or ["kafka", "redis"], directory, Console())


def run(which: Sequence[str], directory: Path, console: Console) -> None:
    """Until SIGINT or SIGTERM. Raises `ComponentError` that says what is missing, and `DefinitionError` for no server."""
    from freshet.schemas.errors import DefinitionError

    for kind in which:
        if kind not in KINDS:
            raise DefinitionError(f"server {kind!r}", "is unknown", f"Choose from {', '.join(KINDS)}.")
    stop = threading.Event()
    for s in (signal.SIGINT, signal.SIGTERM):
        signal.signal(s, lambda *_: stop.set())
    urls = {}
    with ExitStack() as stack:
        for kind in dict.fromkeys(which):
            with console.status(f"starting {kind} …"):
                server = stack.enter_context(_server(kind, directory / kind))
            urls[kind] = url(kind, server.address)
            console.print(f"{kind:10} {urls[kind]}", highlight=False, soft_wrap=True)
        options = [f"--log {urls['kafka']}"] if "kafka" in urls else []
        options += [f"--store {urls[k]}" for k in ("redis", "cassandra") if k in urls][:1]
        console.print(f"\nfreshet run APP.py {' '.join(options)}\nCtrl-C stops them.", highlight=False, soft_wrap=True)
        stop.wait()
        console.print("stopping …", highlight=False)


def url(kind: str, address: str) -> str:
    """What `--log` or `--store` takes."""
    return f"{kind}://{address}" + {"kafka": "", "redis": "/0", "cassandra": "/freshet"}[kind]


def _server(kind: str, directory: Path) -> Any:
    if kind == "kafka":
        from freshet.servers.kafka_server import KafkaServer

        return KafkaServer(directory)
    if kind == "cassandra":
        from freshet.servers.cassandra_server import CassandraServer

        return CassandraServer(directory)
    from freshet.servers.redis_server import RedisServer
    from freshet.servers.server import free_ports

    return RedisServer(directory, port=free_ports(1)[0])
