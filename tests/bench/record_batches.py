"""Publishes many small records of one length at once, as no client for records of any kind can.

Kafka's record batches (version 2) and its Produce request (version 3), as the protocol guide has
them (kafka.apache.org/protocol), written by numpy: tens of millions of records take seconds.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
# The most whose number in their batch takes two bytes, of which the first 64 take one.
AT_ONCE = 8192
SHORT = 64
HEAD = struct.Struct(">qiibIhiqqqhii")  # of a batch
CHECKED_FROM = 21  # its checksum is of what follows it
PRODUCE, VERSION = 0, 3
ALL_REPLICAS, PATIENCE_MS = -1, 30_000
CASTAGNOLI = 0x82F63B78  # reversed, RFC 3720, appendix B.4


class Publisher:
    """Appends to one partition of a topic. For benchmarks: it knows one broker, and gives up at
    whatever that refuses."""

    def __init__(self, broker: str, topic: str, partition: int = 0) -> None:
        host, port = broker.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)))
        self._answers = self._socket.makefile("rb")
        self._topic = topic.encode()
        self._partition = partition
        self._tables = tables()

    def append(self, records: U8, time_ms: int) -> None:
        """Append values uint8 `[n, width]` of at most `AT_ONCE` records, and wait for it."""
        batch = encoded(records, time_ms, self._tables)
        request = b"".join(self._request(len(batch)))
        size = struct.pack(">i", len(request) + len(batch))
        self._socket.sendall(size + request + batch)
        (size_of_answer,) = struct.unpack(">i", self._answers.read(4))
        answer = self._answers.read(size_of_answer)
        # Behind number of the request, of topics, the topic, number of partitions, partition.
        at = 4 + 4 + 2 + len(self._topic) + 4 + 4
        (error,) = struct.unpack_from(">h", answer, at)
        if error:
            raise OSError(f"the broker refused records of {self._topic.decode()}: error {error}")

    def _request(self, batch_bytes: int) -> Iterable[bytes]:
        yield struct.pack(">hhih", PRODUCE, VERSION, 0, -1)  # number 0, of a client without a name
        yield struct.pack(">hhi", -1, ALL_REPLICAS, PATIENCE_MS)  # in no transaction
        yield struct.pack(">ih", 1, len(self._topic)) + self._topic
        yield struct.pack(">iii", 1, self._partition, batch_bytes)

    def close(self) -> None:
        self._answers.close()
        self._socket.close()


def encoded(records: U8, time_ms: int, tables_of_sum: npt.NDArray[np.uint32]) -> bytes:
    """A batch of records, all of one time, without keys and headers."""
    count = len(records)
    assert 0 < count <= AT_ONCE
    body = b"".join(
        _lines(records[first:after], first).tobytes()
        for first, after in ((0, min(SHORT, count)), (SHORT, count))
        if first < after
    )
    # Of no producer (-1, -1, -1): it repeats nothing.
    last = count - 1
    rest = (0, last, time_ms, time_ms, -1, -1, -1, count)
    blank = HEAD.pack(0, HEAD.size - 12 + len(body), -1, 2, 0, *rest)
    checked = np.frombuffer(blank[CHECKED_FROM:] + body, np.uint8)
    total = int(checksum(checked, tables_of_sum))
    return HEAD.pack(0, HEAD.size - 12 + len(body), -1, 2, total, *rest) + body


def _lines(records: U8, first: int) -> U8:
    """Records behind their lengths: attributes, time (0 after the batch's), number, no key, value,
    no headers."""
    count, width = records.shape
    numbers = 2 * np.arange(first, first + count)[:, None]
    if first:
        numbers = np.concatenate([numbers & 0x7F | 0x80, numbers >> 7], axis=1)
    no_key, no_headers = 1, 0
    behind = np.frombuffer(bytes([no_key]) + varint(width), np.uint8)
    length = 2 + numbers.shape[1] + behind.size + width + 1
    ahead = np.frombuffer(varint(length) + bytes(2), np.uint8)
    parts = [_each(ahead, count), numbers, _each(behind, count), records]
    parts.append(np.full((count, 1), no_headers))
    return np.concatenate([part.astype(np.uint8, copy=False) for part in parts], axis=1)


def _each(part: U8, count: int) -> U8:
    return np.broadcast_to(part, (count, part.size))


def varint(number: int) -> bytes:
    """A whole number in zigzag, seven bits a byte.

    >>> varint(-1), varint(150)
    (b'\\x01', b'\\xac\\x02')
    """
    left = number << 1 ^ number >> 63
    out = bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)


def tables() -> npt.NDArray[np.uint32]:
    """What `checksum` looks up: the sums of each byte with up to seven zeros behind it."""
    found = np.zeros((8, 256), np.uint32)
    sums = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        sums = np.where(
            sums & 1, sums >> np.uint32(1) ^ np.uint32(CASTAGNOLI), sums >> np.uint32(1)
        )
    found[0] = sums
    for zeros in range(1, 8):
        before = found[zeros - 1]
        found[zeros] = found[0][before & 0xFF] ^ before >> np.uint32(8)
    return found


@nb.njit(cache=True)
def checksum(data: Any, table: Any) -> Any:
    """CRC-32C, eight bytes at a time (Kounavis and Berry, "A systematic approach to building high
    performance, software-based, CRC generators", 2005)."""
    total = np.uint32(0xFFFFFFFF)
    whole = data.size // 8 * 8
    for at in range(0, whole, 8):
        first = total ^ (
            np.uint32(data[at])
            | np.uint32(data[at + 1]) << np.uint32(8)
            | np.uint32(data[at + 2]) << np.uint32(16)
            | np.uint32(data[at + 3]) << np.uint32(24)
        )
        total = (
            table[7, first & np.uint32(0xFF)]
            ^ table[6, first >> np.uint32(8) & np.uint32(0xFF)]
            ^ table[5, first >> np.uint32(16) & np.uint32(0xFF)]
            ^ table[4, first >> np.uint32(24)]
            ^ table[3, data[at + 4]]
            ^ table[2, data[at + 5]]
            ^ table[1, data[at + 6]]
            ^ table[0, data[at + 7]]
        )
    for at in range(whole, data.size):
        total = table[0, (total ^ np.uint32(data[at])) & np.uint32(0xFF)] ^ total >> np.uint32(8)
    return ~total & np.uint32(0xFFFFFFFF)
