"""`headwater dead-letters` and `headwater clocks` on the embedded log."""

import json
from pathlib import Path

import msgspec
import pytest

from flows.__main__ import main
from flows.home.configuration import find_stream, load_settings
from flows.home.home import Home
from flows.intake.foreign_ingest import event_or_letter, mapper_of
from state.events import HOUR_US, SECOND_US
from state.ingest.mapping import Foreign
from state.log import EVENTS, Entry

START_US = 1_767_225_600_000_000


def trade(i, *, time_us, source="one", **fields):
    event = {"type": "trade", "id": f"t{i}", "time": time_us, "source": source}
    return json.dumps(event | {"account": "a", "symbol": "s", "amount": 2.0} | fields).encode()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home that has read ten trades, two of them three hours ahead, and two bad records."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADWATER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HEADWATER_CONFIG", raising=False)
    (tmp_path / "headwater.toml").write_text(
        'stream = "quotes"\npartitions = 2\n[training]\ntrainer = "external"\nwait = false\n'
    )
    (tmp_path / "none.jsonl").touch()
    assert main(["ingest", "none.jsonl"]) == 0
    append(*(trade(i, time_us=START_US + i * SECOND_US) for i in range(8)))
    append(*(trade(i, time_us=START_US + 3 * HOUR_US, source="two") for i in (8, 9)))
    append(b"{", trade(10, time_us=START_US, amount=-1.0))
    assert main(["run"]) == 0
    return Home(tmp_path / "home")


def append(*values, at_us=START_US + 10 * SECOND_US):
    log = Home.of({"HEADWATER_HOME": "home"}).log()
    log.append(EVENTS, 0, [Entry(at_us, b"s", value) for value in values])
    log.close()


def values(topic):
    log = Home.of({"HEADWATER_HOME": "home"}).log()
    held = [r.value for p in range(log.partitions(topic)) for r in log.read(topic, p, 0)]
    log.close()
    return held


def counts(capsys, *words):
    capsys.readouterr()
    assert main(["dead-letters", "--json", *words]) == 0
    told = json.loads(capsys.readouterr().out)
    return {one["reason"]: (one["letters"], one["open"]) for one in told["counts"]}, told["letters"]


def test_letters_are_counted_and_listed(home, capsys):
    told, letters = counts(capsys, "--limit", "3")
    assert told == {"clock_skew": (2, 2), "malformed": (1, 1), "invalid": (1, 1)}
    assert len(letters) == 3
    told, (letter,) = counts(capsys, "--reason", "malformed")
    assert told == {"malformed": (1, 1)}
    assert (letter["content"]["offset"], letter["is_open"]) == (10, True)
    assert main(["dead-letters"]) == 0
    said = capsys.readouterr().out
    assert "clock_skew  events" in said
    assert "events/0 at 11" in said
    assert "10790 s ahead" in said


def test_equal_reasons_are_one_group_with_its_newest_record_in_clear_text(home, capsys):
    append(trade(20, time_us=START_US, amount=-7.5), b'{"type":"tirade","id":"x"}', b'{"id":"y"}')
    assert main(["run"]) == 0
    capsys.readouterr()
    assert main(["dead-letters"]) == 0
    said = capsys.readouterr().out.splitlines()
    at = said.index("2 invalid: Expected `float` > 0.0 - at `$.amount`")
    assert said[at + 1].startswith("  events/0 at 12, 2026-01-01 00:00: {")
    assert '"id": "t20"' in said[at + 1]
    types = "the types are " + ", ".join(
        sorted(event.__struct_config__.tag for event in find_stream("quotes").events)
    )
    assert f"1 unknown_type: Invalid value 'tirade' - at `$.type`: {types}" in said
    assert f"1 unknown_type: Object missing required field `type`: {types}" in said
    assert "2 clock_skew: 10790 s ahead of its append time" in said
    assert main(["dead-letters", "--limit", "1"]) == 0
    assert "and 4 more reasons" in capsys.readouterr().out


def test_a_time_as_text_in_the_log_takes_part_when_it_is_tried_again(home, capsys):
    told = json.loads(trade(30, time_us=START_US)) | {"time": "2026-01-01T00:00:05Z"}
    append(json.dumps(told).encode())
    assert main(["run"]) == 0
    letters = counts(capsys, "--reason", "invalid")[1]
    assert any("Expected `int`, got `str`" in one["content"]["detail"] for one in letters)
    assert main(["dead-letters", "--again", "--reason", "invalid"]) == 0
    assert main(["run"]) == 0
    assert counts(capsys, "--reason", "invalid")[0] == {"invalid": (3, 1)}
    assert b'"time":%d' % (START_US + 5 * SECOND_US) in b"".join(values(EVENTS))


