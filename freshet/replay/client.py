"""A replay's client: asks the scorer about a step's events over HTTP, as any client of its
interface would."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import msgspec

from freshet.replay.replayer import NotYet
from freshet.schemas.errors import ComponentError
from freshet.schemas.events.field import DATATYPES
from freshet.schemas.events.schema import EventSchema

TYPES = {"string": "BYTES", "enum": "BYTES", "boolean": "BOOL", "int": "INT32", "long": "INT64"}
RETRY_SECONDS = 0.1
PATIENCE_SECONDS = 60.0
# The first answer on a busy machine waits until kernels are compiled.
ANSWER_SECONDS = 30.0


class ScoringClient:
    """Asks one of several scorers for as long as it answers, and then the next.

    Every attempt is counted, and is one of four: `answered`, `refused` (put off by a scorer that
    waits for its store), `failed` (any other status than 200) or `broken` (no status at all: the
    connection was refused, broke off, or nothing came in time), which `broken_at` counts by
    address.
    """

    def __init__(self, addresses: Sequence[str], model: str, schema: EventSchema) -> None:
        self._addresses = tuple(addresses)
        self._at = 0
        self._path = f"/v2/models/{model}/infer"
        # What a request has no datatype for is no input of it.
        asked = [field for field in schema.fields if field.type in DATATYPES]
        self._types = {field.name: TYPES.get(field.type, "FP64") for field in asked}
        self._http = httpx.Client(timeout=ANSWER_SECONDS)
        self.attempts = 0
        self.answered = 0
        self.refused = 0
        self.failed = 0
        self.broken_at: Counter[str] = Counter()
        self.rows = 0

    @property
    def address(self) -> str:
        """Of the scorer that is asked now."""
        return self._addresses[self._at]

    @property
    def broken(self) -> int:
        return self.broken_at.total()

    def ask(self, columns: Mapping[str, Sequence[Any]], as_of_ms: int) -> dict[str, int]:
        """Ask for rows, given as columns; the last sequence number by scorer instance, to wait for
        in the log.

        Raises:
            NotYet: to be asked again.
            ComponentError: it cannot be reached, or answers with an error.
        """
        names = [n for n in columns if n in self._types]
        n = len(columns[names[0]])
        inputs = [
            {"name": k, "shape": [n], "datatype": self._types[k], "data": columns[k]} for k in names
        ]
        body = msgspec.json.encode({"inputs": inputs, "parameters": {"as_of": as_of_ms}})
        answer = self._post(body)
        self.rows += n
        told = answer["parameters"]
        return {told["instance"]: told["sequence"] + n - 1}

    def _post(self, body: bytes) -> dict[str, Any]:
        """Until it is answered: what failed or broke is asked again, of the next scorer if there is
        one.

        Raises: NotYet: a scorer puts it off. ComponentError: a scorer found the request wrong
            (4xx), or none has answered for a minute.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        for retry in itertools.count(1):
            response = self._attempt(body)
            if response is not None and response.status_code == 200:
                self.answered += 1
                found: dict[str, Any] = msgspec.json.decode(response.content)
                return found
            # First: its status is 503, which would count as failed.
            if response is not None and "retry-after" in response.headers:
                self.refused += 1
                raise NotYet(
                    f"scorer at {self.address}", f"puts it off: {response.text}", "Ask again."
                )
            cause = "does not answer"
            if response is not None:
                self.failed += 1
                cause = f"answered {response.status_code}: {response.text}"
            wrong = response is not None and response.status_code < 500
            if wrong or time.monotonic() > deadline:
                raise ComponentError(
                    f"scorer at {self.address}", cause, "Look at the log of `serve`."
                )
            self._at = (self._at + 1) % len(self._addresses)
            if retry % len(self._addresses) == 0:  # all have been asked: give them a moment
                time.sleep(RETRY_SECONDS)
        raise AssertionError

    def _attempt(self, body: bytes) -> httpx.Response | None:
        """What the scorer in turn answered; None if nothing."""
        self.attempts += 1
        try:
            return self._http.post(
                self.address + self._path,
                content=body,
                headers={"content-type": "application/json"},
            )
        except httpx.TransportError:
            self.broken_at[self.address] += 1
            return None

    def close(self) -> None:
        self._http.close()
