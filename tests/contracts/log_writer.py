"""A process that appends numbered records and prints what was acknowledged.

python -m tests.contracts.log_writer URL TOPIC NAME COUNT CHUNK
"""

from __future__ import annotations

import sys
import zlib

from freshet.streams.catalog import open_log


def record(name: str, number: int) -> bytes:
    """A record that can tell whether it is whole."""
    body = f"{name}:{number}:".encode() + bytes(number % 997)
    return body + zlib.crc32(body).to_bytes(4, "little")


def parse(value: bytes) -> tuple[str, int]:
    assert zlib.crc32(value[:-4]) == int.from_bytes(value[-4:], "little"), "a torn record"
    name, number, _ = value[:-4].split(b":", 2)
    return name.decode(), int(number)


def main(url: str, topic: str, name: str, count: int, chunk: int) -> None:
    log = open_log(url)
    partitions = len(log.bounds(topic).spans)
    writer = log.writer()
    for first in range(0, count, chunk):
        numbers = range(first, min(first + chunk, count))
        for p in range(partitions):
            writer.append(
                topic, p, [record(name, n) for n in numbers if n % partitions == p], first + 1
            )
        writer.flush()
        print(numbers[-1], flush=True)
    writer.close()
    log.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
