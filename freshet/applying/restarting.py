"""`freshet run` of a file that is another one than what runs, or ran, in its folder: the new
version is built beside, where it can be, instead of starting at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from freshet.app import App, load
from freshet.applying import asking
from freshet.applying.following import follow
from freshet.declared import definitions
from freshet.processes.versioned import Taken, drafted
from freshet.schemas.errors import DefinitionError, FreshetError
from freshet.settings import Settings
from freshet.versions.owners import owners
from freshet.versions.part import active_and_kept


def goes_on_otherwise(app: App, file: str, given: Settings) -> bool:
    """Whether what runs in the folder can be changed, and is of other files."""
    if Taken(given.local_path).current() is None:
        return False
    return not asking.is_what_runs(app, file, given)


def why_at_once(app: App, file: str, given: Settings) -> str:
    """Why what has run here before is not started first, in a sentence: nothing has, or the new
    version cannot be built beside it. Empty where it can."""
    if given.is_shared:
        return "its roles are on several machines"
    versions = Taken(given.local_path)
    active, kept = active_and_kept(versions)
    if active is None:
        return "nothing has run here before that could answer meanwhile"
    try:
        load(versions.app_file(active))
        asking.refuse_unanswered(app, definitions.read(given.checkpoints_url))
        draft, made = drafted(versions, app, Path(file).resolve(), versions.next_number())
        shutil.rmtree(draft, ignore_errors=True)
        owners(active, made, kept)
    except DefinitionError as error:
        return str(error)
    return ""


def active_file(given: Settings) -> str:
    """The copy that has run here last."""
    versions = Taken(given.local_path)
    return str(versions.app_file(versions.active()))


def building(
    app: App, file: str, given: Settings, say: Callable[[str], None]
) -> Callable[[], None]:
    """What asks for a version once the one before runs, and tells how far it is."""

    def build() -> None:
        known = asking.as_run(given)
        try:
            asking.ask(app, file, known)
        except (FreshetError, OSError) as error:
            say(f"{file} cannot be built beside what runs, which goes on: {error}")
            return
        follow(known, as_json=False)

    return build
