"""The README of an app that was made from a sample."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from freshet.scaffold.plan import Plan

_PAGE = """# {name}

An app of freshet, declared from a sample of {rows:,} rows.

```sh
freshet check app.py{check}     # what it would run, or what is wrong and how to mend it
freshet replay app.py {sample}  # the sample through it in its own time, and what was learned
freshet schema check app.py {name} {sample}  # where a newer sample is not as the schema says
freshet run app.py              # runs it; events come by POST /push, or by Kafka
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
        check="",
        sample=shlex.quote(f"{plan.name}={sample}"),
        declares=", ".join(declares),
        looks=looks,
    )
