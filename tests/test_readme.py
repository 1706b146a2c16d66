"""The README is held to the tree: paths, commands, settings and the first app are what they are."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from freshet.cli.main import cli
from freshet.settings import Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
ROOMS = ("schemas", "streams", "features", "learners", "serving", "freshet")
OF_THE_TESTS = {"FRESHET_REQUIRE", "FRESHET_KAFKA", "FRESHET_REDIS", "FRESHET_CASSANDRA"}


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def table(title: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@cache
def options(command: str) -> frozenset[str]:
    """Options of a command of `freshet`; fails if there is none of that name."""
    found = typer.main.get_command(cli).commands  # type: ignore[attr-defined]
    assert command in found, f"there is no command {command!r}: {', '.join(found)}"
    return frozenset(o for p in found[command].params for o in (*p.opts, *p.secondary_opts))


def test_the_table_of_what_to_change_names_what_is_there() -> None:
    for _, where in table("Where to change what"):
        for path in re.findall(r"`([^`]+)`", where):
            assert list(ROOT.glob(path)), f"{path} is gone"


def test_every_module_is_found_through_the_table() -> None:
    named = [
        ROOT / p
        for _, where in table("Where to change what")
        for p in re.findall(r"`([^`]+)`", where)
    ]
    modules = {
        f.resolve()
        for room in ROOMS
        for f in (ROOT / room).rglob("*.py")
        if f.name != "__init__.py"
    }
    lost = [f for f in modules if f not in named and not set(f.parents) & set(named)]
    assert not sorted(str(f.relative_to(ROOT)) for f in lost)


def test_the_first_app_is_short_and_checks(tmp_path: Path) -> None:
    app = next(block for block in blocks("python") if "fr.App(" in block)
    assert len(app.splitlines()) < 40
    (tmp_path / "app.py").write_text(app)
    told = CliRunner().invoke(cli, ["check", str(tmp_path / "app.py")])
    assert told.exit_code == 0, told.output or told.exception
    assert told.output.rstrip().endswith("ok")


def test_commands_are_those_of_the_program() -> None:
    shell = [line.split("#")[0] for block in blocks("sh") for line in block.splitlines()]
    inline = re.findall(r"`((?:make|freshet) [^`]+)`", README)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in (*shell, *inline):
        words = shlex.split(line.replace("…", "")) if line.startswith(("make ", "freshet ")) else []
        if words[:1] == ["make"]:
            assert words[1] in targets, line
            given = [w for word in words[2:] if word.startswith("ARGS=") for w in word[5:].split()]
            assert {w for w in given if w.startswith("--")} <= options(
                "demo" if words[1] == "demo" else "run"
            ), line
        elif words:
            assert {w for w in words[2:] if w.startswith("--")} <= options(words[1]), line


def test_settings_are_the_program_s_own() -> None:
    rows = {row[0].strip("`"): row[1:] for row in table("Settings")}
    assert list(rows) == list(Settings.model_fields)
    for name, (option, environment, default, meaning) in rows.items():
        field = Settings.model_fields[name]
        assert option in ("", f"`--{name.replace('_', '-')}`")
        assert not option or option.strip("`") in options("run")
        assert environment == f"`FRESHET_{name.upper()}`"
        assert default.strip("`") == (
            str(field.default).lower() if field.annotation is bool else str(field.default)
        )
        assert meaning == field.description


def test_an_option_that_sets_a_setting_is_in_its_row() -> None:
    documented = {row[1].strip("`") for row in table("Settings")}
    settable = {f"--{name.replace('_', '-')}" for name in Settings.model_fields}
    assert settable & options("run") <= documented


def test_variables_of_the_environment_are_known() -> None:
    known = (
        {f"FRESHET_{name.upper()}" for name in Settings.model_fields}
        | {"FRESHET_CONFIG"}
        | OF_THE_TESTS
    )
    assert set(re.findall(r"FRESHET_[A-Z_]*[A-Z]", README)) <= known


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_links_lead_somewhere(target: str) -> None:
    assert target.startswith("https://") or (ROOT / target).exists()
