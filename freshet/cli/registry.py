"""`freshet registry`: a schema registry for those who have none, and schemas from and to any."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freshet.terminal import terminal

if TYPE_CHECKING:
    from freshet.schemas.registry.client import RegistryClient

registry = typer.Typer(no_args_is_help=True, help="Schema registries: run one, pull from any.")
USUAL_PORT = 8085  # Confluent's own is 8081, where the status page is
Where = Annotated[
    str | None, typer.Option("--registry", help="its address (default: FRESHET_REGISTRY)")
]
Subject = Annotated[str, typer.Argument(help="the subject, such as orders-value")]


@registry.command()
def start(
    directory: Annotated[Path, typer.Option(help="where it keeps what is registered")] = Path(
        ".freshet/registry"
    ),
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one")] = USUAL_PORT,
    allowed_hosts: Annotated[str, typer.Option(help="further names of it, by commas")] = "",
) -> None:
    """Run a registry with Confluent's HTTP API, until Ctrl-C. It lets anybody in who reaches it."""
    from freshet.serving.edge.hosts import hosts_of
    from freshet.serving.registry.registry import Registry
    from freshet.serving.registry.server import serve

    console = terminal(None)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    kept = Registry(directory)
    try:
        serve(
            kept,
            hosts_of(host, allowed_hosts),
            (host, port),
            stop,
            lambda address: console.print(
                f"registry   {address}\nkept in    {directory}\n\n"
                f"freshet run APP.py --registry {address}\nCtrl-C stops it.",
                highlight=False,
                soft_wrap=True,
                markup=False,
            ),
        )
    finally:
        kept.close()


@registry.command()
def pull(
    subject: Subject,
    file: Annotated[Path, typer.Argument(help="the schema file to write, such as orders.avsc")],
    version: Annotated[int, typer.Option(min=0, help="which version (0: the newest)")] = 0,
    where: Where = None,
) -> None:
    """Write a subject's schema into a file, with its id and version, as an app's topic takes it."""
    from freshet.schemas.errors import RequestError
    from freshet.schemas.registry.writers import as_file
    from freshet.schemas.whole_files import write_whole

    if file.exists():
        raise RequestError(
            f"file {file}", "is there already", "Name another, or remove it: it may be changed."
        )
    client = _client(where)
    found = client.version(subject, version or "latest")
    write_whole(file, as_file(found, lambda r: client.version(r.subject, r.version).schema))
    terminal(None).print(
        f"{file}: version {found.version} of {subject}, schema_id {found.id}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


@registry.command()
def push(
    file: Annotated[Path, typer.Argument(help="a file with an Avro schema")],
    subject: Subject,
    where: Where = None,
) -> None:
    """Register the schema in a file under a subject, and say its id."""
    from freshet.schemas.errors import RequestError
    from freshet.schemas.registry.client import Registered

    try:
        text = file.read_text()
        json.loads(text)
    except OSError as error:
        raise RequestError(
            f"file {file}", f"cannot be read ({error.strerror})", "Check its path."
        ) from error
    except ValueError as error:
        raise RequestError(
            f"file {file}", f"is no JSON ({error})", "Write an Avro schema as JSON."
        ) from error
    schema_id = _client(where).register(subject, Registered(text))
    terminal(None).print(
        f"{subject}: schema_id {schema_id}", highlight=False, markup=False, soft_wrap=True
    )


def _client(where: str | None) -> RegistryClient:
    from freshet.schemas.errors import DefinitionError
    from freshet.schemas.registry.client import RegistryClient
    from freshet.settings import settings

    given = settings(registry=where)
    if given.registry_address is None:
        raise DefinitionError(
            "registry",
            "none is named",
            "Give --registry http://host:8081, or set FRESHET_REGISTRY.",
        )
    return RegistryClient(given.registry_address)
