"""The demo's client: asks the scorer for a step's departures over HTTP, as any client of its interface would."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import msgspec

from freshet.replay.replayer import NotYet
from freshet.schemas.errors import ComponentError
from freshet.schemas.events.schema import EventSchema

TYPES = {"string": "BYTES", "enum": "BYTES", "boolean": "BOOL", "int": "INT32", "long": "INT64"}
RETRY_SECONDS = 0.1
PATIENCE_SECONDS = 60.0


class ScoringClient:
    """Keeps one connection; `failed` counts requests that were not answered with 200, but for those it put off."""

    def __init__(self, address: str, model: str, schema: EventSchema) -> None:
        self._url = f"/v2/models/{model}/infer"
        self._types = {f.name: TYPES.get(f.type, "FP64") for f in schema.fields}
        self._http = httpx.Client(base_url=address, timeout=10.0)
        self.requests = self.failed = self.rows = 0

    def ask(self, columns: Mapping[str, Sequence[Any]], as_of_ms: int) -> dict[str, int]:
        """Ask for rows, given as columns; the last sequence number by scorer instance, to wait for in the log.

        Raises:
            NotYet: to be asked again.
            ComponentError: it cannot be reached, or answers with an error.
        """
        names = [n for n in columns if n in self._types]
        n = len(columns[names[0]])
        inputs = [{"name": k, "shape": [n], "datatype": self._types[k], "data": columns[k]} for k in names]
        body = msgspec.json.encode({"inputs": inputs, "parameters": {"as_of": as_of_ms}})
        answer = self._post(body)
        self.rows += n
        told = answer["parameters"]
        return {told["instance"]: told["sequence"] + n - 1}

    def _post(self, body: bytes) -> dict[str, Any]:
        """Until it is answered: a scorer that is being restarted refuses connections, which is no failed request of a
        live one, and is waited for."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                response = self._http.post(self._url, content=body, headers={"content-type": "application/json"})
            except httpx.TransportError as error:
                if time.monotonic() > deadline:
                    raise ComponentError(
                        f"scorer at {self._http.base_url}", f"does not answer: {error}", "Look at the log of `serve`."
                    ) from error
                time.sleep(RETRY_SECONDS)
                continue
            if "retry-after" in response.headers:
                raise NotYet(f"scorer at {self._http.base_url}", f"puts it off: {response.text}", "Ask again.")
            self.requests += 1
            if response.status_code == 200:
                found: dict[str, Any] = msgspec.json.decode(response.content)
                return found
            self.failed += 1
            raise ComponentError(
                f"scorer at {self._http.base_url}", f"answered {response.status_code}: {response.text}", "See its log."
            )

    def close(self) -> None:
        self._http.close()
