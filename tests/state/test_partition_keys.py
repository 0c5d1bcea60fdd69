"""Each event type goes to its partition by a way that the stream declares."""

from dataclasses import replace

import msgspec
import pytest

from state.label import Label
from state.stream import Stream
from tests.rides import Asked, Ended, Rain, records, stream

ROUTED = replace(stream, key={Asked: "city", Ended: "of", Rain: None}, partitions=3)
EVENTS = [stream.decoder().decode(record.value) for record in records(60)]


def test_each_event_type_has_the_key_of_its_own_field():
    key, peek = ROUTED.key_of(), ROUTED.peek()
    fields = {Asked: "city", Ended: "of"}
    for event in EVENTS:
        wanted = getattr(event, fields[type(event)]) if type(event) in fields else ""
        assert key(event) == wanted
        assert peek(msgspec.json.encode(event)) == (event.time, wanted.encode())
    assert {type(event) for event in EVENTS} == {Asked, Ended, Rain}
    assert ROUTED.key_fields[Rain] is None


@pytest.mark.parametrize(
    "value",
    [b"", b"{", b'{"type":"rode","time":5}', b'{"type":"asked","time":5}', b"[" * 5_000,
     b'{"type":"ended","time":5,"of":7}', b'{"type":"ended","time":-5,"of":"a"}', b"\xff"],
)  # fmt: skip
def test_what_is_no_event_has_neither_time_nor_key(value):
    assert ROUTED.peek()(value) == (None, b"")


def test_without_a_key_events_need_no_field_for_it():
    peek = stream.peek()
    assert stream.key is None
    for event in EVENTS:
        assert stream.key_of()(event) == ""
        assert peek(msgspec.json.encode(event)) == (event.time, b"")


def test_a_label_by_key_goes_with_the_partition_key():
    told = Label(
        on=Ended, by={"city": "city", "driver": "driver"}, value=lambda event: event.late > 5,
        deadline=lambda request: request.time, silence=None, delay="1h",
    )  # fmt: skip
    made = replace(stream, label=told, key="city", partitions=3)
    assert isinstance(made, Stream)
    assert made.label.fields == {"city": "city", "driver": "driver"}
