"""A produce request byte by byte: what librdkafka and Kafka's own client would not send.

https://kafka.apache.org/protocol and https://kafka.apache.org/documentation/#recordbatch
"""

import socket
import struct
from collections.abc import Mapping

_CASTAGNOLI = 0x82F63B78


def produce(bootstrap: str, topic: str, value: bytes, headers: Mapping[bytes, bytes]) -> None:
    """Append one record to partition 0, with headers whose names may be any bytes."""
    host, _, port = bootstrap.rpartition(":")
    batch = _batch(_record(value, headers))
    name = struct.pack(">h", len(topic)) + topic.encode()
    # Of version 7, without a client's id and a transaction; once it is there, one answers.
    request = struct.pack(">hhihhhii", 0, 7, 1, -1, -1, -1, 15_000, 1) + name
    request += struct.pack(">iii", 1, 0, len(batch)) + batch
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        with connection.makefile("rb") as answers:
            (size,) = struct.unpack(">i", answers.read(4))
            answer = answers.read(size)
    (code,) = struct.unpack_from(">h", answer, 4 + 4 + len(name) + 4 + 4)
    assert code == 0, code


def _record(value: bytes, headers: Mapping[bytes, bytes]) -> bytes:
    content = b"\0" + _number(0) + _number(0) + _number(-1) + _sized(value) + _number(len(headers))
    content += b"".join(_sized(part) for header in headers.items() for part in header)
    return _sized(content)


def _batch(record: bytes) -> bytes:
    content = struct.pack(">hiqqqhii", 0, 0, 0, 0, -1, -1, -1, 1) + record
    sum_of_it = struct.pack(">ibI", -1, 2, _crc32c(content)) + content
    return struct.pack(">qi", 0, len(sum_of_it)) + sum_of_it


def _sized(content: bytes) -> bytes:
    return _number(len(content)) + content


def _number(number: int) -> bytes:
    """As a zigzag varint."""
    left, content = number << 1 ^ number >> 63, bytearray()
    while left > 127:
        content.append(left & 127 | 128)
        left >>= 7
    return bytes([*content, left])


def _crc32c(content: bytes) -> int:
    found = 0xFFFFFFFF
    for byte in content:
        found ^= byte
        for _ in range(8):
            found = found >> 1 ^ _CASTAGNOLI if found & 1 else found >> 1
    return found ^ 0xFFFFFFFF
