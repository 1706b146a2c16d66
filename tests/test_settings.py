"""Settings: each is documented, and there is one precedence: command line, environment, TOML file,
default."""

from __future__ import annotations

from pathlib import Path

import pytest

from freshet.schemas.errors import DefinitionError
from freshet.settings import Settings, settings


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a TOML file, and an environment without settings; returns where the TOML
    file would be."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"FRESHET_{name.upper()}", raising=False)
    monkeypatch.delenv("FRESHET_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "freshet.toml"


def test_every_setting_says_what_it_is() -> None:
    silent = [name for name, f in Settings.model_fields.items() if not f.description]
    assert not silent


def test_the_default_holds_where_nothing_is_said() -> None:
    assert settings().port == Settings.model_fields["port"].default == 8080


def test_the_file_beats_the_default(bare: Path) -> None:
    bare.write_text("port = 1001\n")
    assert settings().port == 1001


def test_the_environment_beats_the_file(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare.write_text('port = 1001\nhost = "::1"\n')
    monkeypatch.setenv("FRESHET_PORT", "1002")
    found = settings()
    assert (found.port, found.host) == (1002, "::1")


def test_the_command_line_beats_all(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare.write_text("port = 1001\n")
    monkeypatch.setenv("FRESHET_PORT", "1002")
    assert settings(port=1003).port == 1003
    assert settings(port=None).port == 1002  # an option that was not given


def test_another_file_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.toml").write_text("keep_snapshots = 7\n")
    monkeypatch.setenv("FRESHET_CONFIG", str(tmp_path / "other.toml"))
    assert settings().keep_snapshots == 7


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("port", "70000"),
        ("port", '"many"'),
        ("keep_snapshots", "1"),
        ("prot", "1"),
        ("alert_webhook", '"example.org/hook"'),
        ("alert_webhook", '"ftp://example.org"'),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(bare: Path, key: str, value: str) -> None:
    bare.write_text(f"{key} = {value}\n")
    with pytest.raises(DefinitionError, match=key) as caught:
        settings()
    known = Settings.model_fields.get(key)
    assert (known.description if known else "port, status_port") in caught.value.next_step


@pytest.mark.parametrize(
    "host", ["", " ", "127.0.0.1:8080", "http://localhost", "1.2.3", "a b", "[::1"]
)
def test_what_is_no_address_is_never_all_of_them(host: str) -> None:
    with pytest.raises(DefinitionError, match=r"is no address or name such as|is empty"):
        settings(host=host)


@pytest.mark.parametrize(
    ("host", "kept"),
    [
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("::", "::"),
        ("0.0.0.0", "0.0.0.0"),
        ("Localhost", "localhost"),
    ],
)
def test_addresses_of_both_families_are_addresses(host: str, kept: str) -> None:
    assert settings(host=host).host == kept


def test_names_of_a_proxy_are_names() -> None:
    assert settings(allowed_hosts="models.example.org, *").allowed_hosts
    with pytest.raises(DefinitionError, match="is no list of names without ports"):
        settings(allowed_hosts="https://models.example.org")
