"""A file is there whole or not at all, whatever happens while it is written."""

import resource
import signal
import subprocess
import sys

import pytest

from state.atomic_write import replacing, sweep, write_atomically

KILLED = """
import os, signal, sys
from pathlib import Path
from state.atomic_write import replacing
with replacing(Path(sys.argv[1])) as part:
    part.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""

SWEEPS = """
import sys
from pathlib import Path
from state.atomic_write import sweep
sweep(Path(sys.argv[1]))
"""
WRITES = """
import sys
from pathlib import Path
from state.atomic_write import sweep, write_atomically
path = Path(sys.argv[1])
for k in range(150):
    write_atomically(path, sys.argv[2].encode() * 1000)
    assert len(set(path.read_bytes())) == 1
    sweep(path.parent)
"""


def test_the_new_content_takes_the_place_of_the_old(tmp_path):
    path = tmp_path / "deep" / "file"
    for content in (b"old", b"new"):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def _fail_halfway(path):
    with replacing(path) as part:
        part.write_bytes(b"half")
        raise ZeroDivisionError


def test_an_error_leaves_the_old_content_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(ZeroDivisionError):
        _fail_halfway(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_content_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_atomically(path, bytes(1_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_wrote_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "file"):
        pass
    assert not list(tmp_path.iterdir())


def test_kill_9_leaves_the_old_content(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_sweep_removes_what_a_kill_left_and_not_what_is_being_written(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "dead")], check=False)
    with replacing(tmp_path / "alive") as part:
        part.write_bytes(b"half")
        subprocess.run([sys.executable, "-c", SWEEPS, str(tmp_path)], check=True)
        assert list(tmp_path.iterdir()) == [part]
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "alive"]


def test_two_that_write_one_file_write_it_one_after_the_other(tmp_path):
    words = [sys.executable, "-c", WRITES, str(tmp_path / "file")]
    writers = [subprocess.Popen([*words, str(n)]) for n in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
