"""What others said is shown without what a terminal obeys, and addresses without what only their
owner may know."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshet.schemas.errors import ComponentError
from freshet.schemas.shown_text import address, origin, printable, printable_json, redacted, shown

SECRET = "hunter2"
# As they are typed, and as they are mistyped: the password may be anywhere before the host, or in a
# parameter.
ADDRESSES = (
    "kafka://ann:hunter2@broker:9092",
    "kafak://ann:hunter2@broker:9092",
    "kafka:ann:hunter2@broker:9092",
    "kafka:/ann:hunter2@broker",
    "kafka//ann:hunter2@broker",
    "ann:hunter2@broker:9092",
    "redis://:hunter2@store:6379/0",
    "redis://:a@hunter2@store:6379/0",
    "redis://ann:hunter2/x@store",
    "redis://ann:x?hunter2@store",
    "redis://ann:x#hunter2@store",
    "kafka://broker?sasl.password=hunter2",
    "kafka://broker?sasl.password=a@hunter2",
    "https://hooks.example.org/x?token=hunter2",
    "https://hooks.example.org/x?a=1&token=hunter2#b",
    "htps://hooks.example.org/x?token=hunter2",
)


@pytest.mark.parametrize("url", ADDRESSES)
def test_no_secret_of_an_address_is_shown_however_it_was_mistyped(url: str) -> None:
    for text in (
        address(url),
        redacted(url),
        redacted(f"log {url!r} is away ({url})"),
        origin(url),
    ):
        assert SECRET not in text, text
    error = ComponentError(f"store {url}", f"cannot reach {url}", f"Look at {url}.")
    assert SECRET not in f"{error} {error.resource} {error.cause} {error.next_step}"


def test_an_address_whose_password_has_blanks_and_quotes_is_redacted_whole() -> None:
    assert address("kafka://ann:hun \"t'er2@broker:9092") == "kafka://***@broker:9092"


def test_what_is_no_secret_stays() -> None:
    for text in (
        "turned off by ann@laptop",
        "topic a:b at 12:30",
        "kafka://one:9092,two:9092",
        "runs/log",
        "n=3",
    ):
        assert shown(text) == text
    assert origin("https://hooks.example.org:8443/services/T0/B0/x") == "https://hooks.example.org"


@given(st.text(max_size=50))
def test_what_is_shown_is_printable_and_shown_again_is_the_same(text: str) -> None:
    once = printable(text)
    assert "\x1b" not in once
    assert "\n" not in once
    assert printable(once) == once
    assert shown(shown(text)) == shown(text)


@pytest.mark.parametrize(
    "char", ["\x1b", "\x07", "\x08", "\r", "\x7f", "\x9b", "\u202e", "\u2066", "\ud800", "\u200b"]
)
def test_what_a_terminal_would_obey_or_hide_is_written_as_its_code(char: str) -> None:
    assert printable(f"a{char}b") == f"a{char.encode('unicode_escape').decode()}b"
    assert char not in printable_json(f'{{"id": "a{char}b"}}')


def test_an_error_keeps_its_text_over_processes() -> None:
    error = ComponentError("store redis://a:b@c", "said \x1b[2J", "Wait.")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) == "freshet store redis://***@c: said \\x1b[2J. Wait."
