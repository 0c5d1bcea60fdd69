"""Numbers of JSON objects become what their fields are declared to be; all else stays."""

import json
from dataclasses import replace

import pytest

from state.ingest.objects import Objects
from tests.state.ingest.test_rows import Asked, stream

US = 1_767_225_600_000_000
mended = Objects(stream).of


def raw(**fields):
    return json.dumps({"type": "asked", "id": "a", "time": US, "text": "x", "number": 1} | fields)


@pytest.mark.parametrize(
    ("came", "became"),
    [
        ({"id": 7}, {"id": "7"}),
        ({"text": -12}, {"text": "-12"}),
        ({"maybe": 10**30}, {"maybe": "1" + "0" * 30}),
        ({"id": 7.0}, {"id": "7"}),
        ({"text": -1e3}, {"text": "-1000"}),
        ({"whole": 3.0}, {"whole": 3}),
        ({"whole": 1e2, "id": 0}, {"whole": 100, "id": "0"}),
    ],
)
def test_a_number_takes_the_kind_of_its_field(came, became):
    assert json.loads(mended(raw(**came).encode())) == json.loads(raw(**became))


@pytest.mark.parametrize(
    "value",
    [
        raw(),
        raw(number=2.0),
        raw(whole=1.5),
        raw(whole=2.0**60),
        raw(whole="3"),
        raw(text=1.5),
        raw(text=True),
        raw(text=[1]),
        raw(type="other", id=7),
        raw(type=[1], id=7),
        '{"id": 7}',
        '{"type": "asked", "id": 7',
        "[1]",
        "7",
        '"\ud800"',
        "[" * 10_000,
    ],
)
def test_all_else_stays_byte_for_byte(value):
    came = value.encode(errors="surrogatepass")
    assert mended(came) == came


def test_an_event_stays_as_it_is_written():
    value = b'{ "type":"asked","id":"a", "time":1767225600000000,"text":"x","number":1.0e0 }'
    assert mended(value) == value


def test_where_there_is_one_type_only_it_need_not_be_named():
    one = replace(
        stream,
        events=(Asked,),
        request=Asked,
        label=replace(stream.label, on=Asked, of="text", value=bool),
    )
    assert json.loads(Objects(one).of(b'{"id":7,"time":5,"text":"x","number":1}'))["id"] == "7"
