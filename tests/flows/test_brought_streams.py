"""Streams that people bring, each from its definition and its file to the answers of a scorer."""

import itertools
import json
import pathlib
from datetime import UTC, datetime

import pytest

from flows.__main__ import main
from flows.scorer import Scorer
from tests.brought import messages, prices, trips

REQUESTS = 400
STREAMS = {
    "prices": (prices, "prices.csv"),
    "trips": (trips, "Trips.PARQUET"),
    "messages": (messages, "messages.json"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADWATER_HOME", str(tmp_path / "home of mine"))
    monkeypatch.delenv("HEADWATER_CONFIG", raising=False)
    return tmp_path


def exported(topic):
    assert main(["export", topic, "--out", f"{topic}.jsonl"]) == 0
    with pathlib.Path(f"{topic}.jsonl").open() as file:
        return list(map(json.loads, file))


def settings(name, training=""):
    text = f'stream = "tests.brought.{name}:stream"\n{training}'
    pathlib.Path("headwater.toml").write_text(text)


def last_request(brought, some):
    """The place of the last request among the events."""
    kind = brought.stream.request.__struct_config__.tag
    return max(i for i, one in enumerate(some) if one.get("type", kind) == kind)


def wanted(brought, some, place):
    """The columns of a request by hand, for pytest to compare."""
    columns = brought.columns(some, place)
    return {name: None if x is None else pytest.approx(x) for name, x in columns.items()}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_of_one_s_own_comes_from_its_file_to_answers(folder, capsys, name):
    brought, file = STREAMS[name]
    some = brought.events(REQUESTS)
    cut = last_request(brought, some)
    brought.write(folder / file, some[:cut])
    brought.write(folder / f"later-{file}", some[cut:])
    settings(name)
    assert main(["ingest", "--dry-run", file]) == 0
    assert f"{min(cut, 1_000)} of the first {min(cut, 1_000)} records" in capsys.readouterr().out
    assert main(["ingest", file]) == 0
    assert main(["run"]) == 0
    assert "Dead letters: none" in capsys.readouterr().err
    with Scorer.open("headwater.toml") as scorer:
        answer = scorer.score(as_asked(brought, some[cut]))
    assert len(answer.reasons()) == len(brought.stream.columns)
    assert main(["ingest", f"later-{file}"]) == 0
    assert main(["run"]) == 0
    told = {one["id"]: one["probability"] for one in exported("predictions")}
    assert len(told) == REQUESTS
    assert told[str(some[cut]["id"])] == answer.probability
    assert main(["replay"]) == 0


def as_asked(brought, event):
    """A request as an application asks it: the fields that there are, the time as text."""
    fields, time = set(brought.stream.request.__struct_fields__), event["time"]
    if isinstance(time, int):
        time = datetime.fromtimestamp(time, UTC)
    elif isinstance(time, str):
        time = datetime.fromisoformat(f"{time}Z")
    asked = {name: value for name, value in event.items() if name in fields}
    return asked | {"id": str(event["id"]), "time": time.isoformat()}


@pytest.mark.parametrize("name", STREAMS)
def test_labels_and_features_are_those_found_by_hand(folder, name):
    brought, file = STREAMS[name]
    some = brought.events(REQUESTS)
    brought.write(folder / file, some)
    settings(name)
    assert main(["ingest", file]) == 0
    assert main(["run"]) == 0
    outcomes = {one["id"]: one for one in exported("outcomes")}
    truth = brought.truth(some)
    assert len(outcomes) > REQUESTS * 0.7
    assert {i: one["label"] for i, one in outcomes.items()} == {i: truth[i] for i in outcomes}
    assert 0.1 < sum(one["label"] for one in outcomes.values()) / len(outcomes) < 0.9
    checked = 0
    for place, event in enumerate(some):
        if str(event["id"]) in outcomes:
            row, columns = outcomes[str(event["id"])], wanted(brought, some, place)
            assert {column: row[column] for column in columns} == columns, event
            checked += 1
    assert checked == len(outcomes)


def test_prices_of_their_own_get_a_model(folder, h2o_server, capsys):
    some = prices.events(600)
    prices.write(folder / "prices.csv", some)
    training = f'[training]\nevery = "4d"\nmin_rows = 300\n[h2o]\nurl = "{h2o_server.url}"\n'
    settings("prices", training)
    assert main(["ingest", "prices.csv"]) == 0
    assert main(["run"]) == 0
    capsys.readouterr()
    assert main(["models"]) == 0
    assert "promoted" in capsys.readouterr().out
    answered = [one for one in exported("predictions") if one["model"]]
    assert answered
    assert all(0 < one["offline"] < 1 for one in answered)
    with Scorer.open("headwater.toml") as scorer:
        asked = [
            as_asked(prices, event) for event in itertools.islice(prices.events(602), 600, 602)
        ]
        assert {scorer.score(one).model for one in asked} == {answered[-1]["model"]}
