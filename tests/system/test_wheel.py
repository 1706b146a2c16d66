"""The wheel: what is in it, and that freshet runs from it alone, in a folder and an environment
without the checkout."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from tests.freshet.cli.template_run import lineage_that_answers
from tests.system import clean_environment
from tests.system.clean_environment import ROOMS, ROOT, CleanEnvironment

pytestmark = pytest.mark.skipif(
    shutil.which("git") is None, reason="sources are those that git lists"
)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clean_environment.copied_sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clean_environment.build_wheel(sources, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> CleanEnvironment:
    """With kernels compiled, as its users are told to."""
    made = clean_environment.made(tmp_path_factory.mktemp("clean"), wheel)
    clean_environment.take_kernels(made)
    made.run(made.python, "-m", "freshet.warm", cwd=made.home)
    return made


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def compiled(environment: CleanEnvironment) -> set[tuple[str, int]]:
    """What numba has kept beside the sources, each with the moment it was written."""
    kept = (environment.site_packages / "freshet").rglob("*.nbc")
    return {(file.name, file.stat().st_mtime_ns) for file in kept}


def test_it_has_all_files_of_the_package_and_no_others(wheel: Path, sources: Path) -> None:
    """Rooms are links in the checkout, and real files here, under their one name."""
    folders = {f"freshet/{room}": sources / room for room in ROOMS} | {
        "freshet": sources / "freshet"
    }
    wanted = {
        f"{name}/{file.relative_to(folder).as_posix()}": file.read_bytes()
        for name, folder in folders.items()
        for file in folder.rglob("*")
        if file.is_file()
    }
    found = contents(wheel)
    metadata = {name for name in found if name.split("/")[0].endswith(".dist-info")}
    assert {name: found[name] for name in found.keys() - metadata} == wanted


def test_it_is_the_same_from_an_unpacked_sdist(wheel: Path, sources: Path, tmp_path: Path) -> None:
    sdist = clean_environment.build_sdist(sources, tmp_path / "sdist")
    unpacked = clean_environment.unpacked(sdist, tmp_path / "unpacked")
    assert not [path for path in unpacked.rglob("*") if path.is_symlink()]
    assert not (unpacked / "tests").exists()
    assert contents(clean_environment.build_wheel(unpacked, tmp_path / "again")) == contents(wheel)


@pytest.mark.timeout(600)
def test_it_alone_is_what_runs(environment: CleanEnvironment, tmp_path: Path) -> None:
    program = "import freshet.schemas, sys; print(freshet.schemas.__file__, *sys.path, sep='\\n')"
    file, *path = environment.run(environment.python, "-c", program, cwd=tmp_path).splitlines()
    assert Path(file) == environment.site_packages / "freshet" / "schemas" / "__init__.py"
    assert not [entry for entry in path if Path(entry).is_relative_to(ROOT)]
    told = environment.run(environment.freshet, "--version", cwd=tmp_path)
    assert told.startswith("freshet ")


# Before any other app, which may compile kernels of its own.
@pytest.mark.timeout(600)
def test_the_demo_passes_and_compiles_nothing_after_warming(
    environment: CleanEnvironment, tmp_path: Path
) -> None:
    before = compiled(environment)
    assert before
    told = environment.run(
        environment.freshet, "demo", "--days", "1", "--report", "report.json", cwd=tmp_path
    )
    assert "Passed: every ledger agrees with its log" in told
    assert json.loads((tmp_path / "report.json").read_text())["requests"]["failed"] == 0
    assert compiled(environment) == before


@pytest.mark.timeout(600)
def test_the_app_of_init_checks_runs_and_learns(
    environment: CleanEnvironment, tmp_path: Path
) -> None:
    environment.run(environment.freshet, "init", "parcels", cwd=tmp_path)
    app = tmp_path / "parcels"
    assert environment.run(environment.freshet, "check", "app.py", cwd=app).endswith("\nok\n")
    lineage = lineage_that_answers(
        app, [environment.freshet], environment.python, environment.variables
    )
    assert lineage.startswith(("baseline", "hashed_logistic"))


@pytest.mark.timeout(600)
def test_servers_find_the_list_of_their_jars(environment: CleanEnvironment, tmp_path: Path) -> None:
    program = "from freshet.servers.server import POM; print(POM.read_text())"
    told = environment.run(environment.python, "-c", program, cwd=tmp_path)
    assert told.rstrip() == (ROOT / "freshet" / "servers" / "pom.xml").read_text().rstrip()
