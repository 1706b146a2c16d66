"""Asks the status page's server of a run: what commands show and change goes through the same door as the page."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from freshet.schemas.errors import ComponentError, RequestError
from freshet.serving.status.status import Status, decode

SECONDS = 10.0


class PageClient:
    """Of the run in `run_dir`; a context manager.

    Raises:
        ComponentError: nothing runs there, or its `control` does not answer.
    """

    def __init__(self, run_dir: Path) -> None:
        try:
            self._address = (run_dir / "status.address").read_text()
        except FileNotFoundError as error:
            raise ComponentError(
                f"run in {run_dir}",
                "has no status page: nothing runs there",
                "Start it with freshet run APP.py, or name its folder with --run-dir.",
            ) from error
        self._http = httpx.Client(base_url=self._address, timeout=SECONDS, headers={"x-freshet-user": quote(user())})

    def __enter__(self) -> PageClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def status(self) -> Status:
        return decode(self._ask("GET", "/status.json").content)

    def set_topic(self, topic: str, changes: Mapping[str, str]) -> dict[str, str]:
        """Change live settings; all of them as they are then. Raises `RequestError` for what may not be set."""
        answer = self._ask("PUT", f"/v1/topics/{quote(topic)}/settings", dict(changes)).json()
        found: dict[str, str] = answer["settings"]
        return found

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise ComponentError(
                f"status page at {self._address}", f"does not answer ({error})", "Is the run's control role alive?"
            ) from error
        if answer.is_success:
            return answer
        text = (
            answer.json().get("error", answer.text) if "json" in answer.headers.get("content-type", "") else answer.text
        )
        if answer.status_code < 500:
            raise Refused(text)
        raise ComponentError(
            f"status page at {self._address}", f"answered {answer.status_code}: {text}", "See its log."
        )


class Refused(RequestError):
    """The server's own text, as it is."""

    def __init__(self, text: str) -> None:
        super().__init__(text, "", "")
        self.args = (text,)

    def __str__(self) -> str:
        return str(self.args[0])


def user() -> str:
    """Who changes things from this terminal, such as `ann@laptop`."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "unknown"
    return f"{name}@{socket.gethostname()}"
