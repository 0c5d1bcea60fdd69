"""H2O as a child: it answers, it tells why not, and nothing of it stays."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from models.h2o import supervisor as h2o_supervisor
from models.h2o.errors import H2OFailed, H2OLost, H2OStartError, H2OVersionError, check_h2o_version
from models.h2o.server import H2OServer
from tests.ending import ended_within

OWNER = """
import sys
from pathlib import Path
from models.h2o.server import H2OServer
with H2OServer(memory="300m", threads=1, work_dir=Path(sys.argv[1])) as server:
    with server.temporary_folder() as folder:
        (folder / "rows").touch()
        print(server.pid, flush=True)
        sys.stdin.read()
"""


def _java_of(supervisor: int) -> int:
    return int(Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()[0])


@pytest.mark.parametrize("version", ["3.46.0.11", "3.46.0.9", "3.44.0.3"])
def test_a_release_that_exports_is_accepted(version):
    check_h2o_version(version)


@pytest.mark.parametrize("version", ["3.46.0.12", "3.46.1.1", "3.48.0.1", "4.0.0.1"])
def test_a_release_that_does_not_export_is_refused_with_what_to_install(version):
    with pytest.raises(H2OVersionError, match=r"licence.*pip install 'h2o==3\.46\.0\.11'"):
        check_h2o_version(version)


def test_the_shared_server_answers_on_loopback(h2o_server):
    assert h2o_server.url.startswith("http://127.0.0.1:")
    assert h2o_server.request("GET /3/Cloud")["cloud_healthy"]


def test_java_listens_on_loopback_only(h2o_server):
    java = _java_of(h2o_server.pid)
    links = [str(fd.readlink()) for fd in Path(f"/proc/{java}/fd").iterdir() if fd.is_symlink()]
    sockets = {link[8:-1] for link in links if link.startswith("socket:[")}
    listening, loopback = [], ("0100007F", "0000000000000000FFFF00000100007F")
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{java}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if rest[5] in sockets and (table.startswith("udp") or state == "0A"):
                listening.append(local.split(":")[0])
    assert len(listening) == 2
    assert set(listening) <= set(loopback)


def test_a_second_connection_by_url_leaves_the_server_running(h2o_server):
    with H2OServer(url=h2o_server.url) as second:
        assert second.pid is None
        assert second.session != h2o_server.session
    assert h2o_server.request("GET /3/Cloud")["cloud_healthy"]


def test_a_refused_request_says_what_was_refused(h2o_server):
    with pytest.raises(H2OFailed, match="GET /3/Nowhere"):
        h2o_server.request("GET /3/Nowhere")


def _frames(server):
    return {frame["frame_id"]["name"] for frame in server.request("GET /3/Frames")["frames"]}


def _make(server, name):
    ast = f"(assign {name} (rep_len 1 3))"
    server.request("POST /99/Rapids", ast=ast, session_id=server.session)


def test_a_child_is_cleared_of_everything_and_a_given_h2o_of_nothing(tmp_path):
    with H2OServer(memory="300m", threads=1, work_dir=tmp_path) as child:
        _make(child, "theirs")
        with H2OServer(url=child.url) as second:
            second.clear()
            assert _frames(second) == {"theirs"}
        child.clear()
        assert not _frames(child)
        _make(child, "after")
        assert _frames(child) == {"after"}


def test_nobody_at_the_url_is_an_error_that_names_it():
    with (
        pytest.raises(H2OStartError, match=r"http://127\.0\.0\.1:1"),
        H2OServer(url="http://127.0.0.1:1"),
    ):
        pass


def test_a_start_that_fails_shows_the_end_of_the_log_and_leaves_nothing(tmp_path):
    with (
        pytest.raises(H2OStartError, match="Too small maximum heap"),
        H2OServer(memory="1k", work_dir=tmp_path),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_a_lost_java_is_told_at_once_and_a_new_server_can_start(tmp_path):
    with H2OServer(memory="300m", threads=1, work_dir=tmp_path) as server:
        os.kill(_java_of(server.pid), signal.SIGKILL)
        with pytest.raises(H2OLost, match="must answer"):
            server.request("GET /3/Cloud")
        assert not list(tmp_path.iterdir())
        with pytest.raises(H2OLost):
            server.wait("any")
        with pytest.raises(H2OLost, match="must answer"), server.temporary_folder():
            pass
    with H2OServer(memory="300m", threads=1, work_dir=tmp_path) as server:
        java, supervisor = _java_of(server.pid), server.pid
        assert server.request("GET /3/Cloud")["cloud_healthy"]
    assert ended_within(java, 20)
    assert ended_within(supervisor, 20)
    assert not list(tmp_path.iterdir())


def test_an_abandoned_start_ends_at_once_and_leaves_nothing(tmp_path):
    server = H2OServer(memory="300m", work_dir=tmp_path)
    server.abandon()
    with pytest.raises(H2OStartError), server:
        pass
    assert not list(tmp_path.iterdir())


def test_who_waits_for_a_job_of_a_cluster_that_was_abandoned_waits_no_more(h2o_server):
    with H2OServer(url=h2o_server.url) as second:
        second.abandon()
        with pytest.raises(H2OFailed, match="got abandoned"):
            second.wait("any")
    assert h2o_server.request("GET /3/Cloud")["cloud_healthy"]


@pytest.mark.parametrize("victim", ["owner", "supervisor"])
def test_kill_9_leaves_neither_process_nor_file(tmp_path, victim):
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        supervisor = int(owner.stdout.readline())
        java = _java_of(supervisor)
        os.kill(owner.pid if victim == "owner" else supervisor, signal.SIGKILL)
        assert ended_within(java, 20)
        assert ended_within(supervisor, 20)
    if victim == "supervisor":  # its folder goes at the next start
        h2o_supervisor.sweep(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_sweep_spares_the_folder_of_a_living_supervisor(tmp_path):
    living = h2o_supervisor.own_folder(tmp_path)
    dead = tmp_path / f"{h2o_supervisor.PREFIX}dead"
    other = tmp_path / "other"
    dead.mkdir()
    other.mkdir()
    h2o_supervisor.sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([living, other])
