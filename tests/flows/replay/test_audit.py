"""An audit says of each record whether it would be written again, and of the first why not."""

import os
import shutil
import sqlite3
from datetime import UTC, datetime

import msgspec
import pytest
from rich.console import Console

from flows.home.configuration import find_stream
from flows.replay import audit
from flows.replay.audit import audited, job_of
from flows.replay.audit_progress import drop_old
from flows.replay.held import held, is_held
from flows.replay.replay_range import span_of
from models.refit.fit_record import FitRecord, TitleEvidence
from operators.partition.recovery import checkpoint_of
from operators.shard.messages import Boundary
from operators.shard.shard import TOPICS, Shard
from operators.training.model_registry import ModelRegistry
from state.process_lock import LockedError
from state.settings import changed
from tests.flows.replay.conftest import run


def stored(log, topic, partition=0):
    return [r.value for r in log.read(topic, partition, 0, max_records=10**6)]


def append_time(log, offset):
    return log.read("events", 0, offset)[0].append_time


def moment(us):
    return datetime.fromtimestamp(us / 1e6, UTC)


def tamper(home, topic, sequence, change, partition=0):
    """Rewrite one record in its file."""
    path = home.root / "log" / topic / f"{partition}.db"
    database = sqlite3.connect(path)
    with database:
        (value,) = database.execute("SELECT value FROM records WHERE offset = ?", (sequence,))
        database.execute(
            "UPDATE records SET value = ? WHERE offset = ?", (change(value[0]), sequence)
        )
    database.close()


def field(name, new):
    def change(value):
        document = msgspec.json.decode(value)
        assert document[name] != new
        return msgspec.json.encode({**document, name: new})

    return change


def first(frame):
    """The rows of first differences as dictionaries."""
    return frame.filter(frame["cause"].is_not_null()).to_dicts()


def test_a_history_with_fits_is_made_again_to_the_last_byte(rides, rides_settings, log):
    frame = audit(home=rides.root, settings=rides_settings)
    assert not first(frame)
    assert frame["different"].sum() == 0
    found = dict(frame.select("topic", "identical").iter_rows())
    assert found == {topic: log.end(topic, 0) for topic in TOPICS}
    assert min(found["predictions"], found["outcomes"], found["dead_letters"]) > 10


def test_an_audit_of_everything_begins_at_no_checkpoint(market, quotes_settings):
    """One of offset 0 may come after metrics, which a partition without events writes too."""
    log = market.log()
    shard = Shard(find_stream("quotes"), quotes_settings, 0)
    shard.apply(Boundary(append_time(log, 0), None))
    market.checkpoints().save(checkpoint_of(shard, at_boundary=True))
    job = job_of(market, log, quotes_settings, span_of(log, None, None))
    assert job.begin(market, log, 0) == (None, None)
    log.close()


def test_nothing_in_the_home_changes(rides, rides_settings):
    def files():
        return {
            path: path.read_bytes()
            for path in rides.root.rglob("*")
            if path.is_file() and not path.name.endswith(("-shm", "-wal"))
        }

    before = files()
    audit(home=rides.root, settings=rides_settings)
    assert files() == before


def test_a_range_counts_only_what_was_appended_in_it(rides, rides_settings, log):
    low, high = append_time(log, 700), append_time(log, 1000)
    frame = audit(moment(low), moment(high), home=rides.root, settings=rides_settings)
    expected = sum(
        low <= record.append_time < high
        for record in log.read("predictions", 0, 0, max_records=10**6)
    )
    found = dict(frame.select("topic", "identical").iter_rows())
    assert found["predictions"] == expected > 50
    assert frame["different"].sum() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_every_partition_is_compared_by_any_number_of_processes(market, quotes_settings, workers):
    frame = audit(home=market.root, settings=quotes_settings, workers=workers)
    log = market.log()
    assert frame["partition"].n_unique() == log.partitions("events")
    assert frame["different"].sum() == 0
    for partition, topic, identical in frame.select("partition", "topic", "identical").iter_rows():
        assert identical == log.end(topic, partition)
    log.close()


def test_a_tampered_prediction_is_found_with_its_field(rides, rides_settings, log):
    made = msgspec.json.decode(stored(log, "predictions")[200])
    tamper(rides, "predictions", 200, field("online", 0.125))
    frame = audit(home=rides.root, settings=rides_settings)
    (found,) = first(frame)
    assert (found["topic"], found["sequence"], found["different"]) == ("predictions", 200, 1)
    assert (found["id"], found["offset"]) == (made["id"], made["offset"])
    assert (found["field"], found["recorded"]) == ("online", "0.125")
    assert float(found["replayed"]) == made["online"]
    assert "altered after it was written" in found["cause"]


