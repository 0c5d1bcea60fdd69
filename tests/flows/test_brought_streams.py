"""Streams that people bring, each from its definition and its file to the answers of a scorer."""

import json
import pathlib
from datetime import UTC, datetime
from typing import NamedTuple

import pytest

from flows.__main__ import main
from flows.scorer import Scorer
from state.events import DAY_US
from tests import brought_streams
from tests.brought_streams import START, write_messages, write_prices, write_trips

REQUESTS = 400


class Brought(NamedTuple):
    """A stream, its file, and a request as an application asks it."""

    write: object
    name: str
    asked: dict


STREAMS = {
    "trips": Brought(
        write_trips, "Trips.CSV", {"station": 1003, "bike": "classic", "member": True, "age": None}
    ),
    "prices": Brought(write_prices, "prices.csv", {"zone": "vic", "price": 31.5}),
    "messages": Brought(write_messages, "messages.json", {"sender": 3, "receiver": 4}),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADWATER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HEADWATER_CONFIG", raising=False)
    return tmp_path


def exported(topic):
    assert main(["export", topic, "--out", f"{topic}.jsonl"]) == 0
    with pathlib.Path(f"{topic}.jsonl").open() as file:
        return list(map(json.loads, file))


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_of_one_s_own_comes_from_its_file_to_answers(folder, capsys, name):
    brought = STREAMS[name]
    truth = brought.write(folder / brought.name, REQUESTS)
    (folder / "headwater.toml").write_text(f'stream = "tests.brought_streams:{name}"\n')
    assert main(["ingest", "--dry-run", brought.name]) == 0
    count = 2 * REQUESTS if name != "prices" else 2 * REQUESTS - 2
    assert f"{count} of the first {count} records are events" in capsys.readouterr().out
    assert main(["ingest", brought.name]) == 0
    assert main(["run"]) == 0
    assert "Dead letters: none" in capsys.readouterr().err
    requests = {f"{event['id']}" for event in exported("predictions")}
    assert len(requests) == REQUESTS
    outcomes = {one["id"]: one["label"] for one in exported("outcomes")}
    assert len(outcomes) > REQUESTS // 2
    assert outcomes == {request: truth[request] for request in outcomes}
    stream = getattr(brought_streams, name)
    with Scorer.open("headwater.toml") as scorer:
        newest = max(one["event_time"] for one in exported("predictions"))
        assert newest > START.timestamp() * 1e6
        time = newest + 4 * DAY_US
        answer = scorer.score(brought.asked | {"id": "new", "time": time})
        text = datetime.fromtimestamp(time / 1e6, UTC).isoformat()
        as_text = scorer.score(brought.asked | {"id": "new", "time": text})
        assert as_text.probability == answer.probability
    assert 0 < answer.probability < 1
    assert len(answer.reasons()) == len(stream.columns)
