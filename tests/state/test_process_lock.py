import os
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from state.process_lock import LockedError, acquire, is_locked, locked
from tests.other_user import let_all_read, run_as_other

HOLDER = """
import sys
from pathlib import Path
from state.process_lock import acquire
acquire(Path(sys.argv[1]), "refused", shared=sys.argv[2] == "shared")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def another_process_holds(path, how="alone"):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        yield holder
        holder.stdin.close()


def folder_and_file(root):
    folder = root / "folder"
    folder.mkdir()
    return folder, root / "file"


@pytest.mark.parametrize("kind", [0, 1], ids=["folder", "file"])
def test_a_lock_refuses_another_process_until_its_holder_is_killed(tmp_path, kind):
    path = folder_and_file(tmp_path)[kind]
    with another_process_holds(path) as holder:
        assert is_locked(path)
        with pytest.raises(LockedError, match="busy"):
            acquire(path, "busy")
        with pytest.raises(LockedError, match="busy"):
            acquire(path, "busy", shared=True)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert not is_locked(path)
        os.close(acquire(path, "busy"))


@pytest.mark.parametrize("kind", [0, 1], ids=["folder", "file"])
def test_a_process_refuses_itself(tmp_path, kind):
    path = folder_and_file(tmp_path)[kind]
    with locked(path, "busy"), pytest.raises(LockedError, match="busy"):
        acquire(path, "busy")
    with locked(path, "busy"):
        assert is_locked(path)
    assert not is_locked(path)


def test_shared_locks_stand_beside_each_other_and_keep_others_out(tmp_path):
    with another_process_holds(tmp_path, "shared"):
        mine = acquire(tmp_path, "busy", shared=True)
        assert not is_locked(tmp_path)
        with pytest.raises(LockedError):
            acquire(tmp_path, "busy")
        os.close(mine)
    os.close(acquire(tmp_path, "busy"))


def test_a_lock_without_a_refusal_is_waited_for(tmp_path):
    path, order = tmp_path / "file", []

    def work():
        with locked(path):
            order.append("second")

    with locked(path):
        second = threading.Thread(target=work)
        second.start()
        order.append("first")
    second.join()
    assert order == ["first", "second"]


def test_looking_creates_nothing(tmp_path):
    assert not is_locked(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def public():
    """A folder that other users can reach, unlike `tmp_path`."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def test_a_reader_shares_what_it_may_not_write(public):
    path = public / "file"
    path.touch()
    let_all_read(public)
    words = (
        "import sys; from pathlib import Path; from state.process_lock import acquire, is_locked;"
        "[acquire(Path(one), 'busy', shared=True) for one in sys.argv[1:]];"
        "print([is_locked(Path(one)) for one in sys.argv[1:]])"
    )
    run = run_as_other(["-c", words, str(public), str(path)], cwd=public)
    assert (run.stdout, run.stderr) == ("[False, False]\n", "")


def test_a_file_that_cannot_be_locked_is_named(tmp_path):
    path = tmp_path / "missing" / "file"
    with pytest.raises(FileNotFoundError, match=str(path)):
        acquire(path, "busy")


def waited(number, frame):
    raise TimeoutError


@pytest.mark.parametrize("shared", [True, False])
def test_a_named_pipe_in_the_place_of_a_lock_is_not_waited_for(tmp_path, shared):
    path = tmp_path / "lock"
    os.mkfifo(path)
    before = signal.signal(signal.SIGALRM, waited)
    signal.alarm(20)
    try:
        assert not is_locked(path)
        descriptor = acquire(path, "it is taken", shared=shared)
        assert is_locked(path) is not shared
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    os.close(descriptor)