def test_quarantined_events_take_part_once_their_time_has_come(home, capsys):
    append(trade(11, time_us=START_US + 3 * HOUR_US), at_us=START_US + 3 * HOUR_US)
    assert main(["dead-letters", "--again", "--reason", "clock_skew"]) == 0
    said = capsys.readouterr().out
    assert "2 retried: 2 appended to events, 0 refused again" in said
    assert main(["dead-letters", "--again", "--reason", "clock_skew"]) == 0
    assert capsys.readouterr().out.startswith("0 retried")
    assert len(values(EVENTS)) == 15
    assert main(["run"]) == 0
    told, _ = counts(capsys)
    assert told == {"clock_skew": (2, 0), "malformed": (1, 1), "invalid": (1, 1)}


def test_a_large_record_is_appended_again_whole(home, capsys):
    large = trade(12, time_us=START_US, pad="x" * 70_000, amount=-1.0)
    append(large)
    assert main(["run"]) == 0
    assert main(["dead-letters", "--again", "--reason", "invalid"]) == 0
    assert "2 appended to events" in capsys.readouterr().out
    assert sum(value == large for value in values(EVENTS)) == 2
    assert main(["run"]) == 0
    told, _ = counts(capsys)
    assert told["invalid"] == (4, 2)  # refused again, each a new letter


def test_a_large_record_that_is_gone_keeps_no_other_from_its_try(home, capsys):
    append(trade(12, time_us=START_US, pad="x" * 70_000, amount=-1.0))
    append(trade(13, time_us=START_US, amount=-1.0))
    assert main(["run"]) == 0
    log = home.log()
    log.trim(EVENTS, 0, log.end(EVENTS, 0) - 1)
    log.close()
    assert main(["dead-letters", "--again", "--reason", "invalid"]) == 0
    said = capsys.readouterr().out
    assert "2 appended to events, 0 refused again; 1 skipped: their whole records are" in said


@pytest.mark.parametrize("big", ["value", "key", "header"])
def test_a_foreign_record_that_was_cut_is_not_tried_as_a_stump(home, capsys, big):
    with Path("headwater.toml").open("a") as settings:
        settings.write('[[ingest.topics]]\ntopic = "t"\nevent = "trade"\n')
    mapper = mapper_of(load_settings(), find_stream("quotes"))
    large = b"x" * 9 * 2**20
    whole, cut = (
        event_or_letter(mapper, Foreign("t", 0, n, 0, key, headers, value))
        for n, key, headers, value in (
            (0, b"", {}, b"{}"),
            (
                1,
                large * (big == "key"),
                {"h": large * (big == "header")},
                b"{}" + large * (big == "value"),
            ),
        )
    )
    log = home.log()
    encoded = [Entry(0, b"", msgspec.json.encode(letter)) for letter in (cut, whole)]
    log.append("dead_letters", 2, encoded)
    log.close()
    for _ in range(2):
        assert main(["dead-letters", "--again", "--reason", cut.reason, "--reason", "invalid"]) == 0
        said = capsys.readouterr().out
        assert "1 refused again; 1 skipped: their whole records are no longer there" in said
    _, letters = counts(capsys)
    foreign = [one for one in letters if one["content"].get("topic")]
    # Of 0 it is the newest, which it got when it was tried.
    assert {one["content"]["offset"] for one in foreign if one["is_open"]} == {0, 1}
    assert len(foreign) == 4


@pytest.mark.parametrize("reason", ["duplicate", "late", "unmatched"])
def test_what_cannot_pass_is_not_tried(home, capsys, reason):
    assert main(["dead-letters", "--again", "--reason", reason]) == 2
    assert f"got '{reason}': a retry cannot help" in capsys.readouterr().err


def test_clocks_are_compared_by_source(home, capsys):
    capsys.readouterr()
    assert main(["clocks"]) == 0
    heading, two, one, newest = capsys.readouterr().out.splitlines()
    assert heading.split()[0] == "source"
    assert " ".join(two.split()) == "two 2 -10,790.000 s -10,790.000 s 10,790.000 s ahead 2"
    assert " ".join(one.split()) == "one 9 3.000 s 10.000 s ok 0"
    assert "before this machine's time" in newest or "after this machine's time" in newest
    assert main(["clocks", "--to", "2020-01-01"]) == 0
    assert capsys.readouterr().out == "No events in that time.\n"


def test_a_home_without_letters_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADWATER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HEADWATER_CONFIG", raising=False)
    assert main(["dead-letters"]) == 2
    assert "home must hold a log" in capsys.readouterr().err
    (tmp_path / "none.jsonl").touch()
    assert main(["ingest", "none.jsonl"]) == 0
    capsys.readouterr()
    assert main(["dead-letters"]) == 0
    assert capsys.readouterr().out == "No dead letters.\n"
