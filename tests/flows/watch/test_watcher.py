"""A look finds what happened, goes on from there, and survives what is away."""

import shutil
import time
from contextlib import closing

import pytest

from flows.home.home import environment_home
from state.checkpoints.store import CheckpointStore
from tests.asks import ask, tell
from tests.flows.watch.worlds import asked, ingest, run, settle, watcher

NOBODY = [tell(f"nobody {n}", n) for n in range(5)]


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    settle(tmp_path, monkeypatch)


def files(root):
    """Names, sizes and times of all files: what a look must not change."""
    there = (path for path in root.rglob("*") if path.is_file() and path.suffix != ".db-shm")
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in there}


def test_a_look_counts_what_a_run_did(tmp_path):
    ingest(tmp_path, [*asked(0, 60, *NOBODY), b"junk", b'{"type":"ask"}'])
    run()
    with closing(watcher()) as eyes:
        sample = eyes.look()
    log = sample.log
    assert (sample.trouble, sample.stream, sample.backend) == ("", "asks", "sqlite")
    (part,) = log.status.partitions
    assert (part.end, part.position, part.lag, part.lag_s) == (97, 97, 0, 0)
    assert log.status.ends["predictions"] == 60
    letters = {reason: n for reason, n in log.events.dead_letters.items() if n}
    assert letters == {"malformed": 1, "invalid": 1, "unmatched": 5}
    assert log.events.unread == 0
    assert set(log.events.alerts.values()) == {0}
    assert log.fits.decisions == {"promoted": 0, "rejected": 0, "failed": 0, "skipped": 5}
    assert sample.disk.free == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.2)
    assert {"log", "checkpoints"} <= {*sample.disk.parts}
    assert sample.beats == []


def test_the_next_look_goes_on_from_the_one_before(tmp_path):
    now = 1_000.0
    ingest(tmp_path, asked(0, 30, *NOBODY))
    run()
    with closing(watcher(lambda: now)) as eyes:
        first = eyes.look()
        assert first.rates == {}
        ingest(tmp_path, asked(30, 60, ask("a0", 31)))
        behind = eyes.look()
        now += 10
        (part,) = behind.log.status.partitions
        assert (part.lag, part.end - part.position) == (46, 46)
        assert 1700 <= part.lag_s <= 1800
        run()
        last = eyes.look()
    assert last.number == 3
    assert {**last.log.events.dead_letters, "unmatched": 0, "duplicate": 0} == dict.fromkeys(
        first.log.events.dead_letters, 0
    )
    assert last.log.events.dead_letters["unmatched"] == 5
    assert last.log.events.dead_letters["duplicate"] == 1
    assert last.rates["events"] == pytest.approx(4.6)
    assert last.rates["read"] == pytest.approx(4.6)
    assert last.rates["dead_letters"] == pytest.approx(0.1)
    assert last.lag_change == 0


def test_losses_are_told_tick_by_tick(tmp_path):
    ingest(tmp_path, asked(0, 60))
    run()
    with closing(watcher()) as eyes:
        quality = eyes.look().log.quality
    assert quality.total["online"].n == sum(t.lately["online"].n for t in quality.ticks)
    assert quality.total["online"].log_loss == pytest.approx(
        sum(t.lately["online"].n * t.lately["online"].log_loss for t in quality.ticks)
        / quality.total["online"].n
    )
    assert quality.lately == quality.ticks[-1].lately
    assert sum(quality.shares.values()) == pytest.approx(1)


def test_without_a_log_a_look_says_so_and_finds_it_later(tmp_path):
    with closing(watcher()) as eyes:
        nothing = eyes.look()
        assert nothing.trouble.startswith("home must hold a log; got none yet in ")
        assert (nothing.log, nothing.disk, nothing.rates) == (None, None, {})
        assert not (tmp_path / "home").exists()
        ingest(tmp_path, asked(0, 10))
        found = eyes.look()
    assert (found.trouble, found.log.status.partitions[0].end) == ("", 15)


def test_a_log_that_goes_away_is_told_with_its_last_figures(tmp_path):
    ingest(tmp_path, asked(0, 10))
    run()
    home = tmp_path / "home"
    with closing(watcher()) as eyes:
        before = eyes.look()
        home.rename(tmp_path / "away")
        gone = eyes.look()
        assert gone.trouble
        assert gone.log == before.log
        (tmp_path / "away").rename(home)
        assert eyes.look().trouble == ""


def test_another_log_in_its_place_is_counted_anew(tmp_path):
    ingest(tmp_path, asked(0, 30, *NOBODY))
    run()
    with closing(watcher()) as eyes:
        assert eyes.look().log.events.dead_letters["unmatched"] == 5
        shutil.rmtree(tmp_path / "home")
        ingest(tmp_path, asked(0, 25, *NOBODY[:2]))
        run()
        looks = [eyes.look() for _ in range(2)]  # the first may meet the files that were removed
    assert looks[-1].log.events.dead_letters["unmatched"] == 2
    assert looks[-1].log.status.ends["predictions"] == 25


def test_labels_that_stop_are_behind_by_append_time(tmp_path):
    ingest(tmp_path, [*asked(0, 10), *(line for line in asked(10, 40) if b'"ask"' in line)])
    run()
    with closing(watcher()) as eyes:
        log = eyes.look().log
    outcomes = environment_home().log()
    newest = [
        outcomes.read(topic, 0, outcomes.end(topic, 0) - 1)[0].append_time
        for topic in ("predictions", "outcomes")
    ]
    outcomes.close()
    assert log.labels_behind_s == (newest[0] - newest[1]) / 1e6
    assert 1700 < log.labels_behind_s < 1900


def test_a_look_changes_no_file(tmp_path):
    ingest(tmp_path, asked(0, 30))
    run()
    with closing(watcher()) as eyes:
        eyes.look()
        before = files(tmp_path / "home")
        eyes.look()
        assert files(tmp_path / "home") == before


def test_the_newest_checkpoint_is_told_with_its_age_and_size(tmp_path):
    ingest(tmp_path, asked(0, 30))
    run()
    with closing(watcher()) as eyes:
        (part,) = eyes.look().log.status.partitions
    folder = CheckpointStore(tmp_path / "home" / "checkpoints").folder(0)
    newest = max(folder.glob("*.ckpt"), key=lambda path: path.stat().st_mtime_ns)
    of = newest.stat()
    assert part.checkpoint == (45, of.st_mtime, of.st_size)
    assert of.st_mtime <= time.time()
