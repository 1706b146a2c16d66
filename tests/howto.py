"""The pages of `docs/howto/` as tests use them: their files, written into a folder."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

PAGES = Path(__file__).parent.parent / "docs" / "howto"
_BLOCKS = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def text(page: str) -> str:
    return (PAGES / f"{page}.md").read_text()


def blocks(page: str, language: str) -> list[str]:
    return [body for found, body in _BLOCKS.findall(text(page)) if found == language]


def files(page: str) -> dict[str, str]:
    """The Python files of a page by name, which is the first that the paragraph before the block
    names."""
    found: dict[str, str] = {}
    before = ""
    for part in re.split(r"^(```python\n.*?^```)$", text(page), flags=re.MULTILINE | re.DOTALL):
        if part.startswith("```python\n"):
            paragraph = before.rstrip().rsplit("\n\n", 1)[-1]
            named = re.search(r"`(\w+\.py)`", paragraph)
            if named is not None:
                found[named.group(1)] = part.removeprefix("```python\n").removesuffix("```")
        before = part
    return found


def write(page: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, body in files(page).items():
        (folder / name).write_text(body)


@contextmanager
def imported(folder: Path, name: str) -> Iterator[ModuleType]:
    """A file of a page as a module that is there as long as it is needed."""
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.modules.pop(name, None)  # loading an app forgets what lies beside it, too


class Sent(list[tuple[int, dict[str, Any]]]):
    """Events of a topic of one partition, each with the time of its record."""

    def split(self, partitions: int) -> list[Sent]:
        return [self]

    def runs(self) -> list[tuple[int, list[bytes]]]:
        return [(at, [json.dumps(event).encode()]) for at, event in self]
