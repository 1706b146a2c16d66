"""`freshet keys`: by which keys snapshots are signed, new ones, and what is believed no more."""

from __future__ import annotations

from typing import Annotated

import typer

from freshet.cli.run import DEFAULT, RunDir
from freshet.terminal import terminal

keys = typer.Typer(
    help="Keys that snapshots are signed with: list, rotate, revoke.",
    invoke_without_command=True,
)


@keys.callback()
def list_keys(context: typer.Context, run_dir: RunDir = DEFAULT) -> None:
    """Keys of the trainers and of release (the qualifier): which sign, which only verify what they
    signed, and which are revoked."""
    if context.invoked_subcommand is None:
        from freshet.trust.keys import TrustedRun, keys_of, revoked_snapshots
        from freshet.trust.text import show_keys

        run = TrustedRun.at(run_dir)
        show_keys(keys_of(run), revoked_snapshots(run), terminal())


@keys.command()
def rotate(
    signer: Annotated[str, typer.Argument(help="trainer, or qualifier")], run_dir: RunDir = DEFAULT
) -> None:
    """Sign with a new key from now on. What the old one signed holds; its private half goes. Run it
    on the machine of the role that signs."""
    from freshet.trust import keys as trust
    from freshet.trust.text import show_rotated

    show_rotated(signer, trust.rotate(trust.TrustedRun.at(run_dir), signer), terminal())


@keys.command()
def revoke(
    what: Annotated[str, typer.Argument(help="a key's id, or MODEL/LINEAGE/NUMBER of a snapshot")],
    why: Annotated[str, typer.Option("--why", help="a reason, kept and shown with it")],
    run_dir: RunDir = DEFAULT,
) -> None:
    """Believe a key, or a snapshot, no more: what it signed is refused, and no scorer answers from
    it within a minute. There is no way back, but to remove its file below keys/revoked."""
    from freshet.runs.page_client import user
    from freshet.trust import keys as trust
    from freshet.trust.text import show_revoked

    show_revoked(trust.revoke(trust.TrustedRun.at(run_dir), what, why, user()), terminal())
