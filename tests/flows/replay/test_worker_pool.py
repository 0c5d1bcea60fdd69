"""Replays spread over processes end with them, and free workers take what is left."""

import multiprocessing
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.replay.worker_pool import spread

SLOW_S = 0.3


@dataclass(frozen=True)
class Job:
    """Notes what it is given; the partition that is bad raises, the others take a while.

    Args:
        folder: Folder of the notes.
        bad: The partition that raises.
    """

    folder: Path
    bad: int = -1

    def __call__(self, partitions, _report, tick):
        for partition in partitions:
            (self.folder / f"begun-{partition}").touch()
            if partition == self.bad:
                msg = f"partition must be good; got {partition}"
                raise ValueError(msg)
            time.sleep(SLOW_S)
            tick()
            (self.folder / f"done-{partition}").touch()
        return list(partitions)


def noted(folder):
    return [path.name for path in folder.iterdir()]


def test_nothing_goes_on_once_a_partition_has_failed(tmp_path):
    loads = [9, 1, 1, 1, 1, 1, 1, 1]
    with pytest.raises(ValueError, match="must be good; got 0"):
        spread(Job(tmp_path, bad=0), loads, 2, print, lambda: None, apart=True)
    assert not multiprocessing.active_children()
    assert len([name for name in noted(tmp_path) if name.startswith("begun")]) < len(loads)


def test_a_stop_ends_the_workers_first(tmp_path):
    def stop():
        if any(tmp_path.iterdir()):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spread(Job(tmp_path), [1] * 8, 2, print, stop, apart=True)
    assert not multiprocessing.active_children()
    assert len([name for name in noted(tmp_path) if name.startswith("begun")]) < 8


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("loads", [[5, 1, 4, 2], [0, 0, 3, 0], [0, 0, 0, 0]])
def test_every_partition_is_taken_once(tmp_path, loads, apart):
    found = spread(Job(tmp_path), loads, 2, print, lambda: None, apart=apart)
    assert sorted(found) == [0, 1, 2, 3]
