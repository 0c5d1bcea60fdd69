"""The holder of a partition is named by its lock, whatever lies in the lock's place."""

import os

import pytest

from flows.home.file_lock import lock_partition
from state.process_lock import LockedError, acquire
from state.regular_file import NotRegularError


def test_a_second_process_is_told_the_first_one_s_number(tmp_path):
    held = lock_partition(tmp_path, 0)
    with pytest.raises(LockedError, match=f"already processed by pid {os.getpid()} "):
        lock_partition(tmp_path, 0)
    os.close(held)


def test_a_named_pipe_that_somebody_holds_is_not_waited_for(tmp_path):
    path = tmp_path / "running" / "0.lock"
    path.parent.mkdir()
    os.mkfifo(path)
    held = acquire(path, "it is taken")
    with pytest.raises(NotRegularError, match="got a named pipe"):
        lock_partition(tmp_path, 0)
    os.close(held)
