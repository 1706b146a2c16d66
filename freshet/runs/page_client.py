"""Asks the status page's server of a run: what commands show and change goes through the same door
as the page."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import msgspec

from freshet.runs import folder
from freshet.schemas.errors import ComponentError, RequestError
from freshet.serving.status.status import Status, decode
from freshet.serving.values.report import Report
from freshet.serving.values.skew_report import SkewReport

SECONDS = 10.0


class PageClient:
    """Of the run in `run_dir`; a context manager.

    Raises:
        ComponentError: nothing runs there, or its `control` does not answer.
    """

    def __init__(self, run_dir: str | Path) -> None:
        here = folder.local(run_dir)
        try:
            self._address = (here / "status.address").read_text(errors="replace")
        except OSError as error:
            raise folder.no_run(here, "has no status page: nothing runs there", error) from error
        # Headers are ASCII; names of users need not be.
        headers = {"x-freshet-user": quote(user())}
        try:
            self._http = httpx.Client(base_url=self._address, timeout=SECONDS, headers=headers)
        except (httpx.InvalidURL, UnicodeError, ValueError) as error:
            raise self._no_page(f"is no address ({error})") from error

    def __enter__(self) -> PageClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def status(self) -> Status:
        content = self._ask("GET", "/status.json").content
        try:
            return decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._no_page(f"answers what is no status ({error})") from error

    def set_topic(self, topic: str, changes: Mapping[str, str]) -> dict[str, str]:
        """Change live settings; all of them as they are then. Raises `RequestError` for what may
        not be set."""
        answer = self._ask("PUT", f"/v1/topics/{quote(topic)}/settings", dict(changes)).json()
        found: dict[str, str] = answer["settings"]
        return found

    def statistics(self, topic: str, asked: Mapping[str, str]) -> Report:
        """What the values of a topic are like. Raises `RequestError` for a topic, a field, a source
        or a span that there is not."""
        query = urlencode(asked)
        answer = self._ask("GET", f"/v1/topics/{quote(topic)}/statistics?{query}")
        try:
            return msgspec.json.decode(answer.content, type=Report)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._no_page(f"answers what are no statistics ({error})") from error

    def skew(self, model: str) -> SkewReport:
        """How far what a model is asked on is from what it learned from. Raises `RequestError` for
        a model that there is not."""
        answer = self._ask("GET", f"/v1/models/{quote(model)}/skew")
        try:
            return msgspec.json.decode(answer.content, type=SkewReport)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._no_page(f"answers what is no skew ({error})") from error

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        try:
            answer = self._http.request(method, path, json=body)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise self._no_page(f"does not answer ({error})") from error
        if answer.is_success:
            return answer
        text = _error_of(answer)
        # What the page refuses it has put into one sentence, for this very reader.
        if answer.status_code < 500:
            raise Refused(text)
        raise ComponentError(
            f"status page at {self._address}",
            f"answered {answer.status_code}: {text}",
            "See its log.",
        )

    def _no_page(self, cause: str) -> ComponentError:
        return ComponentError(
            f"status page at {self._address}", cause, "Is the run's control role alive?"
        )


def _error_of(answer: httpx.Response) -> str:
    """Its own words, if it is one of ours."""
    try:
        told = answer.json()
    except ValueError:
        return answer.text
    if isinstance(told, dict):
        return str(told.get("error", answer.text))
    return answer.text


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
