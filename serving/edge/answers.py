"""JSON as the answer to a request: the one shape in which both servers say anything but tensors."""

from __future__ import annotations

from starlette.responses import Response

JSON = "application/json"


def json_response(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type=JSON)
