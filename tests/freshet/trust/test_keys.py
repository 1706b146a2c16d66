"""`freshet keys`: what it lists, and what it changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from freshet.learners.contract import Export
from freshet.learners.snapshots import files as snapshots
from freshet.learners.snapshots import revoked
from freshet.learners.snapshots.keys import create_key
from freshet.learners.snapshots.signing import Signer
from freshet.schemas.errors import ComponentError, RequestError
from freshet.schemas.models.vectors import VectorSchema
from freshet.settings import SIGNERS, settings
from freshet.trust import keys as trust
from freshet.trust.keys import REVOKED, SIGNS, VERIFIES, TrustedRun
from freshet.trust.text import show_keys, show_revoked


@pytest.fixture
def run(tmp_path: Path) -> TrustedRun:
    for signer in SIGNERS:
        create_key(tmp_path / "keys" / signer)
    return TrustedRun("toy", settings(run_dir=str(tmp_path)))


def states(run: TrustedRun, signer: str = "trainer") -> list[str]:
    return [key.state for key in trust.keys_of(run) if key.signer == signer]


def shown(run: TrustedRun) -> str:
    console = Console(width=200, record=True)
    show_keys(trust.keys_of(run), trust.revoked_snapshots(run), console)
    return console.export_text()


def test_after_a_rotation_the_new_key_signs_and_the_old_one_verifies(run: TrustedRun) -> None:
    (before,) = [key.key for key in trust.keys_of(run) if key.signer == "trainer"]
    made = trust.rotate(run, "trainer")
    assert made != before
    assert states(run) == [SIGNS, VERIFIES]
    assert states(run, "qualifier") == [SIGNS]
    assert made in shown(run)


def test_a_key_is_revoked_by_how_it_begins_with_its_reason(run: TrustedRun) -> None:
    old = trust.keys_of(run)[0].key
    made = trust.rotate(run, "trainer")
    found = trust.revoke(run, old[:8], "it leaked", "ann")
    assert (found.what, found.is_new, found.signs) == (old, True, "")
    assert states(run) == [SIGNS, REVOKED]
    assert "it leaked (ann at" in shown(run)
    assert not trust.revoke(run, old, "again", "bob").is_new
    assert trust.revoke(run, made, "this, too", "ann").signs == "trainer"


def test_whoever_revokes_the_key_that_signs_is_told_to_make_another(run: TrustedRun) -> None:
    console = Console(width=200, record=True)
    show_revoked(trust.revoke(run, trust.keys_of(run)[0].key, "it leaked", "ann"), console)
    assert "freshet keys rotate trainer" in console.export_text()


def test_a_snapshot_is_revoked_by_its_place(run: TrustedRun) -> None:
    root = run.settings.snapshots_url
    facts = snapshots.Facts("toy", "late", "hashed-0a", 7, VectorSchema((), ()), 1, 1, 1)
    trainer = Signer.load(run.settings.keys_dir / "trainer")
    which = snapshots.write(root, facts, Export("toy", {}, {}), trainer)
    found = trust.revoke(run, "late/hashed-0a/7", "poisoned", "ann")
    assert found.what == which.digest
    assert list(revoked.read(run.revoked_url)) == [which.digest]
    assert which.digest[:16] in shown(run)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("0" * 16, "is no key of this run"),
        ("ab", "is no key of this run"),
        ("late/hashed-0a/8", "is not there"),
        ("late/hashed-0a", "is no MODEL/LINEAGE/NUMBER"),
        ("late/../8", "is not there"),
    ],
)
def test_what_is_not_there_cannot_be_revoked(what: str, told: str, run: TrustedRun) -> None:
    with pytest.raises(RequestError, match=told):
        trust.revoke(run, what, "why not", "ann")
    assert revoked.read(run.revoked_url) == {}


def test_a_revocation_needs_a_reason(run: TrustedRun) -> None:
    with pytest.raises(RequestError, match="has no reason"):
        trust.revoke(run, trust.keys_of(run)[0].key, "  ", "ann")


def test_a_key_that_is_kept_elsewhere_is_not_replaced_here(run: TrustedRun) -> None:
    given = run.settings.model_copy(update={"keys": {"trainer": "env:TRAINER_KEY"}})
    with pytest.raises(RequestError, match="is kept elsewhere"):
        trust.rotate(TrustedRun("toy", given), "trainer")
    with pytest.raises(RequestError, match="signs nothing"):
        trust.rotate(run, "release")


def test_where_nothing_ran_nothing_can_be_trusted(tmp_path: Path) -> None:
    with pytest.raises(ComponentError):
        TrustedRun.at(str(tmp_path / "nowhere"))
