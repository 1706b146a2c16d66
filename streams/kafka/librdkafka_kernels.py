"""Turns librdkafka's messages into columns, and gives them back to it, without a Python object per
message."""

from __future__ import annotations

import ctypes
from typing import Any

import llvmlite.binding
import numba as nb
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from freshet.streams.kafka import librdkafka

U64 = npt.NDArray[np.uint64]
I32 = npt.NDArray[np.int32]
_TOPIC, _PARTITION, _PAYLOAD, _LENGTH, _KEY, _KEY_LENGTH, _OFFSET = (
    np.uint64(getattr(librdkafka.Message, name).offset)
    for name in ("topic", "partition", "payload", "length", "key", "key_length", "offset")
)


def _symbol(name: str) -> None:
    """Make a function of the library known by name to compiled (and cached) code."""
    address = ctypes.cast(getattr(librdkafka.load(), name), ctypes.c_void_p).value
    llvmlite.binding.add_symbol(f"rd_kafka_{name}", address)


# How it hands out values was looked up in this version (`rd_kafka_msgset_reader_msg_v2`). Kernels
# are given it: what is compiled is kept, whatever library is installed after that.
IN_PLACE = librdkafka.load().version() >> 24 == 2
_symbol("message_destroy")
_symbol("message_timestamp")
_symbol("message_headers")
_symbol("header_get_last")
_symbol("header_get_all")
_destroy = types.ExternalFunction("rd_kafka_message_destroy", types.void(types.uint64))
_timestamp = types.ExternalFunction(
    "rd_kafka_message_timestamp", types.int64(types.uint64, types.uint64)
)
_headers = types.ExternalFunction(
    "rd_kafka_message_headers", types.int32(types.uint64, types.uint64)
)
_last_header = types.ExternalFunction(
    "rd_kafka_header_get_last", types.int32(types.uint64, types.uint64, types.uint64, types.uint64)
)
_header = types.ExternalFunction(
    "rd_kafka_header_get_all",
    types.int32(types.uint64, types.uint64, types.uint64, types.uint64, types.uint64),
)
_length_of = types.ExternalFunction("strlen", types.uint64(types.uint64))
_copy = types.ExternalFunction("memcpy", types.uint64(types.uint64, types.uint64, types.uint64))


