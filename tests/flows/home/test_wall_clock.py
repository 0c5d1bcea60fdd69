"""A home's current time, and the logs it refuses."""

import msgspec
import pytest

from flows.home.configuration import ConfigurationError
from flows.home.home import Home, create_topics
from flows.home.wall_clock import (
    AheadError,
    check_append_times,
    declare_time,
    latest_time,
    microseconds_now,
)
from state.events import DAY_US, HOUR_US
from state.log import Entry


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


@pytest.fixture
def log(home):
    log = home.log()
    create_topics(log, 2)
    yield log
    log.close()


def test_the_latest_time_is_this_machine_s_unless_more_was_declared(home):
    before = microseconds_now()
    assert before <= latest_time(home) <= microseconds_now()
    declare_time(home, 5)
    assert not (home.root / "clock.json").exists()
    declare_time(home, far := microseconds_now() + 400 * DAY_US)
    declare_time(home, far - DAY_US)
    assert latest_time(home) == far


def test_the_end_of_a_demo_is_declared_by_itself(home):
    home.root.mkdir()
    until = microseconds_now() + 400 * DAY_US
    demo = {"stream": "quotes", "until": until, "complete": True}
    (home.root / "demo.json").write_bytes(msgspec.json.encode(demo))
    assert latest_time(home) == until


@pytest.mark.parametrize("name", ["clock.json", "demo.json"])
@pytest.mark.parametrize("content", [b"not json", b"{}", b"\xff", b"[" * 10**6])
def test_a_damaged_note_of_the_time_is_named_in_one_line(home, name, content):
    home.root.mkdir()
    (home.root / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"in {home.root / name}: restore it") as refused:
        latest_time(home)
    assert "\n" not in str(refused.value)


def test_a_log_a_few_hours_ahead_passes_for_the_clock_may_have_been_set_back(home, log):
    log.append("events", 1, [Entry(microseconds_now() + 20 * HOUR_US, b"", b"")])
    check_append_times(log, home)


@pytest.mark.parametrize("time", [2**63 - 1, 4_070_908_800_000_000])
def test_a_log_from_the_future_is_refused(home, log, time):
    log.append("events", 1, [Entry(time, b"", b"")])
    with pytest.raises(AheadError, match="`headwater doctor --repair` starts a new home without"):
        check_append_times(log, home)
    declare_time(home, time)
    check_append_times(log, home)
