"""A file to write is a file: no device, pipe, folder or link is replaced by one."""

import os
import stat

import pytest

from flows.__main__ import main
from tests.flows.watch.worlds import asked, ingest, run, settle

WRITERS = {
    "report": ["report", "--out"],
    "card": ["card", "any", "--html"],
    "export": ["export", "predictions", "--out"],
    "openmetrics": ["export", "metrics", "--openmetrics", "--out"],
    "replay": ["replay", "--set", "decision.threshold=0.4", "--out"],
}
THERE = {
    "pipe": (os.mkfifo, stat.S_ISFIFO, "a named pipe"),
    "folder": (os.mkdir, stat.S_ISDIR, "a folder"),
    "link": (lambda path: path.symlink_to("/proc/self/fd/1"), stat.S_ISLNK, "no link"),
    "device": (lambda path: path.symlink_to("/dev/zero"), stat.S_ISLNK, "no link"),
}


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    settle(tmp_path, monkeypatch)
    ingest(tmp_path, asked(0, 60))
    run()


def refused(capsys, *words):
    """The line with which a command ends."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("kind", THERE)
@pytest.mark.parametrize("writer", WRITERS)
def test_only_a_file_is_replaced(tmp_path, capsys, writer, kind):
    make, is_there, named = THERE[kind]
    path = tmp_path / "out.parquet"
    make(path)
    assert named in refused(capsys, *WRITERS[writer], str(path))
    assert is_there(path.lstat().st_mode)


@pytest.mark.parametrize("name", ["", ".", "/", "folder/", "a\x00b", "a\nb", "\ud800"])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_name_that_no_file_can_have_is_refused_in_a_line(capsys, writer, name):
    assert "must be" in refused(capsys, *WRITERS[writer][:-1], f"{WRITERS[writer][-1]}={name}")
