"""How much of a server one client may have: how long its requests may take to arrive, how large
they are, and which connection goes when there are too many."""

from __future__ import annotations

import resource
from dataclasses import dataclass

from freshet.serving.edge.sockets import BACKLOG


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds and bytes. A connection on which nothing is asked is kept for `idle_seconds`, unless
    there are more than `connections` of them: then the one that has been silent longest makes room.

    `backlog` of them may wait to be accepted, and are accepted at once.

    `head_seconds` and `body_seconds` are what a request's headers and body may take to arrive,
    `stuck_seconds` how long a client may take nothing of its answer.
    """

    connections: int = 4_096
    backlog: int = BACKLOG
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    stuck_seconds: float = 30.0
    # clients reuse idle connections: a server that closes them early makes requests fail
    idle_seconds: float = 75.0
    head_bytes: int = 64 << 10
    # What carries a body of the largest size in chunks of a few bytes; the apps hold bodies
    # themselves to less.
    message_bytes: int = 32 << 20


MOST_CONNECTIONS = 16_384
# Of the descriptors that a process may have. The rest is its log's, its store's and its files', and
# that of connections above the limit, of which a burst holds several backlogs: accepted, and not
# yet looked at; looked at, and not yet closed.
SHARE = 0.25
BACKLOG_SHARE = 1 / 16


def limits_of_process() -> Limits:
    """As many connections as the process has descriptors for, once it has all that it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = round(MOST_CONNECTIONS / SHARE)
    most = wanted
    if hard != resource.RLIM_INFINITY:
        most = min(hard, wanted)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    descriptors = soft
    if soft == resource.RLIM_INFINITY:
        descriptors = wanted
    return Limits(
        connections=min(MOST_CONNECTIONS, max(16, int(descriptors * SHARE))),
        backlog=min(BACKLOG, max(16, int(descriptors * BACKLOG_SHARE))),
    )
