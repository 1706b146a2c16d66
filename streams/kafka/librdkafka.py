"""librdkafka's C interface, as far as reading needs it: the very library that confluent-kafka's
wheel brings."""

from __future__ import annotations

import ctypes
import functools
import struct
from ctypes import (
    CFUNCTYPE,
    POINTER,
    c_char_p,
    c_int,
    c_int32,
    c_int64,
    c_size_t,
    c_ssize_t,
    c_void_p,
)
from pathlib import Path
from typing import Any

import confluent_kafka

# RD_KAFKA_CONSUMER, RD_KAFKA_CONF_OK and RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS of rdkafka.h.
CONSUMER = 1
CONF_OK = 0
ASSIGN_PARTITIONS = -175


class Part(ctypes.Structure):
    """rd_kafka_topic_partition_t"""

    _fields_ = (
        ("topic", c_char_p),
        ("partition", c_int32),
        ("offset", c_int64),
        ("metadata", c_void_p),
        ("metadata_size", c_size_t),
        ("opaque", c_void_p),
        ("error", c_int),
        ("private", c_void_p),
    )


class PartList(ctypes.Structure):
    """rd_kafka_topic_partition_list_t"""

    _fields_ = (("count", c_int), ("size", c_int), ("parts", POINTER(Part)))


class Message(ctypes.Structure):
    """rd_kafka_message_t; `streams/kafka/librdkafka_kernels.py` reads it by offset."""

    _fields_ = (
        ("error", c_int),
        ("topic", c_void_p),
        ("partition", c_int32),
        ("payload", c_void_p),
        ("length", c_size_t),
        ("key", c_void_p),
        ("key_length", c_size_t),
        ("offset", c_int64),
        ("private", c_void_p),
    )


RebalanceCallback = CFUNCTYPE(None, c_void_p, c_int, POINTER(PartList), c_void_p)
ErrorCallback = CFUNCTYPE(None, c_void_p, c_int, c_char_p, c_void_p)
LogCallback = CFUNCTYPE(None, c_void_p, c_int, c_char_p, c_char_p)
_LIST = POINTER(PartList)
# Declared one by one: ctypes takes what it is not told for an int, and cuts pointers.
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "version": (c_int, []),
    "conf_new": (c_void_p, []),
    "conf_destroy": (None, [c_void_p]),
    "conf_set": (c_int, [c_void_p, c_char_p, c_char_p, c_char_p, c_size_t]),
    "conf_set_rebalance_cb": (None, [c_void_p, RebalanceCallback]),
    "conf_set_error_cb": (None, [c_void_p, ErrorCallback]),
    "conf_set_log_cb": (None, [c_void_p, LogCallback]),
    "new": (c_void_p, [c_int, c_void_p, c_char_p, c_size_t]),
    "set_log_queue": (c_int, [c_void_p, c_void_p]),
    "poll_set_consumer": (c_int, [c_void_p]),
    "queue_get_consumer": (c_void_p, [c_void_p]),
    "queue_destroy": (None, [c_void_p]),
    "topic_partition_list_new": (_LIST, [c_int]),
    "topic_partition_list_add": (POINTER(Part), [_LIST, c_char_p, c_int32]),
    "topic_partition_list_destroy": (None, [_LIST]),
    "subscribe": (c_int, [c_void_p, _LIST]),
    "assign": (c_int, [c_void_p, _LIST]),
    "incremental_assign": (c_void_p, [c_void_p, _LIST]),
    "incremental_unassign": (c_void_p, [c_void_p, _LIST]),
    "assignment_lost": (c_int, [c_void_p]),
    "seek_partitions": (c_void_p, [c_void_p, _LIST, c_int]),
    "pause_partitions": (c_int, [c_void_p, _LIST]),
    "resume_partitions": (c_int, [c_void_p, _LIST]),
    "commit": (c_int, [c_void_p, _LIST, c_int]),
    "consume_batch_queue": (c_ssize_t, [c_void_p, c_int, c_void_p, c_size_t]),
    "message_headers": (c_int, [c_void_p, c_void_p]),
    "header_get_last": (c_int, [c_void_p, c_char_p, c_void_p, c_void_p]),
    "header_get_all": (c_int, [c_void_p, c_size_t, c_void_p, c_void_p, c_void_p]),
    "message_errstr": (c_char_p, [c_void_p]),
    "message_destroy": (None, [c_void_p]),
    "message_timestamp": (c_int64, [c_void_p, c_void_p]),
    "topic_name": (c_char_p, [c_void_p]),
    "error_code": (c_int, [c_void_p]),
    "error_string": (c_char_p, [c_void_p]),
    "error_destroy": (None, [c_void_p]),
    "consumer_close": (c_int, [c_void_p]),
    "destroy": (None, [c_void_p]),
}


@functools.cache
def load() -> Any:
    """The library; its functions are attributes without their `rd_kafka_`. Raises `OSError` if it
    is not there."""
    root = Path(confluent_kafka.__file__).parent
    found = [
        *root.parent.glob("confluent_kafka.libs/librdkafka*.so*"),
        *root.glob(".dylibs/librdkafka*.dylib"),
    ]
    if not found:
        raise OSError("confluent-kafka came without a librdkafka of its own")
    library = ctypes.CDLL(str(found[0]))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, f"rd_kafka_{name}")
        function.restype = result
        function.argtypes = arguments
        setattr(library, name, function)
    # Two copies in one process would be two libraries, and callbacks of one unknown to the other.
    if library.version() != confluent_kafka.libversion()[1]:
        raise OSError("this librdkafka is not the one that confluent-kafka uses")
    return library


def available() -> bool:
    """Whether the library is there and laid out as `Message` says (any 64-bit system)."""
    if struct.calcsize("P") != 8 or ctypes.sizeof(Message) != 72:
        return False
    try:
        load()
    except (OSError, AttributeError):
        return False
    return True
