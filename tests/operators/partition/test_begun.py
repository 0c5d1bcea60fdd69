"""The journal's first entry notes when the log begun, and boundaries are counted from there."""

from functools import partial

import msgspec
import pytest

from operators.partition.boundaries import Boundaries
from operators.partition.journal import Configured, begun_of
from operators.shard.messages import Activation, Boundary
from state.events import HOUR_US, MINUTE_US
from state.log import Entry
from state.settings import deciding, settings_from
from tests.operators.partition.test_decider import Decided, drained, filled, journal, reader

HOURLY = settings_from({"training": {"every": "1h"}})
BEGUN_US = 1_000 * HOUR_US + 1
MINUTES = [0, 7, 8, 200]
"""Of the records: at 200 minutes the log is old enough for whole hours, at 8 it is not."""


def times(*minutes):
    return [BEGUN_US + minute * MINUTE_US for minute in minutes]


@pytest.fixture
def log(tmp_path):
    log = filled(tmp_path / "log", times(*MINUTES), times(3))
    yield log
    log.close()


def flow(log, decisions, position=None, *, partition=0, **given):
    return reader(
        log, decisions, position, partition=partition, wanted=lambda: deciding(HOURLY),
        boundaries=Boundaries(0, HOUR_US), begun=partial(begun_of, log), **given,
    )  # fmt: skip


def boundaries(seen):
    return [(one.time - BEGUN_US + 1) / MINUTE_US for one in seen if isinstance(one, Boundary)]


SKIPS = Decided(*((1_000 * HOUR_US + round(m * MINUTE_US), None) for m in (0, 7.5, 180)))


def test_boundaries_of_a_young_log_come_early_and_none_before_its_first_event(log):
    assert boundaries(drained(flow(log, SKIPS))) == [7.5, 180]
    (configured, *_) = journal(log)
    assert configured == Configured(0, deciding(HOURLY), BEGUN_US, version=4)


def test_a_run_resumed_from_its_journal_has_the_same_boundaries(log):
    first = drained(flow(log, SKIPS, batch=1))
    assert drained(flow(log, SKIPS)) == first
    assert len(journal(log)) == 3


def test_an_entry_of_an_earlier_version_notes_nothing_and_all_goes_on_as_it_was(log):
    log.append(
        "activations", 0,
        [Entry(0, b"", msgspec.json.encode(Configured(0, deciding(HOURLY), version=2)))],
    )  # fmt: skip
    assert boundaries(drained(flow(log, SKIPS))) == [0, 180]


def test_nothing_is_decided_or_read_before_the_first_event_of_any_partition(tmp_path):
    log = filled(tmp_path / "log", [], [])
    runs = [flow(log, SKIPS, partition=partition) for partition in (0, 1)]
    assert [drained(run) for run in runs] == [[], []]
    assert all(run.at_end() for run in runs)
    assert journal(log) == []
    log.append("events", 1, [Entry(BEGUN_US, b"", b"{}")])
    assert [one for one in drained(runs[0]) if isinstance(one, Activation | Boundary)] == []
    assert drained(runs[1])[-1] == 0
    assert [journal(log, p)[0].begun for p in (0, 1)] == [BEGUN_US, BEGUN_US]
    log.close()


def test_what_one_partition_noted_holds_for_all_though_an_older_event_comes(tmp_path):
    later = filled(tmp_path / "later", [], times(5))
    drained(flow(later, SKIPS, partition=1))
    later.append("events", 0, [Entry(time, b"", b"{}") for time in times(1)])
    drained(flow(later, SKIPS))
    assert [journal(later, p)[0].begun for p in (0, 1)] == times(5, 5)
    later.close()


def test_events_of_the_earliest_time_there_is_begin_a_log_too(tmp_path):
    log = filled(tmp_path / "log", [])
    assert begun_of(log) is None
    log.append("events", 0, [Entry(0, b"", b"{}")])
    assert begun_of(log) == 0
