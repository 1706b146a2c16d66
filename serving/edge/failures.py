"""What went wrong as an HTTP answer: the status, the text, and what a fault of ours does not
tell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import structlog

from freshet.schemas.errors import ComponentError, FreshetError, RequestError

log = structlog.get_logger()
LONGEST_TEXT = 4_000  # a request's own words are told back to it, but not all of a megabyte


@contextmanager
def understanding(resource: str, next_step: str) -> Iterator[None]:
    """Whatever parsing raises in here is the request's fault: what is deeper, longer or stranger
    than a parser takes.

    Raises:
        RequestError: it was not understood.
    """
    try:
        yield
    except FreshetError:
        raise
    except Exception as error:
        cause = f"cannot be read ({type(error).__name__}: {error})"
        raise RequestError(resource, cause[:LONGEST_TEXT], next_step) from error


def status_of(error: Exception) -> int:
    """400 for a request in error (or its own status), 503 where nothing can answer, 500 for a fault
    of ours."""
    if isinstance(error, RequestError):
        return error.status
    if isinstance(error, ComponentError):
        return 503
    return 500


def retry_seconds(error: Exception) -> int | None:
    """After how long the very same request should be sent again, where the error says so."""
    if isinstance(error, ComponentError):
        return error.retry_seconds
    return None


def is_on_purpose(error: Exception) -> bool:
    """Whether an operator decided that this is not answered: by the switch, or by
    `on_violation`."""
    return isinstance(error, ComponentError) and error.refused


def error_body(error: Exception) -> bytes:
    """`{"error": …}`. What we did not foresee is logged, and not shown."""
    if isinstance(error, FreshetError):
        return said(str(error))
    log.error("a request failed", exc_info=error)
    return said("internal error; the server's own log has it")


def said(text: str) -> bytes:
    """A text as the body of an answer. What is no text (half of a pair of surrogates) is shown as a
    question mark."""
    sound = text.encode("utf-8", "replace").decode()
    if len(sound) > LONGEST_TEXT:
        sound = sound[:LONGEST_TEXT] + " …"
    return msgspec.json.encode({"error": sound})
