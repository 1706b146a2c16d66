"""The README of an app that was made from a sample."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from freshet.scaffold.plan import Plan

_PAGE = """# {name}

An app of freshet, declared from a sample of {rows:,} rows.

```sh
{commands}
```

| file | |
|---|---|
| `app.py` | what it declares: {declares} |
| `{name}.avsc` | the schema of its events, with the rules that the sample bears out |
| `freshet.toml` | where it runs: folder, ports, Kafka, Redis, Cassandra |

{looks}"""


def readme(plan: Plan, rows: int, sample: str, doubts: Sequence[str]) -> str:
    """What it is, what to do with it, and what nobody but its owner can know."""
    declares = ["a topic"]
    if plan.key is not None:
        declares.append(f"a view of each `{plan.key.name}`")
    if plan.label is not None:
        declares.append(f"a model of `{plan.label.name}`")
    looks = ""
    if doubts:
        listed = "\n".join(f"- {doubt}" for doubt in doubts)
        looks = f"To be looked at:\n\n{listed}\n"
    return _PAGE.format(
        name=plan.name,
        rows=rows,
        commands="\n".join(_commands(plan.name, sample)),
        declares=", ".join(declares),
        looks=looks,
    )


def _commands(name: str, sample: str) -> Iterator[str]:
    """With what each is for, above it: samples have names of any length."""
    yield "# what it would run, or what is wrong and how to mend it"
    yield "freshet check app.py"
    yield "# the sample through it in its own time, and what was learned"
    yield f"freshet replay app.py {shlex.quote(f'{name}={sample}')}"
    yield "# where a newer sample is not as the schema says"
    yield f"freshet schema check app.py {name} {shlex.quote(sample)}"
    yield "# runs it; events come by POST /push, or by Kafka"
    yield "freshet run app.py"
