"""Keys and revocations as the terminal shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from freshet.figures import DASH, moment
from freshet.learners.snapshots.revoked import Revocation
from freshet.terminal import marked
from freshet.trust.keys import REVOKED, SIGNS, Key
from freshet.trust.keys import Revoked as RevokedNow

WITHIN = "within a minute"  # which is promised; release and scorers look every few seconds


def show_keys(keys: Sequence[Key], snapshots: Mapping[str, Revocation], console: Console) -> None:
    """A line a key, then what was revoked of snapshots."""
    table = Table(box=None, pad_edge=False)
    for column in ("signer", "key", "made", "state", "why"):
        table.add_column(column)
    for key in keys:
        made = DASH
        if key.made is not None:
            made = moment(int(key.made.timestamp() * 1000))
        style = {SIGNS: "[green]{}[/]", REVOKED: "[red]{}[/]"}.get(key.state, "{}")
        table.add_row(
            key.signer,
            key.key,
            made,
            marked(style, key.state),
            _why(key.revocation),
        )
    console.print(table)
    for digest, told in snapshots.items():
        console.print(marked("snapshot {} [red]revoked[/] {}", f"{digest[:16]}…", _why(told)))


def show_revoked(found: RevokedNow, console: Console) -> None:
    """What became of it, and what is to be done."""
    told = f"revoked: {WITHIN} no scorer answers by it"
    if not found.is_new:
        told = "was revoked before; freshet keys says why"
    _say(f"{found.what} {told}", console)
    if found.signs:
        _say(
            f"It is what the {found.signs} signs with, so nothing new is served until there is "
            f"another: freshet keys rotate {found.signs}",
            console,
        )


def show_rotated(signer: str, key: str, console: Console) -> None:
    _say(
        f"{signer} signs with {key} from its next snapshot on; what was signed before holds",
        console,
    )


def _say(text: str, console: Console) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _why(told: Revocation | None) -> str:
    if told is None:
        return ""
    when = ""
    # 0: whoever revoked it by hand wrote no moment.
    if told.at:
        when = f" at {moment(told.at)}"
    return f"{told.why} ({told.by}{when})"
