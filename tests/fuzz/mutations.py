"""Mutations of a checkpoint that know its structure: what is packed in it is unpacked and repacked.

A tree is what MessagePack says, where bytes that hold MessagePack themselves are nodes too, and
bytes that hold numbers are arrays.
"""

import random
import struct
from typing import Any, NamedTuple

import msgspec

Tree = Any
encode = msgspec.msgpack.encode

INTEGERS = (
    *(0, 1, -1, 2, 7, 63, 64, 255, 4096, 4097, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63),
    *(2**64 - 1, -(2**31), -(2**63), 1_357_000_000_000_000, 4_102_444_800_000_000),
)
FLOATS = (
    *(0.0, -0.0, 1.0, -1.0, 0.5, 1e-300, 1e15, 1e100, 1e300, -1e300, 1.7e308),
    *(float("nan"), float("inf"), float("-inf")),
)


class Packed:
    """Bytes that hold a tree."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree


class Place(NamedTuple):
    """A node, as the container that has it and the key or index there."""

    holder: Any
    key: Any
    path: str

    def get(self) -> Tree:
        return self.holder.tree if isinstance(self.holder, Packed) else self.holder[self.key]

    def put(self, value: Tree) -> None:
        if isinstance(self.holder, Packed):
            self.holder.tree = value
        else:
            self.holder[self.key] = value

    def below(self) -> list["Place"]:
        match self.get():
            case Packed() as node:
                return [Place(node, None, self.path)]
            case dict() as node:
                return [Place(node, key, f"{self.path}.{str(key)[:20]}") for key in node]
            case list() as node:
                return [Place(node, i, f"{self.path}[{i}]") for i in range(len(node))]
        return []


def unpacked(content: bytes) -> Packed:
    """The tree in MessagePack bytes."""
    return Packed(_opened(msgspec.msgpack.decode(content), 0))


def packed(tree: Packed) -> bytes:
    """The bytes of a tree."""
    closed: bytes = _closed(tree)
    return closed


def mutated(tree: Packed, chance: random.Random) -> str:
    """Change a tree in place, at one to three places; return what was done."""
    said = []
    for _ in range(chance.choice((1, 1, 1, 1, 2, 3))):
        place = _chosen(tree, chance)
        before = place.get()
        after = _other(before, chance)
        place.put(after)
        said.append(f"{place.path}: {_short(before)} -> {_short(after)}")
    return "; ".join(said)


def _opened(value: Any, depth: int) -> Tree:
    match value:
        case dict():
            return {key: _opened(of, depth) for key, of in value.items()}
        case list():
            return [_opened(of, depth) for of in value]
        case bytes() if depth < 4 and len(value) > 1 and value[0] >= 0x80:
            try:
                tree = msgspec.msgpack.decode(value)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return value
            return Packed(_opened(tree, depth + 1)) if isinstance(tree, (list, dict)) else value
    return value


def _closed(tree: Tree) -> Any:
    match tree:
        case dict():
            return {key: _closed(of) for key, of in tree.items()}
        case list():
            return [_closed(of) for of in tree]
        case Packed(tree=inner):
            return encode(_closed(inner))
    return tree


def _chosen(tree: Packed, chance: random.Random) -> Place:
    """A node: each level is as likely, however many nodes are below."""
    place = Place(tree, None, "$")
    while below := place.below():
        # The packed part is most of a checkpoint.
        heavy = [one for one in below if isinstance(one.get(), Packed)]
        deeper = chance.choice(heavy if heavy and chance.random() < 0.7 else below)
        if place.path != "$" and not isinstance(place.get(), Packed) and chance.random() < 0.1:
            return place
        place = deeper
    return place


def _other(value: Any, chance: random.Random) -> Any:
    if chance.random() < 0.15:
        return _of_another_type(chance)
    match value:
        case bool() | None:
            return _of_another_type(chance)
        case int():
            near = value + chance.choice((-1000, -64, -8, -1, 1, 2, 8, 64, 1000, 2**20))
            other = (near, -value, chance.choice(INTEGERS), chance.randrange(10**6))
            return min(max(chance.choice(other), -(2**63)), 2**64 - 1)  # what MessagePack holds
        case float():
            return chance.choice((*FLOATS, value * chance.choice((-1, 2, 1e6)), 3))
        case str():
            other = ("", value + "x", value[:-1], "\x00\x1b[31m", "é" * 300, value * 50)
            return chance.choice(other)
        case bytes():
            return _array(value, chance)
        case list():
            return _list(value, chance)
        case dict():
            return _dict(value, chance)
        case Packed():
            content = bytearray(_closed(value))
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            return bytes(content)
    return value


def _of_another_type(chance: random.Random) -> Any:
    deep = msgspec.Raw(b"\x91" * chance.choice((3, 3000)) + b"\x00")
    other = (None, True, -1, 1e308, float("nan"), "x", b"", b"\xc1\xff", [], {}, [[], [1]], 2**63,
             msgspec.msgpack.Ext(5, b"x"), {"": None}, deep)  # fmt: skip
    return chance.choice(other)


def _array(value: bytes, chance: random.Random) -> bytes:
    """Bytes, mostly of numbers: one of them altered, some cut off, doubled, or put elsewhere."""
    n = len(value) // 8
    how = chance.randrange(8)
    if how < 5 and n:
        content = bytearray(value)
        for _ in range(chance.choice((1, 1, 4, n))):
            at = 8 * chance.randrange(n)
            if chance.random() < 0.5:
                number = struct.pack("<d", chance.choice(FLOATS))
            else:
                number = struct.pack("<Q", chance.choice(INTEGERS) % 2**64)
            content[at : at + 8] = number
        return bytes(content)
    cut = 8 * chance.randrange(n + 1)
    other = (value[:-1], value[:cut], value + value, value[cut:] + value[:cut], bytes(len(value)),
             value + bytes(8), b"")  # fmt: skip
    return chance.choice(other)


def _list(value: list[Any], chance: random.Random) -> list[Any]:
    if not value:
        return [_of_another_type(chance)]
    i, j = chance.randrange(len(value)), chance.randrange(len(value))
    swapped = [*value]
    swapped[i], swapped[j] = swapped[j], swapped[i]
    same = [*value]
    same[i] = same[j]
    return chance.choice(
        ([], value[:i], value[:i] + value[i + 1 :], [*value, value[i]], [*value, *value], swapped,
         same, [value[i]] * len(value), [*value, _of_another_type(chance)], value[::-1])
    )  # fmt: skip


def _dict(value: dict[Any, Any], chance: random.Random) -> dict[Any, Any]:
    if not value:
        return {"x": _of_another_type(chance)}
    key = chance.choice(list(value))
    others = {name: of for name, of in value.items() if name != key}
    return chance.choice(
        ({}, others, others | {f"{key}x": value[key]}, value | {"more": _of_another_type(chance)},
         others | {7: value[key]})
    )  # fmt: skip


def _short(value: Any) -> str:
    if isinstance(value, Packed | dict | list):
        return type(value).__name__
    return repr(value[:40] if isinstance(value, bytes | str) else value)
