"""Buckets: rows of a Redis Cluster that one command may name together.

A cluster spreads keys over 16,384 slots and answers CROSSSLOT to a command whose keys are of
several. What stands in braces in a key, its hash tag, decides alone, so rows share 256 of them.
Source: Redis Cluster specification, "Keys distribution model" and "Hash tags".
"""

from __future__ import annotations

import zlib
from binascii import crc_hqx
from collections.abc import Sequence
from functools import cache
from itertools import count

BUCKETS = 256
SLOTS = 16_384


def bucket_of(key: bytes) -> int:
    """The bucket of an entity key, the same for every view: the rows that a question reads of one
    entity come by one command."""
    return zlib.crc32(key) % BUCKETS


def slot_of(tag: bytes) -> int:
    """The slot of a key whose hash tag is `tag`.

    >>> slot_of(b"123456789")
    12739
    """
    return crc_hqx(tag, 0) % SLOTS


@cache
def tags() -> Sequence[bytes]:
    """The hash tag of each bucket. Their slots lie evenly, so that servers with equally many slots
    have equally many buckets, within one.

    >>> [slot_of(tag) // 64 for tag in tags()] == list(range(256))
    True
    """
    return [_tag(bucket) for bucket in range(BUCKETS)]


def _tag(bucket: int) -> bytes:
    """The first of `bucket.0`, `bucket.1`, … whose slot is in the bucket's own stretch of them."""
    stretch = SLOTS // BUCKETS
    named = (b"%d.%d" % (bucket, number) for number in count())
    return next(tag for tag in named if slot_of(tag) // stretch == bucket)