@pytest.mark.parametrize(
    ("topic", "name", "new", "cause"),
    [
        ("outcomes", "label", 7, "altered after it was written"),
        ("predictions", "model", "gbm-other", "another offline model"),
        ("predictions", "chain", "0" * 16, "before this one was altered"),
        ("dead_letters", "extra", 1, "another version"),
    ],
)
def test_the_cause_follows_from_what_differs(rides, rides_settings, topic, name, new, cause):
    def change(value):
        return msgspec.json.encode({**msgspec.json.decode(value), name: new})

    tamper(rides, topic, 5, change)
    (found,) = first(audit(home=rides.root, settings=rides_settings))
    assert (found["topic"], found["sequence"], found["field"]) == (topic, 5, name)
    assert cause in found["cause"]


def test_a_record_that_the_events_do_not_give_is_found(rides, rides_settings, log):
    log.append("dead_letters", 0, log_entries(log, "dead_letters", 3))
    (found,) = first(audit(home=rides.root, settings=rides_settings))
    assert (found["topic"], found["different"]) == ("dead_letters", 1)
    assert "it was added" in found["cause"]


def log_entries(log, topic, offset):
    from state.log import Entry  # noqa: PLC0415

    return [Entry(*log.read(topic, 0, offset, max_records=1)[0][1:])]


def test_an_altered_event_shows_from_there_on(rides, rides_settings, log):
    place = next(
        i
        for i, value in enumerate(stored(log, "events"))
        if i > 400 and msgspec.json.decode(value)["type"] == "asked"
    )
    tamper(rides, "events", place, field("price", 3.5))
    (found,) = first(audit(home=rides.root, settings=rides_settings))
    assert found["offset"] == place
    assert found["different"] > 50
    assert "altered events" in found["cause"]


def rename_key(home, offset, topic="events"):
    database = sqlite3.connect(home.root / "log" / topic / "0.db")
    with database:
        database.execute("UPDATE records SET key = x'3f' WHERE offset = ?", (offset,))
    database.close()


def test_an_altered_event_that_nothing_follows_from_is_found_too(rides, rides_settings, log):
    kinds = [msgspec.json.decode(value).get("type") for value in stored(log, "events")[:400]]
    place = max(i for i, kind in enumerate(kinds) if kind not in {None, "asked"})
    rename_key(rides, place)
    (found,) = first(audit(home=rides.root, settings=rides_settings))
    assert (found["topic"], found["different"]) == ("events", 1)
    assert found["offset"] > place
    assert "altered since the flow read them" in found["cause"]


def test_an_altered_key_is_told(rides, rides_settings, log):
    rename_key(rides, 5, "predictions")
    (found,) = first(audit(home=rides.root, settings=rides_settings))
    assert (found["topic"], found["sequence"], found["field"]) == ("predictions", 5, "(key)")
    assert "altered after it was written" in found["cause"]


def test_the_settings_of_today_do_not_change_the_past(market, quotes_settings):
    said = []
    other = changed(quotes_settings, {"decision": {"threshold": 0.3}, "metrics": {"every": "2h"}})
    found = audited(market, other, None, None, 1, Console(quiet=True), said.append)
    assert not any(one.different for one in found.partitions)
    assert said[1] == (
        "With the settings as recorded: decision.threshold is 0.3 today, 0.5 when recorded; "
        'metrics.every is "2h" today, "1h" when recorded.'
    )


def test_the_settings_are_known_without_a_checkpoint(market, quotes_settings):
    shutil.rmtree(market.root / "checkpoints")
    other = changed(quotes_settings, {"decision": {"threshold": 0.01}})
    frame = audit(home=market.root, settings=other)
    assert frame["different"].sum() == 0
    assert frame.filter(topic="predictions")["identical"].sum() > 1000


