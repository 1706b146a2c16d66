"""`freshet init --from SAMPLE`: an app for a sample, checked before it is written where it was
asked for."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryDirectory

from freshet.app import load
from freshet.samples.places import Place, proposed, sampled
from freshet.samples.proposal import Proposal, Proposed
from freshet.samples.sample import ROWS
from freshet.samples.text import lines
from freshet.scaffold.app_text import app_text
from freshet.scaffold.plan import Chosen, Plan, plan
from freshet.scaffold.readme import readme
from freshet.schemas.errors import DefinitionError


def plan_for(sample: str, chosen: Chosen) -> tuple[Plan, Proposal, list[str]]:
    """What would be written for a sample, and how that came about.

    Raises:
        FreshetError: the sample cannot be read, or is none that an app could be made for.
        DefinitionError: the app would be none that runs.
    """
    with sampled(Place(sample)) as opened:
        proposal, roles = proposed(opened, "", ROWS)
    planned = plan(proposal, roles, chosen)
    made = replace(proposal, name=planned.name, fields=_open_keys(proposal, planned))
    _check(sample, declared(planned, made))
    return planned, made, lines(made, roles, sample)


def declared(planned: Plan, proposal: Proposal) -> dict[str, str]:
    """The files that make the app, by name."""
    schema = json.dumps(proposal.schema, indent=2, ensure_ascii=False)
    return {
        f"{planned.name}.avsc": f"{schema}\n",
        "app.py": app_text(planned, proposal.rows),
    }


def _check(sample: str, texts: Mapping[str, str]) -> None:
    """Load the app as `freshet check` does, out of a folder that is gone afterwards."""
    with TemporaryDirectory(prefix="freshet-init-") as folder:
        for name, text in texts.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        try:
            load(Path(folder) / "app.py")
        except DefinitionError as error:
            # Nobody has seen the file, so its lines say nothing.
            raise DefinitionError(
                f"sample {sample}",
                f"would make an app that is refused: {error.cause}",
                "Choose its fields with --event-id, --event-time, --key and --label.",
            ) from error


def _open_keys(proposal: Proposal, planned: Plan) -> tuple[Proposed, ...]:
    """Whom events are about may be new tomorrow, however few there are in the sample: keys and
    sources have no domain."""
    whom = {field.name for field in (planned.key, planned.source) if field is not None}
    fields = []
    for field in proposal.fields:
        avro = dict(field.avro)
        if field.name in whom:
            avro.pop("domain", None)
        fields.append(replace(field, avro=avro))
    return tuple(fields)


def write_app(directory: Path, sample: str, planned: Plan, proposal: Proposal) -> list[str]:
    """Write the files of the app into a directory that is there and empty; their names."""
    told = [f"`{column}` is left out: it {why}." for column, why in proposal.left_out.items()]
    told += [f"`{field.name}` {doubt}." for field in proposal.fields for doubt in field.doubts]
    told += [f"{remark}." for remark in planned.remarks]
    # From the app's folder, in which its commands are given.
    seen_from_there = os.path.relpath(sample, directory)
    texts: Mapping[str, str] = {
        **declared(planned, proposal),
        "README.md": readme(planned, proposal.rows, seen_from_there, told),
    }
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8")
    with as_file(files("freshet.cli").joinpath("template", "freshet.toml")) as source:
        shutil.copyfile(source, directory / "freshet.toml")
    return [*texts, "freshet.toml"]


def next_commands(directory: Path, sample: str, planned: Plan) -> dict[str, str]:
    """What to do next, and why."""
    data = shlex.quote(f"{planned.name}={os.path.relpath(sample, directory)}")
    return {
        f"cd {shlex.quote(str(directory))}": "",
        "freshet check app.py": "what it would run",
        f"freshet replay app.py {data}": "the sample through it, in its own time",
    }
