"""A shard goes on from its newest usable checkpoint, and nobody can tell where it stopped."""

import logging
from dataclasses import replace

import msgspec
import pytest

from operators.partition.journal import Activated, Configured, JournalWriter
from operators.partition.recovery import (
    EarlierVersionError,
    check_version,
    checkpoint_of,
    reached,
    recover,
    usable,
)
from operators.shard.messages import Activation, Configuration
from operators.shard.shard import TOPICS, Shard
from state.checkpoints.store import Checkpoint, CheckpointStore
from state.log import Entry, LogError
from state.log.sqlite import SqliteLog
from state.settings import deciding, settings_from
from tests.operators.shard_runs import SETTINGS, Run, feed, rides_shard
from tests.rides import records, stream

RECORDS = records(120)


@pytest.fixture
def log(tmp_path):
    log = SqliteLog(tmp_path / "log")
    for topic in ("events", "activations", *TOPICS):
        log.create(topic, 1)
    log.append("events", 0, [Entry(*record[1:]) for record in RECORDS])
    yield log
    log.close()


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "checkpoints")


@pytest.fixture
def checkpoints(store, log):
    """Saved at three offsets; the outputs are there up to the last of them."""
    run = Run(rides_shard())
    saved = {}
    for offset in (40, 80, 120):
        feed(run, RECORDS[:offset])
        saved[offset] = store.save(checkpoint_of(run.shard, at_boundary=False))
    for topic, entries in run.written.items():
        log.append(topic, 0, entries)
    return saved


def no_model(model, shard):
    raise AssertionError(model)


def recovered(store, log):
    return recover(lambda _: rides_shard(), 0, store, log, no_model)


def test_without_a_checkpoint_it_starts_at_the_beginning(store, log):
    shard = recovered(store, log)
    assert shard.position.offset == 0
    assert shard.snapshot() == rides_shard().snapshot()


def test_the_newest_checkpoint_is_taken_and_goes_on_to_the_same_bytes(store, log, checkpoints):
    shard = recovered(store, log)
    assert shard.position.offset == 120
    whole, rest = feed(Run(rides_shard()), RECORDS), Run(shard)
    rest.written = {
        topic: entries[: shard.counters[topic]] for topic, entries in whole.written.items()
    }
    feed(rest, RECORDS)
    assert rest.written == whole.written
    assert shard.snapshot() == whole.shard.snapshot()


def of_before(store, shape):
    """The shape of checkpoints before windows had buckets of their own, in one of them."""
    (checkpoint, *_) = store.newest_first(0)
    _, name, columns, _ = shape.split()
    store.save(msgspec.structs.replace(checkpoint, shape=f"3 {name} {columns}", offset=121))


def test_a_log_of_when_windows_shared_their_buckets_is_refused_with_what_to_say(
    store, log, checkpoints
):
    of_before(store, rides_shard().shape)
    with pytest.raises(LogError) as refused:
        recovered(store, log)
    assert str(refused.value) == (
        "this log was written when several windows shared their buckets; to go on with it the "
        'stream must say bucket="10s" in Rolling(all_ended_10m), bucket="20s" in '
        "Rolling(city_open_20m); for the new buckets start a new home"
    )


def test_it_goes_on_once_the_stream_says_the_buckets(store, log, checkpoints):
    buckets = {"all_ended_10m": "10s", "city_open_20m": "20s"}
    features = tuple(
        replace(one, bucket=buckets[one.columns[0].name]) if one.columns[0].name in buckets else one
        for one in stream.features
    )
    of_before(store, rides_shard().shape)
    again = replace(stream, features=features)
    shard = recover(lambda _: Shard(again, SETTINGS, 0), 0, store, log, no_model)
    assert shard.position.offset == 0


@pytest.mark.parametrize("topic", TOPICS)
def test_a_checkpoint_ahead_of_an_output_is_not_used(tmp_path, store, log, checkpoints, topic):
    whole, counters = log, {c.offset: c.counters for c in store.newest_first(0)}
    log = SqliteLog(tmp_path / "other")
    try:
        for name in ("events", "activations", *TOPICS):
            log.create(name, 1)
        log.append("events", 0, [Entry(*record[1:]) for record in RECORDS])
        usable = 80 if counters[80][topic] < counters[120][topic] else 120
        for name in TOPICS:
            end = counters[120][name] - (name == topic and usable == 80)
            log.append(name, 0, [Entry(*r[1:]) for r in whole.read(name, 0, 0, max_records=end)])
        assert recovered(store, log).position.offset == usable
    finally:
        log.close()


