"""`freshet run --role`: one role, in this process. It imports nothing that the role does not need:
one that was killed is back as soon as it has imported."""

from __future__ import annotations

from freshet.features.catalog import open_store
from freshet.roles.process import run_role
from freshet.runs import folder
from freshet.schemas.errors import ComponentError, DefinitionError, FreshetError
from freshet.settings import Settings

# roles whose members divide the partitions of what they read
SHARED = ("intake", "dedup", "view", "join", "train", "archive")


def run_one(app_path: str, name: str, given: Settings, member: str = "") -> None:
    """Run one role in this process until Ctrl-C or SIGTERM.

    Raises:
        FreshetError: what ended it, which is in its log, too; or it cannot have another member.
    """
    if member and name.split(".")[0] in SHARED and not given.log.startswith("kafka://"):
        raise DefinitionError(
            f"member {member!r} of role {name}",
            "would read all partitions, as every member does on the embedded log",
            "Leave --member out, or name a Kafka with --log.",
        )
    if name in ("view", "serve") and given.store:
        # at start a wrong address is told; later the role waits for its store
        open_store(given.store).close()
    folder.take(given)
    try:
        run_role(app_path, name, given, member)
    except SystemExit as end:
        if isinstance(end.__cause__, FreshetError):
            raise end.__cause__ from None
        where = given.local_path / "logs" / (f"{name}.{member}".rstrip(".") + ".jsonl")
        raise ComponentError(
            f"role {name}", f"failed by a fault of ours: {end.__cause__!r}", f"See {where}."
        ) from end