def test_boundaries_of_today_do_not_cut_an_audit_short(market, quotes_settings):
    log = market.log()
    low, high = (moment(append_time(log, share * log.end("events", 0) // 8)) for share in (3, 6))
    log.close()
    as_recorded = audit(low, high, home=market.root, settings=quotes_settings)
    today = changed(quotes_settings, {"training": {"every": "3m"}})
    assert audit(low, high, home=market.root, settings=today).equals(as_recorded)
    assert as_recorded.filter(topic="predictions")["identical"].min() > 10


def test_settings_that_changed_on_the_way_change_there_again(half, quotes_settings):
    """The first half was made with a rate, the second with another."""
    home, entries = half
    log = home.log()
    for partition, of in enumerate(entries):
        log.append("events", partition, of)
    log.close()
    run(changed(quotes_settings, {"decision": {"threshold": 0.3}}), home)
    said = []
    found = audited(home, quotes_settings, None, None, 1, Console(quiet=True), said.append)
    assert not any(one.different for one in found.partitions)
    assert sum(one.identical["predictions"] for one in found.partitions) > 1000
    assert "decision.threshold is 0.5 today, 0.5 then 0.3 when recorded" in said[1]


class Halted(Exception):  # noqa: N818 - not an error
    pass


def halting(job, after):
    """Run an audit's work up to a step."""
    steps = iter(range(after))

    def report(_):
        if next(steps, None) is None:
            raise Halted

    with pytest.raises(Halted):
        job(range(8), report, lambda: None)


def test_an_audit_that_was_stopped_goes_on_where_it_was(market, quotes_settings):
    often = changed(quotes_settings, {"checkpoints": {"every": "1ms"}})
    console = Console(quiet=True)
    tamper(market, "predictions", 3, field("probability", 0.25))
    whole = audited(market, often, None, None, 1, console)
    assert list((market.root / "audits").iterdir()) == []
    log = market.log()
    job = job_of(market, log, often, span_of(log, None, None))
    log.close()
    halting(job, after=20)
    said, steps = [], []
    assert job(range(8), steps.append, lambda: None) == whole.partitions
    assert sum(step.records for step in steps) < sum(one.end for one in whole.partitions) - 300
    assert audited(market, often, None, None, 1, console, said.append) == whole
    assert "resuming where it was stopped, 0 records left" in said[0]
    assert list((market.root / "audits").iterdir()) == []


def test_an_audit_does_not_go_on_in_a_log_that_changed(market, quotes_settings):
    def job():
        log = market.log()
        found = job_of(market, log, quotes_settings, span_of(log, None, None))
        newest = log.end("predictions", 2) - 1
        log.close()
        return found, newest

    before, newest = job()
    before(range(8), lambda _: None, lambda: None)
    tamper(market, "predictions", newest, field("probability", 0.5), partition=2)
    after, _ = job()
    assert list(before.folder.rglob("*.ckpt"))
    assert not list(after.folder.rglob("*.ckpt"))
    (found,) = first(audit(home=market.root, settings=quotes_settings))
    assert (found["partition"], found["sequence"]) == (2, newest)


def test_the_newest_three_stopped_audits_are_kept(market, quotes_settings):
    for number in range(5):
        folder = market.root / "audits" / str(number)
        folder.mkdir(parents=True)
        os.utime(folder, (number, number))
    audit(home=market.root, settings=quotes_settings)
    assert {path.name for path in (market.root / "audits").iterdir()} == {"2", "3", "4"}


def test_the_audit_that_is_gone_on_with_is_kept_however_old_it_is(market, quotes_settings):
    log = market.log()
    job = job_of(market, log, quotes_settings, span_of(log, None, None))
    log.close()
    job(range(8), lambda _: None, lambda: None)
    os.utime(job.folder, (1, 1))
    for number in range(2, 6):
        folder = market.root / "audits" / str(number)
        folder.mkdir(parents=True)
        os.utime(folder, (number, number))
    said = []
    audited(market, quotes_settings, None, None, 1, Console(quiet=True), said.append)
    assert "resuming where it was stopped" in said[0]


def test_an_audit_that_is_in_use_is_kept_and_looking_takes_it_from_nobody(market):
    folders = [market.root / "audits" / str(number) for number in range(5)]
    for number, folder in enumerate(folders):
        folder.mkdir(parents=True)
        os.utime(folder, (number, number))
    with held(folders[0], "audit"):
        os.utime(folders[0], (0, 0))
        drop_old(market, folders[4])
        assert is_held(folders[0])
    assert [folder.exists() for folder in folders] == [True, True, True, True, True]
    assert not is_held(folders[0])
    drop_old(market, market.root)
    assert [folder.exists() for folder in folders] == [False, False, True, True, True]


def test_the_same_audit_twice_at_once_is_refused(market, quotes_settings):
    log = market.log()
    job = job_of(market, log, quotes_settings, span_of(log, None, None))
    log.close()
    with (
        held(job.folder, "audit"),
        pytest.raises(LockedError, match=f"audit must be free; got '{job.folder.name}' in use"),
    ):
        audit(home=market.root, settings=quotes_settings)


def test_an_altered_artifact_is_named(rides, rides_settings):
    for path in (rides.root / "artifacts").iterdir():
        path.write_bytes(path.read_bytes() + b"x")
    found = first(audit(home=rides.root, settings=rides_settings))
    assert "artifact must have sha256" in found[0]["cause"]


def halve(home, topic):
    """Delete the newer half of a topic."""
    database = sqlite3.connect(home.root / "log" / topic / "0.db")
    with database:
        (count,) = database.execute("SELECT count(*) FROM records").fetchone()
        database.execute("DELETE FROM records WHERE offset >= ?", (count // 2,))
    database.close()
    return count, count // 2


@pytest.mark.parametrize("topic", ["predictions", "outcomes", "metrics"])
def test_an_end_that_was_lost_is_told(rides, rides_settings, topic):
    count, left = halve(rides, topic)
    (found,) = first(audit(home=rides.root, settings=rides_settings))
    assert (found["topic"], found["different"]) == (topic, count - left)
    assert f"counted {count} records, {left} are left" in found["cause"]


def test_what_the_flow_had_not_got_to_is_no_difference(rides, rides_settings):
    shutil.rmtree(rides.root / "checkpoints")
    for topic in TOPICS:
        halve(rides, topic)
    frame = audit(home=rides.root, settings=rides_settings)
    assert frame["different"].sum() == 0
    assert frame["identical"].sum() > 300


def test_without_checkpoints_it_begins_at_the_head(rides, rides_settings, log):
    shutil.rmtree(rides.root / "checkpoints")
    low = moment(append_time(log, 900))
    frame = audit(low, home=rides.root, settings=rides_settings)
    assert frame["different"].sum() == 0
    assert frame["identical"].sum() > 10


def cut_head(home, before):
    database = sqlite3.connect(home.root / "log" / "events" / "0.db")
    with database:
        database.execute("DELETE FROM records WHERE offset < ?", (before,))
    database.close()


def test_where_the_head_is_gone_a_range_after_a_checkpoint_is_audited(rides, rides_settings, log):
    kept = next(rides.checkpoints().newest_first(0, at_boundary=True))
    low = moment(append_time(log, kept.offset + 20))
    cut_head(rides, kept.offset)
    frame = audit(low, home=rides.root, settings=rides_settings)
    assert frame["different"].sum() == 0
    assert frame["identical"].sum() > 10


def test_where_the_head_is_gone_an_earlier_range_names_the_first_offset_left(
    rides, rides_settings, log
):
    kept = next(rides.checkpoints().newest_first(0, at_boundary=True))
    cut_head(rides, kept.offset + 30)
    low = moment(append_time(log, kept.offset + 35))
    for path in (rides.root / "checkpoints").rglob("*-periodic.ckpt"):
        path.unlink()
    with pytest.raises(ValueError, match=f"first offset left in events/0 is {kept.offset + 30} "):
        audit(low, home=rides.root, settings=rides_settings)


@pytest.mark.parametrize(
    ("since", "until", "message"),
    [
        ("2024-03-31T10:00", "2024-03-31T10:00", "--from must be before --to"),
        ("2030-01-01", None, "--from must be within the log"),
        (None, "2020-01-01", "--to must be within the log"),
        ("yesterday", None, "date must be like"),
    ],
)
def test_a_range_outside_the_log_is_refused(rides, rides_settings, since, until, message):
    with pytest.raises(ValueError, match=message):
        audit(since, until, home=rides.root, settings=rides_settings)


def test_what_the_shards_knew_is_compared_at_every_checkpoint(market, quotes_settings):
    """Nothing that is written tells, but what is learned from then on would be otherwise."""
    store, console = market.checkpoints(), Console(quiet=True)
    kept = [c for p in range(8) for c in store.newest_first(p) if c.offset]
    checked = audited(market, quotes_settings, None, None, 1, console).partitions
    assert sum(one.states for one in checked) == len(kept) > 20
    one = kept[1]
    store.save(msgspec.structs.replace(one, shard=one.shard[:-1] + bytes([one.shard[-1] ^ 1])))
    frame = audit(home=market.root, settings=quotes_settings)
    (differing,) = first(frame)
    assert (differing["topic"], differing["partition"]) == ("checkpoints", one.partition)
    assert (differing["offset"], differing["different"]) == (one.offset, 1)


def test_a_decision_on_the_title_that_follows_from_no_metrics_is_told(market, quotes_settings):
    log, ends = market.log(), [0] * 8
    evidence = TitleEvidence(
        better=99.0, worse=0.1, labels=500, gain=0.0, alpha=0.05, metrics=ends, time=0
    )
    forged = FitRecord(
        boundary=0, status="proven", reason="", algorithm="", model="b", evidence=evidence
    )
    ModelRegistry(log).publish(forged)
    log.close()
    found = audited(market, quotes_settings, None, None, 1, Console(quiet=True))
    assert (found.titles, found.unfounded) == (1, [forged])
    assert not any(one.different for one in found.partitions)