def test_a_checkpoint_beyond_the_end_of_the_events_is_not_used(tmp_path, store, log, checkpoints):
    short = SqliteLog(tmp_path / "short")
    try:
        for name in ("events", "activations", *TOPICS):
            short.create(name, 1)
            if name != "events":
                short.append(name, 0, [Entry(*r[1:]) for r in log.read(name, 0, 0)])
        short.append("events", 0, [Entry(*record[1:]) for record in RECORDS[:80]])
        assert recovered(store, short).position.offset == 80
    finally:
        short.close()


def test_a_torn_checkpoint_is_skipped_for_the_one_before(store, log, checkpoints, caplog):
    path = checkpoints[120]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with caplog.at_level(logging.WARNING):
        assert recovered(store, log).position.offset == 80
    assert f"{path} is damaged" in caplog.text


def test_with_every_checkpoint_corrupt_it_starts_at_the_beginning(store, log, checkpoints, caplog):
    for path in checkpoints.values():
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    assert recovered(store, log).position.offset == 0
    assert len(caplog.records) == 3


def test_a_checkpoint_of_another_stream_or_version_is_skipped_and_said(
    store, log, checkpoints, caplog
):
    foreign = msgspec.structs.replace(next(store.newest_first(0)), shape="2 rides")
    store.save(foreign)
    with caplog.at_level(logging.WARNING):
        assert recovered(store, log).position.offset == 80
    assert "got '2 rides' in events/0 at offset 120: taking the one before" in caplog.text


RIVER = {"class": "tree.HoeffdingTreeClassifier"}


@pytest.mark.parametrize("noted", [True, False])
@pytest.mark.parametrize("foreign", [True, False])
def test_a_pickle_is_read_back_only_from_the_home(store, log, noted, foreign):
    settings = settings_from({"online": {"river": RIVER}})
    if noted:
        JournalWriter(log, 0).write(Configured(0, deciding(settings), version=2), 0)
    run = Run(rides_shard(settings))
    feed(run, RECORDS[:40], others={0: [Configuration(0, settings)]} if noted else {})
    for topic, entries in run.written.items():
        log.append(topic, 0, entries)
    made = checkpoint_of(run.shard, at_boundary=False)
    store.save(msgspec.structs.replace(made, foreign=foreign))
    (saved,) = store.newest_first(0)
    assert reached(saved, log) == (not (foreign and noted))
    shard = recover(lambda _: rides_shard(settings), 0, store, log, no_model)
    assert shard.position.offset == (0 if foreign else 40)


def test_the_model_in_use_is_loaded_again(store, log, offline):
    run = Run(rides_shard())
    feed(run, RECORDS[:60], others={30: [Activation(0, "gbm-1", offline(run.shard, "gbm-1"))]})
    store.save(checkpoint_of(run.shard, at_boundary=False))
    for topic, entries in run.written.items():
        log.append(topic, 0, entries)
    assert recovered(store, log).position.offset == 0  # the journal has lost what it obeyed
    JournalWriter(log, 0).write(Activated(30, "gbm-1", None), 0)
    loaded = []

    def load(model, shard):
        loaded.append((model, shard))
        return offline(shard, model)

    shard = recover(lambda _: rides_shard(), 0, store, log, load)
    assert loaded == [("gbm-1", shard)]
    assert (shard.model, shard.position) == ("gbm-1", run.shard.position)
    feed(run, RECORDS)
    rest = Run(shard)
    rest.written = {
        topic: entries[: shard.counters[topic]] for topic, entries in run.written.items()
    }
    assert feed(rest, RECORDS).written == run.written


