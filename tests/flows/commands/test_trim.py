"""`headwater trim` says what goes, and nothing is missed afterwards."""

import json
from datetime import UTC, datetime
from itertools import islice

import pytest

from flows.__main__ import main
from flows.home.configuration import find_stream, load_settings
from flows.home.home import Home, create_topics
from flows.ingest import append_history
from flows.runtime.partitions import Partitions
from flows.streams.quotes_market import Market
from tests.settled import settle

EVENTS = list(islice(Market(seed=3, rate_per_s=0.5).events(2.0), 3000))
SETTINGS = """
stream = "quotes"
partitions = 2
[training]
every = "10m"
wait = false
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home whose events have all been read, with a boundary every ten minutes."""
    settle(tmp_path, monkeypatch, SETTINGS)
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(EVENTS))
    assert main(["ingest", "events.jsonl"]) == 0
    home = Home(tmp_path / "home")
    go_on(home)
    return home


def go_on(home):
    """Run the flow as `headwater run` does, without fits."""
    log, settings = home.log(), load_settings()
    create_topics(log, 2)
    for partition in (0, 1):
        live = Partitions(settings, find_stream("quotes"), log, home).open(partition)
        while (message := live.poll()) is not None:
            live.commit(live.process(message))
    log.close()


@pytest.fixture
def log(home):
    log = home.log()
    yield log
    log.close()


def held(log):
    return {
        (topic, partition): (log.start(topic, partition), log.end(topic, partition))
        for topic in ("events", "predictions", "outcomes", "metrics", "snapshots", "activations")
        for partition in (0, 1)
    }


def at(fraction):
    """A time so far into the history."""
    first, last = (json.loads(event)["time"] for event in (EVENTS[0], EVENTS[-1]))
    return datetime.fromtimestamp((first + fraction * (last - first)) / 1e6, UTC).isoformat()


def test_events_go_up_to_the_boundary_before_the_time(home, log, capsys):
    before = held(log)
    assert main(["trim", "--before", at(0.8)]) == 0
    after = held(log)
    for place, (start, end) in after.items():
        assert end == before[place][1]
        assert (start > 0) == (place[0] == "events"), place
    dropped = sum(after["events", p][0] for p in (0, 1))
    assert 0.5 * len(EVENTS) < dropped < 0.8 * len(EVENTS)
    assert f"{dropped:,} records deleted" in capsys.readouterr().out
    for partition in (0, 1):
        offsets = [c.offset for c in home.checkpoints().newest_first(partition, at_boundary=True)]
        assert after["events", partition][0] in offsets


def test_checkpoints_from_before_what_is_left_go_too(home, log):
    held = {p: [c.offset for c in home.checkpoints().newest_first(p)] for p in (0, 1)}
    assert main(["trim", "--before", at(0.8), "--dry-run"]) == 0
    assert {p: [c.offset for c in home.checkpoints().newest_first(p)] for p in (0, 1)} == held
    assert main(["trim", "--before", at(0.8)]) == 0
    for partition in (0, 1):
        start = log.start("events", partition)
        left = [c.offset for c in home.checkpoints().newest_first(partition)]
        assert left == [offset for offset in held[partition] if offset >= start]
        assert len(left) < len(held[partition])


def test_outputs_go_too_if_asked_and_the_run_goes_on(home, log, tmp_path):
    assert main(["trim", "--before", at(0.8), "--all"]) == 0
    after = held(log)
    for topic in ("events", "predictions", "outcomes"):
        assert after[topic, 0][0] > 0
    assert after["snapshots", 0][0] == after["activations", 0][0] == 0
    more = list(islice(Market(seed=3, rate_per_s=0.5).events(2.0), 3000, 3200))
    (tmp_path / "more.jsonl").write_bytes(b"\n".join(more))
    assert main(["ingest", "more.jsonl"]) == 0
    go_on(home)
    assert sum(end for (topic, _), (_, end) in held(log).items() if topic == "events") == 3200


def test_a_history_goes_on_where_its_beginning_was_trimmed(home, log):
    assert main(["trim", "--before", at(0.8)]) == 0
    starts = {place: start for place, (start, _) in held(log).items()}
    longer = list(islice(Market(seed=3, rate_per_s=0.5).events(2.0), 3200))
    assert append_history(log, longer, find_stream("quotes").peek()) == 3200
    assert {place: start for place, (start, _) in held(log).items()} == starts
    stored = [r.value for p in (0, 1) for r in log.read("events", p, log.start("events", p))]
    assert set(longer[3000:]) < set(stored) < set(longer)
    assert sum(end for (topic, _), (_, end) in held(log).items() if topic == "events") == 3200


def test_a_dry_run_says_the_same_and_changes_nothing(home, log, capsys):
    before = held(log)
    capsys.readouterr()
    assert main(["trim", "--before", at(0.8), "--all", "--dry-run"]) == 0
    dry = capsys.readouterr().out
    assert "would be deleted" in dry
    assert held(log) == before
    assert main(["trim", "--before", at(0.8), "--all"]) == 0
    wet = capsys.readouterr().out
    assert wet.splitlines()[:-1] == dry.splitlines()[:-1]
    assert "MiB freed" in wet


def test_a_partition_without_a_checkpoint_keeps_all_and_says_so(home, log, capsys):
    for path in (home.root / "checkpoints" / "1").iterdir():
        path.unlink()
    assert main(["trim", "--before", at(0.8)]) == 0
    assert log.start("events", 1) == 0
    assert "events/1 has fewer than two checkpoints to resume from" in capsys.readouterr().out


@pytest.mark.parametrize("argv", [[], ["--before", "yesterday"]])
def test_wrong_arguments_give_one_line(argv, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["trim", *argv])
    assert capsys.readouterr().err.count("\n") == 1
