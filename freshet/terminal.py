"""What commands print with: data is never read as markup, and no control character of it reaches
the terminal."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from typing import TextIO

from rich.console import (
    Console,
    ConsoleOptions,
    ConsoleRenderable,
    RenderableType,
    RenderHook,
    RenderResult,
)
from rich.segment import Segment
from rich.text import Text

from freshet.schemas.errors import ComponentError
from freshet.schemas.shown_text import printable, redacted

# As a shell shows the end of any program whose reader went away (128 and SIGPIPE).
READER_GONE = 141
PIPE_WIDTH = 140  # columns where no terminal says how many it has


def terminal(pipe_width: int | None = PIPE_WIDTH) -> Console:
    """A console on standard output for texts and tables that hold data. `marked` styles what is
    ours.

    A string is printed as it is, brackets and colons too.
    """
    # Of a terminal, its own; where there is none, rich would take 80 and fold what programs read.
    width = pipe_width
    if sys.stdout.isatty():
        width = None
    console = _Terminal(width=width, markup=False, emoji=False, highlight=False)
    console.push_render_hook(_Printable())
    return console


def marked(template: str, /, *values: object, **named: object) -> Text:
    """A template of ours with rich's markup, and data in its `{}` and `{name}`: styled like what is
    around, but never read as markup. A `Text` among the values keeps its own style.

    >>> marked("[bold]{}[/] is {state}", "[/red]a", state="up").plain
    '[/red]a is up'
    """
    found = Text.from_markup(template, emoji=False)
    out = Text()
    rest = iter(values)
    at = 0
    plain = found.plain
    while (start := plain.find("{", at)) >= 0:
        stop = plain.index("}", start) + 1
        name = plain[start + 1 : stop - 1]
        if name:
            value = named[name]
        else:
            value = next(rest)
        out.append_text(found[at:start])
        out.append_text(_filled(value, found[start:stop]))
        at = stop
    out.append_text(found[at:])
    return out


def _filled(value: object, place: Text) -> Text:
    """A value in the styles of its place."""
    text = Text()
    if isinstance(value, Text):
        text.append_text(value)
    else:
        text.append_text(Text(printable(str(value))))
    for span in place.spans:
        # Ours come first, so that a value that has a style of its own keeps it.
        text.spans.insert(0, span._replace(start=0, end=len(text)))
    return text


def say(text: str, stream: TextIO | None = None) -> None:
    """Print a text of one line or several as it is, for programs or people.

    Raises:
        ComponentError: it cannot be written.
    """
    out = stream
    if out is None:
        out = sys.stdout  # as it is now, which a test may have replaced
    try:
        print(text, file=out, flush=True)
    except BrokenPipeError:
        end_without_reader()
    except OSError as error:
        raise _unwritten(error) from error


def complain(text: str) -> None:
    """One error on standard error; nothing where nobody hears it."""
    with contextlib.suppress(OSError):
        print(printable(redacted(text), lines=True), file=sys.stderr, flush=True)


def use_standard_streams() -> None:
    """Make the three streams fit to be written to, whatever the shell gave: a closed one leads
    nowhere, and a character that one cannot hold is written as its code."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free one, so each in its turn. Else the next file or socket would get the
            # number, and what somebody prints would end up in it.
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = _nowhere()
    if sys.stderr is None:
        sys.stderr = _nowhere()
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _nowhere() -> TextIO:
    return os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


def end_without_reader() -> None:
    """Nobody reads standard output any more, as after `| head -1`: end without a word.

    Raises:
        SystemExit: with the status of a program that a broken pipe ended.
    """
    _lead_nowhere()
    raise SystemExit(READER_GONE)


def _lead_nowhere() -> None:
    """What is still in the stream's buffer would fail again when Python ends."""
    # A stream that is no file (of a test, of an embedding program) has no number.
    with contextlib.suppress(OSError):
        number = sys.stdout.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)


def _unwritten(error: OSError) -> ComponentError:
    _lead_nowhere()
    return ComponentError(
        "standard output",
        f"cannot be written: {error.strerror or error}",
        "Send it elsewhere, or make room where it goes.",
    )


class _Terminal(Console):
    """Ends in good order when what it prints to ends, or takes no more."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        end_without_reader()

    def _write_buffer(self) -> None:
        try:
            super()._write_buffer()
        except BrokenPipeError:
            raise
        except OSError as error:
            self.quiet = True
            raise _unwritten(error) from error


class _Printable(RenderHook):
    """The last look before anything is printed: what a cell or a title was made of need not know of
    it."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Looked(renderable) for renderable in renderables]


class _Looked:
    def __init__(self, renderable: RenderableType) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        return _looked_over(console.render(self._renderable, options))


def _looked_over(segments: Iterable[Segment]) -> Iterable[Segment]:
    for segment in segments:
        if segment.control or segment.text.isprintable():
            yield segment
        else:
            yield Segment(printable(segment.text, lines=True), segment.style)
