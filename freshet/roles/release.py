"""The `release` role: judges snapshots and moves aliases."""

from __future__ import annotations

import time
from collections.abc import Sequence

from freshet.declared.lineages import with_started
from freshet.learners.snapshots.signing import Signer, Verifier
from freshet.roles.context import Context
from freshet.schemas.wire import messages
from freshet.serving.release.judge import Judge
from freshet.serving.release.release import Release
from freshet.serving.release.revocations import Revocations
from freshet.streams.clock import WallClock
from freshet.streams.control.channels import Follower, send
from freshet.streams.disk import until_there_is_room


def _told(ctx: Context) -> str:
    """Where snapshots lie, for whoever is told that nothing can be written there."""
    if ctx.settings.is_shared:
        return ctx.settings.shared_url
    return str(ctx.settings.local_path.absolute())


def run(ctx: Context) -> None:
    """Judges snapshots and moves aliases."""
    writer = ctx.log.writer()

    def tell(told: Sequence[messages.Message]) -> None:
        send(writer, ctx.app.channels, told, WallClock().now_ms())

    # A trainer that goes on elsewhere has another key, which it makes known before it cuts.
    trainer = Verifier.following(f"{ctx.settings.keys_url}/trainer")
    approvals = Verifier.following(f"{ctx.settings.keys_url}/qualifier")
    qualifier = Signer.load(
        ctx.settings.keys_dir / "qualifier",
        approvals,
        ctx.settings.keys.get("qualifier", ""),
    )
    revocations = Revocations(ctx.settings.keys_url)
    judges = [
        Judge(ctx.app.name, m, ctx.settings.snapshots_url, trainer, qualifier)
        for m in ctx.app.models
    ]
    desks = [
        Release(judge, tell, ctx.settings.keep_snapshots, patient=ctx.settings.replay)
        for judge in judges
    ]
    follower = Follower(ctx.log, ctx.app.control_log)
    told_at = time.monotonic()
    said_before = ctx.log.bounds(ctx.app.control_log).spans[0][1]
    while not ctx.stop.is_set():
        found = follower.poll(0.2)
        held = not ctx.switches.current.release.on
        # Whatever is switched off: what is revoked is served no more.
        if follower.position >= said_before and revocations.are_new():
            for desk in desks:
                until_there_is_room(desk.look_again, ctx.vitals.outages, _told(ctx))
            revocations.acted_on()
        for desk in desks:
            for m in found:
                if isinstance(m, messages.NewLineage) and m.model == desk.name:
                    desk.compete(with_started(desk.judge.model, ctx.settings.checkpoints_url))
                desk.note(m)
            if follower.position >= said_before:  # what was decided before a restart is known first
                decide = desk.rule if held else desk.act
                until_there_is_room(decide, ctx.vitals.outages, _told(ctx))
        if time.monotonic() - told_at >= 1.0:
            told_at = time.monotonic()
            tell([ctx.vitals.status({"held": held})])
    follower.close()
    writer.close()
