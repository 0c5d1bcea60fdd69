"""A pipe, a device, a socket or a folder where a file should be is refused, and nobody waits."""

import os
import socket
from pathlib import Path

import pytest

from state.regular_file import NotRegularError, check_regular, read_regular


def a_pipe(path):
    os.mkfifo(path)


def a_device(path):
    path.symlink_to("/dev/zero")


def a_folder(path):
    path.mkdir()


@pytest.mark.parametrize(
    ("made", "told"),
    [(a_pipe, "a named pipe"), (a_device, "a device"), (a_folder, "a folder")],
)
def test_what_is_no_regular_file_is_neither_read_nor_waited_for(tmp_path, made, told):
    path = tmp_path / "file"
    made(path)
    for look in (read_regular, check_regular):
        with pytest.raises(NotRegularError, match=f"must be a regular one; got {told} in {path}"):
            look(path)


def test_a_socket_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("file")
        with pytest.raises(NotRegularError, match="got a socket in file"):
            check_regular(Path("file"))
        with pytest.raises(OSError, match="file"):
            read_regular(Path("file"))


def test_a_file_is_read_also_through_a_link_and_in_part(tmp_path):
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_bytes(b"content")
    link.symlink_to(path)
    check_regular(link)
    assert read_regular(link) == b"content"
    assert read_regular(link, 3) == b"con"


def test_what_is_not_there_is_missing_where_it_is_read_and_fine_where_it_is_looked_at(tmp_path):
    check_regular(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "none")
