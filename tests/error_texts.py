"""The texts of `docs/errors.md`, by the mistake that each is for."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "errors.md"
_ENTRY = re.compile(r"^\*\*(.+?)\*\*.*?\n```\n(.*?)\n```$", re.MULTILINE | re.DOTALL)


@cache
def documented() -> dict[str, str]:
    found = _ENTRY.findall(PAGE.read_text())
    names = [name for name, _ in found]
    assert len(set(names)) == len(names), "a mistake is listed twice"
    return dict(found)


def shown(text: str, folder: Path) -> str:
    """A text with what differs from one run to the next replaced by what it is."""
    text = text.replace(f"{folder}/", "").replace(str(folder), "FOLDER")
    text = re.sub(r"(127\.0\.0\.1(?::|', ))\d+", r"\1PORT", text)
    text = re.sub(r"(?<=\.)[0-9a-f]{8}(?= was removed)", "DIGEST", text)
    text = re.sub(r"(?<=after )\d+ms", "MS", text)
    return re.sub(r"(?<=pid )\d+", "PID", text)
