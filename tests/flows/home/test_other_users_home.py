"""A home that another user owns can be read by every verb that reads, and is changed by none."""

import json
import shutil
import tempfile
from pathlib import Path

import pytest

from flows.home.home import Home
from flows.kernel_cache import find_kernel_cache
from tests.flow_processes import Group, fill
from tests.other_user import let_all_read, run_as_other
from tests.torture import WITHOUT_H2O

VERBS = """
import json, sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from flows.__main__ import main
said = []
for argv in json.loads(sys.argv[1]):
    with redirect_stdout(StringIO()) as out, redirect_stderr(out):
        code = main(argv)
    said.append((code, out.getvalue()))
print(json.dumps(said))
"""
READING = [
    ["status"],
    ["status", "--json"],
    ["export", "events", "--out", "events.jsonl"],
    ["export", "predictions", "--out", "predictions.parquet"],
    ["models"],
    ["clocks"],
    ["dead-letters"],
    ["branches"],
    ["doctor", "--no-h2o"],
    ["replay"],
]
WRITING = [
    ["run"],
    ["ingest", "events.jsonl"],
    ["trim", "--before", "2024-01-01T00:20"],
    ["rollback"],
    ["replay", "--set", "decision.threshold=0.1"],
]


@pytest.fixture(scope="module")
def public():
    """A folder that others may enter, with a run home."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        fill(root / "home", WITHOUT_H2O, hours=0.5)
        assert Group(root / "home").wait(300) == [0]
        yield root


def files(root):
    return {path: path.stat().st_mtime_ns for path in root.rglob("*")}


def said_by(verbs, home, folder):
    folder.mkdir()
    folder.chmod(0o777)
    environment = {
        "HEADWATER_HOME": str(home),
        "HEADWATER_CONFIG": str(home / "headwater.toml"),
        "HOME": "/nonexistent",
    }
    done = run_as_other(["-c", VERBS, json.dumps(verbs)], folder, environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("left", ["at rest", "killed"])
def test_reading_verbs_read_it_and_writing_verbs_end_with_one_line(public, left):
    home = public / f"home {left}"
    shutil.copytree(public / "home", home)
    if left == "killed":
        source = Home(public / "home").log()
        ends = source.end("events", 0)  # while it is open, there are a WAL and its index
        shutil.copytree(public / "home" / "log", home / "log", dirs_exist_ok=True)
        source.close()
        assert ends
        assert (home / "log/events/0.db-shm").exists()
    let_all_read(home)
    before = files(home)
    for argv, (code, said) in zip(
        READING + WRITING, said_by(READING + WRITING, home, public / left), strict=True
    ):
        assert code == (0 if argv in READING else 2), (argv, said)
        if argv in WRITING:
            assert said.splitlines()[-1].startswith("headwater: "), (argv, said)
            # There is no model to go back to, which is looked at first.
            assert argv == ["rollback"] or str(home) in said.splitlines()[-1]
    assert files(home) == before


def test_a_user_without_a_place_of_its_own_gets_a_folder_for_kernels(tmp_path):
    code, temporary = tmp_path / "code", tmp_path / "tmp"
    for folder in (code / "models", code / "state", temporary):
        folder.mkdir(parents=True)
    environment = {"HOME": str(tmp_path)}
    find_kernel_cache(environment, code, temporary)
    assert environment == {"HOME": str(tmp_path)}
    blocked = tmp_path / "file"
    blocked.touch()
    shutil.rmtree(code)
    environment = {"HOME": str(blocked)}
    find_kernel_cache(environment, blocked, temporary)
    (made,) = temporary.iterdir()
    assert environment["NUMBA_CACHE_DIR"] == str(made)
    assert made.stat().st_mode & 0o077 == 0
    again = {"HOME": str(blocked)}
    find_kernel_cache(again, blocked, temporary)
    assert again == environment
    made.chmod(0o777)  # anybody may have put code there
    find_kernel_cache(distrusting := {"HOME": str(blocked)}, blocked, temporary)
    assert distrusting["NUMBA_CACHE_DIR"] not in {str(made), ""}
