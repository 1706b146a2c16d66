"""What went wrong in an app's file, as one error: file, line, thing, cause and what to do."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from freshet.own_modules import is_own
from freshet.public import HOMES, find
from freshet.schemas.errors import DefinitionError, FreshetError

MOST_CHARACTERS = 400  # of somebody else's text
_CALL = re.compile(r"(\w+?)(?:\.__init__)?\(\) (?:got an unexpected|missing|takes|got multiple)")


def mistake_in(file: Path, error: BaseException) -> DefinitionError:
    """The error that running `file` raised, with the line of that file that raised it."""
    where = _line_of(error, file)
    if isinstance(error, FreshetError):
        what = error.resource
        # A file is full of definitions: that it is one says nothing.
        if error.component != DefinitionError.component:
            what = f"{error.component} {what}"
        return DefinitionError(f"{where}, {what}", error.cause, error.next_step, **error.facts)
    return DefinitionError(
        where, f"{type(error).__name__}: {_text_of(error)}", _next_step(error, file.parent)
    )


def _text_of(error: BaseException) -> str:
    """On one line, and not at length: a library's error may show a whole query plan."""
    if isinstance(error, SyntaxError):
        return error.msg
    try:
        text = " ".join(str(error).split())
    except Exception:  # of somebody else's class
        text = "its text cannot be made"
    if len(text) > MOST_CHARACTERS:
        text = f"{text[: MOST_CHARACTERS - 1]}…"
    return text.replace(".__init__()", "()").rstrip(".")


def _next_step(error: BaseException, folder: Path) -> str:
    """What of ours could have been meant there."""
    if isinstance(error, SystemExit):
        return "An app's file only declares: it must not end the process that reads it."
    call = None
    if isinstance(error, TypeError):
        call = _CALL.match(str(error))
    if call and call[1] in HOMES:
        return f"Its arguments are {', '.join(inspect.signature(find(call[1])).parameters)}."
    if isinstance(error, AttributeError) and str(error).startswith("freshet has no"):
        return f"It has {', '.join(HOMES)}."
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _where_a_module_goes(error.name, folder)
    if isinstance(error, ImportError) and str(error).startswith("attempted relative import"):
        return (
            "The app's file is no part of a package: import what stands beside it by its bare name."
        )
    return "Correct that line of the file."


def _where_a_module_goes(name: str, folder: Path) -> str:
    package, _, module = name.rpartition(".")
    if not package:
        return f"Install it, or put {name}.py beside the app's file."
    inside = package.replace(".", "/")
    # Else it is of a library, which has none of that name.
    if (folder / inside).is_dir():
        return f"Put {module}.py into {inside}/, and an __init__.py, which may be empty."
    return "Correct that line of the file."


def _line_of(error: BaseException, file: Path) -> str:
    """`file:line` of the deepest frame inside the app's file, or inside a module beside it."""
    place, line = _deepest_frame(error, file)
    # It has no frame in the file that it is of: that one never ran.
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        unread = Path(error.filename)
        if unread.is_relative_to(file.parent):
            place = unread
            line = error.lineno
    return f"{place.relative_to(file.parent)}:{line}"


def _deepest_frame(error: BaseException, file: Path) -> tuple[Path, int]:
    place = file
    line = 0
    traceback = error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        frame_file = Path(frame.f_code.co_filename)
        if is_own(frame.f_globals.get("__name__", ""), frame_file, file.parent):
            place = frame_file
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return place, line
