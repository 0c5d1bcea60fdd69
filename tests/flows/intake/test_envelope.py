import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flows.intake.envelope import unwrap, wrap

append_times = st.integers(0, 2**63 - 1)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
objects = st.dictionaries(st.text(), json_values).map(lambda value: json.dumps(value).encode())


@settings(deadline=None)
@given(append_times, st.binary() | objects)
@example(0, b"")
@example(1, b'{"a":1}\r')
@example(1, b'{"a":1},"event":{"b":2}')
@example(1, b'{}},"base64":{')
@example(1, b'{"append_time":1,"event":{}}')
@example(1, b'{"append_time":1,"base64":"AA=="}')
@example(1, b'{"a":"\xff"}')
@example(1, b'{"a":\n1}')
@example(1, b'{"a":' * 5000 + b"1" + b"}" * 5000)
@example(1, b'{"a":' * 300 + b"1" + b"}" * 300)
@example(1, b"{" * 10_000_000)
@example(1, b'{"a":"' + b"x" * 10_000_000 + b'"}')
def test_what_is_wrapped_comes_back_from_one_line_of_json(append_time, value):
    line = wrap(append_time, value)
    assert b"\n" not in line
    assert unwrap(line) == (value, append_time)
    if value.count(b"{") < 500:
        assert json.loads(line.decode())["append_time"] == append_time


@settings(deadline=None)
@given(objects)
def test_events_stay_readable(value):
    if value.count(b"[") + value.count(b"{") <= 200:
        assert json.loads(wrap(7, value))["event"] == json.loads(value)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"garbage",
        b'{"type":"seen","id":"a"}',
        b'{"append_time":1}',
        b'{"append_time":-1,"event":{}}',
        b'{"append_time":9223372036854775808,"event":{}}',
        b'{"append_time":1,"event":{},"base64":"AA=="}',
        b'{"append_time":1,"event":{},"more":1}',
        b'{"append_time":1,"base64":"?"}',
        b'{"append_time":1,"event":{"a":' + b"[" * 5000,
    ],
)
def test_any_other_line_is_the_value_itself(line):
    assert unwrap(line) == (line, None)


def test_an_envelope_laid_out_by_other_tools_is_read():
    assert unwrap(b'{"append_time": 5, "event": {"id": "a"} }') == (b'{"id": "a"}', 5)


def test_how_deep_the_caller_is_changes_nothing():
    def deeper(levels, line):
        return deeper(levels - 1, line) if levels else unwrap(line)

    for depth in (100, 199, 201, 400, 700):
        value = b'{"a":' * depth + b"1" + b"}" * depth
        assert deeper(500, wrap(1, value)) == (value, 1)
