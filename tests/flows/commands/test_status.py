"""`headwater status` on both logs, at rest and beside a flow at work."""

import json
import uuid
from pathlib import Path

import pytest

from flows.__main__ import main
from flows.home.configuration import find_stream, load_settings
from flows.home.home import environment_home
from flows.home.open_log import find_log, open_log
from flows.runtime.partitions import Partitions
from flows.streams.quotes_market import Market
from operators.shard.messages import Finish
from state.checkpoints.store import Checkpoint, CheckpointStore
from state.storage.object_store import ObjectStore

market = Market(seed=2, rate_per_s=0.8)
SETTINGS = """
stream = "quotes"
partitions = 2
[training]
trainer = "external"
wait = false
every = "10m"
[checkpoints]
every = "1ms"
[reading]
batch = 50
"""


@pytest.fixture(params=["sqlite", "kafka"])
def home(request, tmp_path, monkeypatch):
    """A home or cluster with events that nobody has read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADWATER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HEADWATER_CONFIG", raising=False)
    kafka = ""
    if request.param == "kafka":
        bootstrap = request.getfixturevalue("broker").bootstrap
        prefix = f"{uuid.uuid4().hex[:8]}."
        kafka = f'[kafka]\nbootstrap = "{bootstrap}"\nprefix = "{prefix}"\n'
    (tmp_path / "headwater.toml").write_text(f'log = "{request.param}"\n{SETTINGS}{kafka}')
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(market.events(0.4)))
    if kafka:
        assert main(["topics", "--apply"]) == 0
    assert main(["ingest", "events.jsonl"]) == 0
    return environment_home()


def told(capsys):
    capsys.readouterr()
    assert main(["status", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def work(home, messages):
    """Run a flow for a number of messages per partition, and leave it open."""
    settings, stream = load_settings(), find_stream("quotes")
    log = open_log(settings, stream, home)
    partitions = Partitions(settings, stream, log, home)
    lives = [partitions.open(p) for p in range(2)]
    for live in lives:
        for _ in range(messages):
            message = live.poll()
            live.commit(live.process(message or Finish()))
            if message is None:
                break
    return log, lives


def test_what_is_left_is_told_before_in_and_after_a_run(home, capsys):
    ends = [one["end"] for one in told(capsys)["partitions"]]
    assert sum(ends) == len(list(market.events(0.4)))
    fresh = told(capsys)["partitions"]
    assert [one["position"] for one in fresh] == [0, 0]
    assert [one["lag"] for one in fresh] == ends
    assert all(1300 < one["lag_s"] <= 1440 for one in fresh)
    assert all(one["per_s"] is None for one in fresh)
    log, lives = work(home, 4)
    amid = told(capsys)["partitions"]  # beside the one that has the log open
    assert [one["position"] for one in amid] == [live.shard.position.offset for live in lives]
    assert [one["lag"] + one["position"] for one in amid] == ends
    assert all(one["per_s"] > 0 for one in amid)
    log.close()
    log, _ = work(home, 10**6)
    log.close()
    done = told(capsys)
    assert [one["lag"] for one in done["partitions"]] == [0, 0]
    assert [one["lag_s"] for one in done["partitions"]] == [0, 0]
    log = find_log(load_settings(), home)
    assert done["ends"]["predictions"] == sum(log.end("predictions", p) for p in range(2))
    log.close()
    assert main(["status"]) == 0
    said = capsys.readouterr().out
    assert "all: lag 0 records, " in said
    due = ", ".join(f"2024-01-01 00:{minute:02}" for minute in (5, 10, 15, 20))
    assert f"fits that are due: {due}\n" in said


def test_nothing_is_made_where_there_is_no_home(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADWATER_CONFIG", raising=False)
    monkeypatch.delenv("HEADWATER_HOME", raising=False)
    assert main(["status"]) == 2
    assert "home must hold a log" in capsys.readouterr().err
    assert not any(Path().iterdir())


def test_doctor_looks_at_the_log_in_kafka_too(home, capsys):
    assert main(["doctor", "--no-h2o"]) == 0
    if load_settings().log == "kafka":
        assert "topics, events 0 to " in capsys.readouterr().out
        settings = Path("headwater.toml")
        settings.write_text(settings.read_text().replace("partitions = 2", "partitions = 3"))
        assert main(["doctor", "--no-h2o"]) == 1
        assert "partitions must be 3; got 2" in capsys.readouterr().out


@pytest.mark.parametrize("home", ["sqlite"], indirect=True)
@pytest.mark.parametrize("trusted", [True, False])
def test_a_checkpoint_in_the_store_counts_where_its_key_is_not_missing(
    home, tmp_path, monkeypatch, capsys, trusted
):
    monkeypatch.delenv("HEADWATER_CHECKPOINT_KEY", raising=False)
    checkpoint = Checkpoint("of another machine", 1, 7, {}, 0, False, shard=b"state")
    file = CheckpointStore(tmp_path / "other").save(checkpoint)
    uri = (tmp_path / "store").as_uri()
    ObjectStore(uri).write(f"1/{file.name}", file.read_bytes())
    settings = f'checkpoints.store = "{uri}"\ncheckpoints.trusted = {str(trusted).lower()}\n'
    path = tmp_path / "headwater.toml"
    path.write_text(settings + path.read_text().replace('[checkpoints]\nevery = "1ms"\n', ""))
    capsys.readouterr()
    assert main(["status", "--json"]) == 0
    said = capsys.readouterr()
    positions = [one["position"] for one in json.loads(said.out)["partitions"]]
    assert positions == ([0, 7] if trusted else [0, 0])
    left_out = "headwater: checkpoints in the store are ignored: checkpoints.store must be"
    assert said.err.startswith(left_out) is not trusted
