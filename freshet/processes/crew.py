"""Which processes a run has, by what its folder says: those of the active version, and, while
another one is built beside it, those of that."""

from __future__ import annotations

import socket
from collections.abc import Collection
from typing import NamedTuple

from freshet.declared.lineages import trainers
from freshet.processes.supervisor import RoleSpec
from freshet.roles.names import HYDRATE
from freshet.roles.process import ANEW, run_role
from freshet.schemas.topics import readers
from freshet.settings import Settings
from freshet.versions.owners import owners
from freshet.versions.part import Part, others_of
from freshet.versions.record import Version, Versions, new_views

SERVE = "serve"
VIEW = "view"
TAKING_IN = (readers.INTAKE, readers.DEDUP)


class Place(NamedTuple):
    """Where processes run, and the socket that scorers listen on."""

    versions: Versions
    settings: Settings
    listener: socket.socket | None


def scorer_of(version: Version) -> str:
    """What the scorer of a version is called that came to the run while it went on."""
    return f"{SERVE}.{_member(version)}"


def _member(version: Version) -> str:
    return f"v{version.number}"


def whole(place: Place, active: Version, kept: Version | None, scorer: str) -> list[RoleSpec]:
    """Of a version that runs alone; what is `kept` is fed with events. `scorer` is what that is
    called."""
    fed = others_of([kept], active)
    own = Part(active.number, fed=fed)
    return [_spec(place, active, role, own, scorer) for role in _roles(place, active)]


def started(place: Place, active: Version) -> list[RoleSpec]:
    """The trainers of lineages that were started while the run goes on."""
    names = trainers(place.settings.checkpoints_url, active.roles)
    return [_of(place, active, name, "", Part(active.number)) for name in names]


def beside(
    place: Place, active: Version, kept: Version | None, target: Version, scorer: str
) -> list[RoleSpec]:
    """While `target` is built.

    Raises:
        DefinitionError: it cannot be, beside the active one.
    """
    of = owners(active, target, kept)
    every = (active, kept, target)
    fed = others_of(every, active)
    found = []
    for role in _roles(place, active):
        # The first reads letters that are sent again, too.
        if not _takes_in(role) or role == readers.INTAKE or _some(active, role, of.active):
            part = Part(active.number, of.active, fed=fed)
            found.append(_spec(place, active, role, part, scorer))
    views = new_views(target, active)
    for role in _roles(place, target):
        if _takes_in(role) and _some(target, role, of.target):
            part = Part(target.number, of.target, staged=True, fed=others_of(every, target))
            found.append(_staged(place, target, role, part))
        if role == VIEW and views:
            part = Part(target.number, views=views, staged=True)
            found += [_staged(place, target, name, part) for name in (VIEW, HYDRATE)]
        if role == SERVE:
            part = Part(target.number, staged=True)
            found.append(_staged(place, target, role, part))
    return found


def _takes_in(role: str) -> bool:
    return role.split(".")[0] in TAKING_IN


def _some(version: Version, role: str, owned: Collection[str]) -> bool:
    return any(topic in owned for topic in version.roles[role])


def _roles(place: Place, version: Version) -> list[str]:
    archived = place.settings.archive_url is not None
    found = [role for role in version.roles if archived or role.split(".")[0] != readers.ARCHIVE]
    url = place.settings.checkpoints_url
    # The last one ends at once where nothing is to be built of the past.
    return [*found, *trainers(url, found), HYDRATE]


def _spec(place: Place, version: Version, role: str, part: Part, scorer: str) -> RoleSpec:
    """Of the active version. A part without anything of its own does not differ while versions come
    and go: such a process is left alone."""
    if role == SERVE and scorer != SERVE:
        # As it was started, beside the version before it.
        return _staged(place, version, role, Part(version.number, staged=True))
    if role == SERVE:
        own = Part(version.number, listener=place.listener)
    elif _takes_in(role):
        own = part
    else:
        own = Part(version.number)
    return _of(place, version, role, "", own)


def _staged(place: Place, version: Version, role: str, part: Part) -> RoleSpec:
    if role == SERVE:
        part = Part(version.number, staged=True, listener=place.listener)
    return _of(place, version, role, _member(version), part)


def _of(place: Place, version: Version, role: str, member: str, part: Part) -> RoleSpec:
    file = str(place.versions.app_file(version))
    return RoleSpec(
        f"{role}.{member}".rstrip("."),
        run_role,
        (file, role, place.settings, member, version.digest, part),
        ends=role == HYDRATE,
        anew=ANEW,
    )
