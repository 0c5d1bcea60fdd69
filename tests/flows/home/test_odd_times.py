"""Whatever number of 64 bits a record has as its time, no verb that reads ends in a traceback."""

import json
import sqlite3

import pytest

from flows.__main__ import main
from flows.home.home import ALL_TOPICS, Home, create_topics
from flows.streams.quotes import stream
from flows.streams.quotes_market import Market
from state.log import Entry
from tests.settled import settle

READING = [
    ["status"], ["status", "--json"], ["dead-letters"], ["dead-letters", "--json"], ["clocks"],
    ["clocks", "--from", "2013-01-01"], ["models"], ["models", "--json"], ["branches"],
    ["trim", "--before", "2013-01-01", "--dry-run"], ["replay"],
    ["doctor", "--repair", "--dry-run"],
]  # fmt: skip
YEAR_10000, YEAR_0 = 253_402_300_800_000_000, -62_135_596_800_000_001


def records(time):
    """One of each topic that holds times, all of them this one."""
    model = {"boundary": time, "status": "failed", "reason": "none", "algorithm": "gbm"}
    letter = {"reason": "late", "detail": "", "partition": 0, "offset": 0, "size": 1, "raw": "YQ=="}
    prediction = {
        "id": "q", "event_time": time, "key": "k", "probability": 0.25, "online": 0.25,
        "offline": None, "residual": None, "decision": False, "model": None, "partition": 0,
        "offset": 0,
    }  # fmt: skip
    return {
        "models": model,
        "dead_letters": letter | {"topic": "crm", "timestamp": time},
        "predictions": prediction,
        "alerts": {"kind": "clock_ahead", "time": time, "message": "", "source": ""},
        # tests/operators/partition/test_journal.py: a boundary out of bounds is refused.
        "activations": {"type": "crossed", "offset": 0, "boundary": min(max(time, 0), 2**62)},
    }


@pytest.mark.parametrize("time", [2**63 - 1, -(2**63), -1, YEAR_10000, YEAR_0])
def test_reading_verbs_tell_any_time(tmp_path, monkeypatch, capsys, time):
    settle(tmp_path, monkeypatch, 'stream = "quotes"\n')
    log = Home(tmp_path / "home").log()
    create_topics(log, stream.partitions)
    events = list(Market(seed=3, rate_per_s=1.0).events(0.01))
    log.append("events", 0, [Entry(n, b"", event) for n, event in enumerate(events)])
    for topic, content in records(time).items():
        log.append(topic, 0, [Entry(5, b"", json.dumps(content).encode())])
    log.close()
    for topic in ALL_TOPICS:
        with sqlite3.connect(tmp_path / "home" / "log" / topic / "0.db") as database:
            newest = "offset = (SELECT max(offset) FROM records)"
            database.execute(f"UPDATE records SET append_time = ? WHERE {newest}", (time,))
        database.close()
    exports = [
        ["export", topic, "--out", f"{topic}.{suffix}"]
        for topic in ALL_TOPICS
        for suffix in ("jsonl", "parquet")
    ]
    for words in READING + exports:
        assert main(words) in {0, 1}, words
    capsys.readouterr()
    assert main(["models"]) == 0
    told = capsys.readouterr().out
    assert str(time) in told or (time == -1 and "1969-12-31 23:59" in told)
