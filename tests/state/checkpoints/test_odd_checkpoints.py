"""A checkpoint whose digest is right and whose inside is odd is passed over with one line."""

import hashlib
import logging
import re
import resource

import msgspec
import pyarrow as pa
import pytest

from state.checkpoints.names import name_of
from state.checkpoints.store import Checkpoint, CheckpointHead, CheckpointStore

MAGIC = b"headwater checkpoint 1\n"
OFFSET, BOUNDARY = 20, 7


def head(**changes):
    """The parts of a checkpoint, as MessagePack encodes them."""
    made = Checkpoint("rides", 0, OFFSET, {"predictions": 5}, BOUNDARY, True, shard=b"state")
    document = msgspec.to_builtins(made, builtin_types=[bytes]) | changes
    return {name: value for name, value in document.items() if value is not None}


def filed(content, size=None, packed=None):
    """A file with a valid digest."""
    packed = pa.compress(content, codec="zstd", asbytes=True) if packed is None else packed
    body = (len(content) if size is None else size).to_bytes(8, "little") + packed
    return MAGIC + hashlib.sha256(body).digest() + body


def encoded(**changes):
    return filed(msgspec.msgpack.encode(head(**changes)))


ZEROS = pa.compress(bytes(2**30), codec="zstd", asbytes=True)
GOOD = msgspec.msgpack.encode(head())
PACKED = pa.compress(GOOD, codec="zstd", asbytes=True)

ODD = {
    "a list": filed(msgspec.msgpack.encode([1, 2])),
    "a number": filed(b"\x07"),
    "no MessagePack": filed(b"\xc1\xff"),
    "followed by more": filed(GOOD + b"\x00"),
    "cut off": filed(GOOD[:-3]),
    "nested deeply": filed(b"\x91" * 100_000),
    "nested deeply within": filed(
        msgspec.msgpack.encode(head(more=msgspec.Raw(b"\x91" * 50_000 + b"\x00")))
    ),
    "a long array announced": filed(b"\xdd\xff\xff\xff\xff"),
    "no shape": encoded(shape=None),
    "no counters": encoded(counters=None),
    "no shard": encoded(shard=None),
    "shape of another type": encoded(shape=7),
    "offset of another type": encoded(offset=20.0),
    "offset NaN": encoded(offset=float("nan")),
    "shard of another type": encoded(shard=["x"]),
    "counters of another type": encoded(counters=[1]),
    "counters not counted": encoded(counters={"predictions": "5"}),
    "text that is none": filed(GOOD.replace(b"rides", b"\xff\xfe\xff\xfe\xff")),
    "a negative counter": encoded(counters={"predictions": -1}),
    "a counter beyond all": encoded(counters={"predictions": 2**63}),
    "a negative offset": encoded(offset=-20),
    "a negative boundary": encoded(boundary=-7),
    "another offset": encoded(offset=21),
    "another boundary": encoded(boundary=8),
    "not at a boundary": encoded(at_boundary=False),
    "another partition": encoded(partition=1),
    "a negative partition": encoded(partition=-1),
    "zstd cut off": filed(GOOD, packed=PACKED[:-4]),
    "zstd followed by more": filed(GOOD, packed=PACKED + b"x"),
    "zstd that is none": filed(GOOD, packed=b"x" * 50),
    "nothing packed": filed(b"", packed=b""),
    "a size too small": filed(GOOD, size=len(GOOD) - 1),
    "a size too large": filed(GOOD, size=len(GOOD) + 1),
    "a size of 0": filed(GOOD, size=0),
    "a size of a TiB": filed(GOOD, size=2**40),
    "a size beyond all": filed(GOOD, size=2**64 - 1),
    "a bomb": filed(b"", size=2**30, packed=ZEROS),
    "a bomb that lies": filed(b"", size=2**20, packed=ZEROS),
    "a digest alone": MAGIC + hashlib.sha256(b"").digest(),
    "six bytes of a size": MAGIC + hashlib.sha256(b"123456").digest() + b"123456",
}


@pytest.fixture
def store(tmp_path):
    store = CheckpointStore(tmp_path / "checkpoints")
    store.save(Checkpoint("rides", 0, 10, {}, 0, False, shard=b"before"))
    return store


def put(store, content):
    path = store.folder(0) / name_of(OFFSET, BOUNDARY, at_boundary=True)
    path.write_bytes(content)
    return path


def test_what_the_cases_are_made_of_is_read_where_nothing_is_odd(store, caplog):
    put(store, filed(GOOD))
    assert [one.offset for one in store.newest_first(0)] == [20, 10]
    put(store, encoded(more="from a later version"))
    assert [one.offset for one in store.heads(0)] == [20, 10]
    assert not caplog.messages


@pytest.mark.parametrize("form", ODD)
def test_it_is_passed_over_for_the_one_before_with_one_line_that_names_it(store, caplog, form):
    path = put(store, ODD[form])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with caplog.at_level(logging.WARNING):
        assert [one.shard for one in store.newest_first(0)] == [b"before"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 * 1024
    (line,) = caplog.messages
    start = f"checkpoint {path} is damaged or of another version: passed over ("
    assert line.startswith(start)
    assert line.isprintable()
    assert len(line) < len(start) + 400


@pytest.mark.parametrize("form", [form for form in ODD if form != "no shard"])
def test_its_head_is_passed_over_too_or_does_not_tell(store, form):
    put(store, ODD[form])
    heads = list(store.heads(0))
    if form == "shard of another type":
        assert [one.offset for one in heads] == [20, 10]
        assert store.whole(heads[0]) is None
    else:
        assert [one.offset for one in heads] == [10]


def test_dropping_what_is_beyond_an_offset_passes_over_what_it_cannot_read(store, caplog):
    path = put(store, ODD["a list"])
    store.drop_beyond(0, 5, "rides")
    assert path.exists()
    assert [one.offset for one in store.newest_first(0)] == []


@pytest.mark.parametrize("name", ["z.ckpt", ".ckpt", "-.ckpt", "1-x.ckpt", "\u0667-periodic.ckpt"])
def test_a_file_of_another_name_is_not_looked_at(store, caplog, name):
    (store.folder(0) / name).write_bytes(filed(GOOD))
    assert [one.offset for one in store.newest_first(0)] == [10]
    assert store.newest_offset(0) == 10
    assert [one.offset for one in store.written(0)] == [10]
    store.drop_beyond(0, 0, "other")
    store.save(Checkpoint("rides", 0, 11, {}, 0, False, shard=b"later"))
    assert not caplog.messages


def test_a_folder_in_a_file_s_place_is_passed_over(store, caplog):
    path = store.folder(0) / name_of(OFFSET, BOUNDARY, at_boundary=True)
    path.mkdir()
    assert [one.offset for one in store.newest_first(0)] == [10]
    assert re.search(rf"checkpoint {path} is damaged.*got a folder", caplog.text)


def test_however_well_a_state_packs_it_is_read_again(tmp_path, caplog):
    store = CheckpointStore(tmp_path)
    one = Checkpoint("rides", 0, 10, {}, 0, False, shard=bytes(300 * 2**20))
    path = store.save(one)
    assert path.stat().st_size < 2**20
    assert [found.shard == one.shard for found in store.newest_first(0)] == [True]
    assert [type(found) for found in store.heads(0)] == [CheckpointHead]
    assert not caplog.messages
