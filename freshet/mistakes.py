"""What went wrong in an app's file, as one error: file, line, thing, cause and what to do."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from freshet.public import HOMES, find
from freshet.schemas.errors import DefinitionError, FreshetError

_CALL = re.compile(r"(\w+?)(?:\.__init__)?\(\) (?:got an unexpected|missing|takes|got multiple)")


def mistake_in(file: Path, error: Exception) -> DefinitionError:
    """The error that running `file` raised, with the line of that file that raised it."""
    where = _line_of(error, file)
    if isinstance(error, FreshetError):
        kind = "" if error.component == DefinitionError.component else f"{error.component} "
        return DefinitionError(f"{where}, {kind}{error.resource}", error.cause, error.next_step, **error.facts)
    return DefinitionError(where, f"{type(error).__name__}: {_text_of(error)}", _next_step(error))


def _text_of(error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return error.msg
    return str(error).replace(".__init__()", "()").rstrip(".")


def _next_step(error: Exception) -> str:
    """What of ours could have been meant there."""
    call = _CALL.match(str(error)) if isinstance(error, TypeError) else None
    if call and call[1] in HOMES:
        return f"Its arguments are {', '.join(inspect.signature(find(call[1])).parameters)}."
    if isinstance(error, AttributeError) and str(error).startswith("freshet has no"):
        return f"It has {', '.join(HOMES)}."
    return "Correct that line of the file."


def _line_of(error: BaseException, file: Path) -> str:
    """`file:line` of the deepest frame inside the app's file."""
    if isinstance(error, SyntaxError) and error.filename == str(file) and error.lineno:
        return f"{file.name}:{error.lineno}"
    line, tb = 0, error.__traceback__
    while tb is not None:
        if tb.tb_frame.f_code.co_filename == str(file):
            line = tb.tb_lineno
        tb = tb.tb_next
    return f"{file.name}:{line}"