def _loader(bits: int, result: Any) -> Any:
    @intrinsic
    def load(context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.load(builder.inttoptr(arguments[0], ir.IntType(bits).as_pointer()))

        return result(types.uint64), generate

    return load


_u64 = _loader(64, types.uint64)
_i64 = _loader(64, types.int64)
_i32 = _loader(32, types.int32)
_u8 = _loader(8, types.uint8)
_PAGE = np.uint64(4096)  # of memory, at least: what lies in one is there as a whole


@nb.njit("(uint64, uint64)", nogil=True, cache=True)
def _same_partition(one: Any, other: Any) -> Any:
    """Whether two messages are of one partition; a topic has one handle in a client."""
    return _u64(one + _TOPIC) == _u64(other + _TOPIC) and _i32(one + _PARTITION) == _i32(
        other + _PARTITION
    )


@nb.njit("(uint64[::1],)", nogil=True, cache=True)
def survey(messages: U64) -> Any:
    """Group message pointers by partition.

    Returns the group of each message (int32, -1 for an error), and by group: index of its first
    message, count, bytes of its values, and how many have none (int64).
    """
    most = messages.size
    group = np.empty(most, np.int32)
    first = np.empty(most, np.int64)
    count = np.zeros(most, np.int64)
    size = np.zeros(most, np.int64)
    nulls = np.zeros(most, np.int64)
    groups = 0
    own = -1
    for i in range(most):
        message = messages[i]
        # The error comes first in librdkafka's struct.
        if _i32(message) != 0:
            group[i] = -1
            continue
        # A message mostly has the partition of the one before it: librdkafka hands them out so.
        if own < 0 or not _same_partition(messages[first[own]], message):
            own = 0
            while own < groups and not _same_partition(messages[first[own]], message):
                own += 1
            if own == groups:
                first[own] = i
                groups += 1
        group[i] = own
        count[own] += 1
        length = _i64(message + _LENGTH)
        size[own] += length
        # An empty value has an address.
        if length == 0 and _u64(message + _PAYLOAD) == 0:
            nulls[own] += 1
    return group, first[:groups], count[:groups], size[:groups], nulls[:groups]


@nb.njit("(uint64[::1], int32[::1], int64, int64, int64)", nogil=True, cache=True)
def copy_out(messages: U64, group: I32, wanted: int, count: int, size: int) -> Any:
    """Copy out the messages of group `wanted`: data uint8, edges int64 `[count + 1]`, offsets and
    times int64."""
    data = np.empty(size, np.uint8)
    edges = np.zeros(count + 1, np.int64)
    offsets = np.empty(count, np.int64)
    times = np.empty(count, np.int64)
    base = np.uint64(data.ctypes.data)
    taken = 0
    for i in range(messages.size):
        if group[i] == wanted:
            message = messages[i]
            length = _i64(message + _LENGTH)
            # A record without a value has no address either.
            if length > 0:
                _copy(
                    base + np.uint64(edges[taken]),
                    _u64(message + _PAYLOAD),
                    np.uint64(length),
                )
            edges[taken + 1] = edges[taken] + length
            offsets[taken] = _i64(message + _OFFSET)
            # NULL: which kind of time it is, nobody asks.
            times[taken] = _timestamp(message, np.uint64(0))
            taken += 1
    return data, edges, offsets, times


@nb.njit("(uint64, boolean)", nogil=True, cache=True)
def _may_have_headers(message: Any, in_place: Any) -> Any:
    """Whether it is worth to ask the library, which allocates and frees memory to find none: half
    of what reading costs.

    It hands out values where they lie in what the broker sent, and there the number of a record's
    headers follows its value (Kafka's message format 2; older ones have none): zero is one byte.
    """
    length = _i64(message + _LENGTH)
    after = _u64(message + _PAYLOAD) + np.uint64(length)
    # Of no bytes nothing is known about where they lie; and what an older format ends with may be
    # the last that there is, so no byte of another page is looked at.
    if not in_place or length <= 0 or after % _PAGE == 0:
        return True
    return _u8(after) != 0


@nb.njit("(uint64[::1], int32[::1], int64, boolean[::1], boolean)", nogil=True, cache=True)
def look_beside(messages: U64, group: I32, wanted: int, nulls: Any, in_place: bool) -> Any:
    """Say which of the messages of group `wanted` have no value (bool `[count]`); whether any of
    them has a key, and whether any has headers. Most topics have neither, and then nothing of
    either need be copied, which takes several more rounds through all messages."""
    has_keys = False
    has_headers = False
    # Where the library would write the headers that it finds.
    told = np.zeros(1, np.uint64)
    to = np.uint64(told.ctypes.data)
    taken = 0
    for i in range(messages.size):
        if group[i] == wanted:
            message = messages[i]
            nulls[taken] = _u64(message + _PAYLOAD) == 0
            has_keys |= _u64(message + _KEY) != 0
            # It answers with an error where there is none.
            if not has_headers and _may_have_headers(message, in_place):
                has_headers = _headers(message, to) == 0
            taken += 1
    return has_keys, has_headers


@nb.njit("(uint64[::1], int32[::1], int64, int64, boolean)", nogil=True, cache=True)
def copy_keys(messages: U64, group: I32, wanted: int, count: int, every: bool) -> Any:
    """Which messages of group `wanted` have no value, bool `[count]`, and copies of their keys, or
    of `every` one's: data uint8 (not empty), edges int64 `[count + 1]`, and which have one, bool
    `[count]`."""
    nulls = np.zeros(count, np.bool_)
    there = np.zeros(count, np.bool_)
    edges = np.zeros(count + 1, np.int64)
    taken = 0
    for i in range(messages.size):
        if group[i] == wanted:
            message = messages[i]
            edges[taken + 1] = edges[taken]
            if _u64(message + _PAYLOAD) == 0:
                nulls[taken] = True
            if every or nulls[taken]:
                there[taken] = _u64(message + _KEY) != 0
                edges[taken + 1] += _i64(message + _KEY_LENGTH)
            taken += 1
    data = np.zeros(max(1, edges[count]), np.uint8)
    base = np.uint64(data.ctypes.data)
    taken = 0
    for i in range(messages.size):
        if group[i] == wanted:
            length = edges[taken + 1] - edges[taken]
            if length > 0:
                key = _u64(messages[i] + _KEY)
                _copy(
                    base + np.uint64(edges[taken]),
                    key,
                    np.uint64(length),
                )
            taken += 1
    return nulls, data, edges, there


@nb.njit("(uint64[::1], int32[::1], int64, uint8[::1])", nogil=True, cache=True)
def copy_headers(messages: U64, group: I32, wanted: int, name: Any) -> Any:
    """Copies of the last header called `name` (which ends with a zero byte) of each of the `n`
    messages of group `wanted`: data uint8 (not empty), edges int64 `[n + 1]`, and which have one
    that is not null, bool `[n]`."""
    count = 0
    for i in range(messages.size):
        if group[i] == wanted:
            count += 1
    found = np.zeros(count, np.uint64)
    edges = np.zeros(count + 1, np.int64)
    # Where the library writes what it finds: all headers of a message, one's bytes, their number.
    told = np.zeros(3, np.uint64)
    to = np.uint64(told.ctypes.data)
    named = np.uint64(name.ctypes.data)
    taken = 0
    for i in range(messages.size):
        if group[i] == wanted:
            edges[taken + 1] = edges[taken]
            # Both answer with an error where there is none.
            if _headers(messages[i], to) == 0:
                error = _last_header(
                    told[0],
                    named,
                    to + np.uint64(8),
                    to + np.uint64(16),
                )
                if error == 0 and told[1] != 0:
                    found[taken] = told[1]
                    edges[taken + 1] += np.int64(told[2])
            taken += 1
    data = np.zeros(max(1, edges[count]), np.uint8)
    base = np.uint64(data.ctypes.data)
    for i in range(count):
        length = edges[i + 1] - edges[i]
        if length > 0:
            _copy(
                base + np.uint64(edges[i]),
                found[i],
                np.uint64(length),
            )
    return data, edges, found != 0


@nb.njit("(uint64[::1], int32[::1], int64, int64, boolean)", nogil=True, cache=True)
def copy_all_headers(messages: U64, group: I32, wanted: int, count: int, in_place: bool) -> Any:
    """Copies of all headers of the `count` messages of group `wanted`: whose they are, edges int32
    `[count + 1]`; names and values, each as data uint8 and edges int32 `[headers + 1]`; and which
    have a value, bool `[headers]`."""
    edges = np.zeros(count + 1, np.int32)
    # Where the library writes what it finds: the headers of a message; a name, a value, its bytes.
    told = np.zeros(4, np.uint64)
    to = np.uint64(told.ctypes.data)
    to_name = to + np.uint64(8)
    to_value = to + np.uint64(16)
    to_size = to + np.uint64(24)
    taken = 0
    for i in range(messages.size):
        if group[i] == wanted:
            found = np.uint64(0)
            # Both answer with an error where there is none, or none any more.
            if _may_have_headers(messages[i], in_place) and _headers(messages[i], to) == 0:
                while _header(told[0], found, to_name, to_value, to_size) == 0:
                    found += np.uint64(1)
            edges[taken + 1] = edges[taken] + np.int32(found)
            taken += 1
    headers = edges[count]
    name_edges = np.zeros(headers + 1, np.int32)
    value_edges = np.zeros(headers + 1, np.int32)
    names_at = np.zeros(headers, np.uint64)
    values_at = np.zeros(headers, np.uint64)
    taken = 0
    at = 0
    for i in range(messages.size):
        if group[i] == wanted:
            own = edges[taken + 1] - edges[taken]
            if own > 0:
                _headers(messages[i], to)
            for number in range(own):
                _header(
                    told[0],
                    np.uint64(number),
                    to_name,
                    to_value,
                    to_size,
                )
                names_at[at] = told[1]
                values_at[at] = told[2]
                name_edges[at + 1] = name_edges[at] + np.int32(_length_of(told[1]))
                value_edges[at + 1] = value_edges[at] + np.int32(told[3])
                at += 1
            taken += 1
    names = np.zeros(max(1, name_edges[headers]), np.uint8)
    values = np.zeros(max(1, value_edges[headers]), np.uint8)
    to_names = np.uint64(names.ctypes.data)
    to_values = np.uint64(values.ctypes.data)
    for at in range(headers):
        length = name_edges[at + 1] - name_edges[at]
        if length > 0:
            _copy(
                to_names + np.uint64(name_edges[at]),
                names_at[at],
                np.uint64(length),
            )
        length = value_edges[at + 1] - value_edges[at]
        if length > 0:
            _copy(
                to_values + np.uint64(value_edges[at]),
                values_at[at],
                np.uint64(length),
            )
    return edges, names, name_edges, values, value_edges, values_at != 0


@nb.njit("(uint64[::1],)", nogil=True, cache=True)
def give_back(messages: U64) -> None:
    """Free the messages."""
    for i in range(messages.size):
        _destroy(messages[i])
