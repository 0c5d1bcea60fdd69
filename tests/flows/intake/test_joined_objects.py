"""JSON that is not one object on a line: pretty printed, joined, in sequences, with marks."""

import json
from io import BufferedReader, BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.intake.event_files import read_lines
from flows.intake.file_forms import FormError, form_of
from flows.intake.json_array import objects
from flows.intake.stream_events import read_events
from tests.state.ingest.test_rows import stream

US = 1_767_225_600_000_000
ONE, TWO = ({"type": "told", "id": i, "time": US, "of": "}{", "yes": True} for i in "ab")


def dumped(value, **options):
    return json.dumps(value, ensure_ascii=False, **options).encode()


FORMS = {
    "pretty": dumped(ONE, indent=2) + b"\n" + dumped(TWO, indent=2),
    "pretty, CRLF": (dumped(ONE, indent=4) + b"\n" + dumped(TWO, indent=4)).replace(b"\n", b"\r\n"),
    "a brace on a line": b"{\n" + dumped(ONE)[1:] + b"\n{\n" + dumped(TWO)[1:],
    "joined": dumped(ONE) + dumped(TWO),
    "with space between": dumped(ONE) + b"   " + dumped(TWO) + b"\n",
    "with commas": dumped(ONE) + b",\n" + dumped(TWO) + b",\n",
    "RFC 7464": b"\x1e" + dumped(ONE) + b"\n\x1e" + dumped(TWO) + b"\n",
    "old line ends": dumped(ONE) + b"\r" + dumped(TWO) + b"\r",
    "a mark before each": b"\xef\xbb\xbf" + dumped(ONE, indent=1) + b"\xef\xbb\xbf" + dumped(TWO),
    "lines, a mark within": dumped(ONE) + b"\n\xef\xbb\xbf" + dumped(TWO) + b"\n",
    "lines": dumped(ONE) + b"\n" + dumped(TWO),
    "lines, CRLF": dumped(ONE) + b"\r\n" + dumped(TWO) + b"\r\n",
}


@pytest.mark.parametrize("name", FORMS)
def test_each_object_is_an_event(tmp_path, name):
    path = tmp_path / "events.json"
    path.write_bytes(FORMS[name])
    assert [json.loads(line.value) for line in read_events(path, stream)] == [ONE, TWO]
    assert [json.loads(line.value) for line in read_lines(path)] == [ONE, TWO]
    is_lines = name.startswith("lines")
    assert form_of(path).form == ("json lines" if is_lines else "json objects")


def test_lines_stay_lines_where_the_first_is_bad(tmp_path):
    path = tmp_path / "events.jsonl"
    for bad in (b'{"id": ', b'{"id": "a"} and more', b'{"id": "a\nb"}', b"{}}"):
        path.write_bytes(bad + b"\n" + dumped(TWO) + b"\n")
        assert form_of(path).form == "json lines"
        assert json.loads([*read_lines(path)][-1].value) == TWO


def test_an_object_that_is_cut_off_is_told_after_those_before_it(tmp_path):
    path = tmp_path / "events.json"
    path.write_bytes(FORMS["pretty"][:-3])
    lines = read_events(path, stream)
    assert json.loads(next(lines).value) == ONE
    with pytest.raises(FormError, match=r"object must end with a brace; got the end.*events\.json"):
        next(lines)


@given(
    values=st.lists(
        st.dictionaries(st.text(), st.recursive(st.text() | st.integers(), st.lists)), max_size=5
    ),
    between=st.sampled_from(["", "\n", ", ", "\r\n\r\n", "\x1e"]),
    indent=st.sampled_from([None, 1]),
)
@settings(deadline=None)
def test_any_objects_come_back(values, between, indent):
    joined = between.join(json.dumps(value, indent=indent) for value in values).encode()
    found = [*objects(BufferedReader(BytesIO(joined)), 10**6)]
    assert [json.loads(value) for value in found] == values


def test_a_large_object_is_read_over_blocks_and_a_larger_one_refused():
    text = json.dumps({"a": 'x"}{' * 100_000}).encode()
    assert [*objects(BufferedReader(BytesIO(text * 3)), len(text))] == [text] * 3
    with pytest.raises(ValueError, match="event must be at most 1000 bytes; got more in object 1"):
        list(objects(BufferedReader(BytesIO(text)), 1000))
