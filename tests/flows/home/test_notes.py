"""A home's notes that were damaged: one line that names the file."""

import msgspec
import pytest

from flows.__main__ import main
from flows.home.configuration import ConfigurationError
from flows.home.home import Home, read_note
from flows.home.wall_clock import latest_time
from flows.repair.new_home import take_place
from flows.replay.branch import branches_of
from tests.settled import settle

DAMAGED = [b"", b"{", b"null", b"[]", b"{}", b"\xff\xfe\x00", b"[" * 100_000, b'{"number":1e999}']


class Note(msgspec.Struct):
    number: int


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_note_is_refused_by_the_name_of_its_file(tmp_path, content):
    path = tmp_path / "note.json"
    path.write_bytes(content)
    with pytest.raises(
        ConfigurationError, match=rf"^note of a home must be readable; .* in {path}: "
    ):
        read_note(path, Note)


def test_a_note_that_is_not_there_says_nothing(tmp_path):
    assert read_note(tmp_path / "note.json", Note) is None


@pytest.mark.parametrize("time", [b"-1", b"9223372036854775808", b"1e999", b'"now"'])
@pytest.mark.parametrize(("name", "key"), [("clock.json", b"declared"), ("demo.json", b"until")])
def test_what_a_home_declares_is_a_time(tmp_path, name, key, time):
    (tmp_path / name).write_bytes(b'{"%s":%s}' % (key, time))
    with pytest.raises(ConfigurationError, match=f"^note of a home must be readable; .*{name}"):
        latest_time(Home(tmp_path))


@pytest.mark.parametrize("content", DAMAGED)
def test_branches_and_repairs_name_the_note_that_was_damaged(tmp_path, content):
    for path in (tmp_path / "branches/0123456789/branch.json", tmp_path / ".repair/ready"):
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"must be readable; .*branch\.json"):
        branches_of(Home(tmp_path))
    with pytest.raises(ConfigurationError, match=r"must be readable; .*/ready"):
        take_place(tmp_path)


@pytest.mark.parametrize("words", [["doctor", "--repair"], ["ingest", "none.jsonl"]])
def test_every_verb_that_needs_the_clock_tells_of_its_note(tmp_path, monkeypatch, capsys, words):
    settle(tmp_path, monkeypatch, 'stream = "quotes"\n')
    (tmp_path / "none.jsonl").touch()
    assert main(["ingest", "none.jsonl"]) == 0
    path = tmp_path / "home" / "clock.json"
    path.write_bytes(b"{")
    capsys.readouterr()
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith("headwater: note of a home must be readable; got ")
    assert said.endswith(f" in {path}: restore it from a copy\n")
