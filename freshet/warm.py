"""Compile every kernel once, so that the first run does not wait for it."""

from __future__ import annotations


def main() -> None:
    """Filled by the rooms that own kernels."""


if __name__ == "__main__":
    main()