def test_a_checkpoint_in_which_the_champion_stays_beside_the_newest_is_used(store, log, offline):
    run, journal = Run(rides_shard()), JournalWriter(log, 0)
    for number, (at, model, champion) in enumerate(
        ((20, "gbm-1", None), (30, "gbm-2", None), (40, "gbm-3", "gbm-1"))
    ):
        feed(run, RECORDS[:at])
        run.take(Activation(number, model, offline(run.shard, model), champion=champion))
        journal.write(Activated(at, model, None, champion=champion, version=5), 0)
    feed(run, RECORDS[:60])
    store.save(checkpoint_of(run.shard, at_boundary=False, journal=journal.digest(3)))
    for topic, entries in run.written.items():
        log.append(topic, 0, entries)
    shard = recover(lambda _: rides_shard(), 0, store, log, lambda model, of: offline(of, model))
    assert shard.position.offset == 60
    assert (shard.model, shard.older) == ("gbm-3", "gbm-1")


def test_a_checkpoint_of_another_log_is_not_used_however_long_that_is(store, log, checkpoints):
    of_another = next(store.newest_first(0))
    store.save(msgspec.structs.replace(of_another, chain="0123456789abcdef"))
    assert recovered(store, log).position.offset == 80


def test_a_checkpoint_of_a_flow_that_missed_a_decision_is_not_used(store, log, checkpoints):
    """Another flow had taken over, but there was no output by which the one before noticed."""
    JournalWriter(log, 0).write(Configured(80, deciding(SETTINGS), version=2), 0)
    assert [one.offset for one in store.heads(0) if reached(one, log)] == [80, 40]
    assert recovered(store, log).position.offset == 80


def rate(value):
    return settings_from({"decision": {"threshold": value}})


def test_a_checkpoint_goes_on_with_the_settings_that_the_journal_had_then(tmp_path, store, log):
    run = Run(rides_shard(rate(0.5)))
    feed(run, RECORDS[:60], others={30: [Configuration(0, rate(0.25))]})
    store.save(checkpoint_of(run.shard, at_boundary=False))
    for topic, entries in run.written.items():
        log.append(topic, 0, entries)
    JournalWriter(log, 0).write(Configured(30, {"decision.threshold": 0.25}), 0)
    JournalWriter(log, 0).write(Configured(60, {"decision.threshold": 0.125}), 0)
    asked = []

    def fresh(values):
        asked.append(values)
        return rides_shard(rate(values["decision.threshold"] if values else 0.75))

    shard = recover(fresh, 0, store, log, no_model)
    assert asked[-1] == {"decision.threshold": 0.25}
    assert shard.snapshot() == run.shard.snapshot()
    store.drop_beyond(0, 0, shard.shape)
    assert recover(fresh, 0, store, log, no_model).settings == rate(0.75)
    assert asked[-1] is None


def test_the_newest_usable_checkpoint_is_the_same_for_all_who_ask(log, tmp_path):
    """Of the shape, reached by the log, and with a state; a state is asked for last."""
    store = CheckpointStore(tmp_path / "many")
    shape, counters = rides_shard().shape, dict.fromkeys(TOPICS, 0)
    for offset, of_shape, boundary in (
        (10, shape, 1), (20, shape, 2), (30, "other", 3), (40, shape, 4), (10**6, shape, 5),
    ):  # fmt: skip
        head = of_shape, 0, offset, counters, boundary, True
        store.save(Checkpoint(*head, shard=b""))
    others, asked = [], []

    def is_restorable(head):
        asked.append(head.offset)
        return head.offset != 40

    for checkpoints in (store.newest_first(0), store.heads(0)):
        found = usable(checkpoints, shape, log, is_restorable, others.append)
        assert [one.offset for one in found] == [20, 10]
    assert [one.offset for one in others] == [30, 30]
    assert asked == [40, 20, 10] * 2


def test_a_log_that_an_earlier_version_answered_is_refused_in_a_line(store, log):
    check_version(log, store, 0)
    run = feed(Run(rides_shard()), RECORDS[:60])
    made = checkpoint_of(run.shard, at_boundary=False)
    old = msgspec.structs.replace(made, shape="3" + made.shape[1:])
    store.save(old)
    check_version(log, store, 0)  # nothing was answered
    log.append("predictions", 0, run.written["predictions"])
    with pytest.raises(EarlierVersionError, match=r"shard 3.*export events.*ingest.*run") as raised:
        check_version(log, store, 0)
    assert str(raised.value).isprintable()
    store.save(checkpoint_of(feed(run, RECORDS).shard, at_boundary=False))
    check_version(log, store, 0)
