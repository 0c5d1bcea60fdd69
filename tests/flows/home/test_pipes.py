"""A pipe or a device in the place of a file of a home is told in one line; no command waits."""

import os
import shutil
import signal

import pytest

from flows.__main__ import main
from flows.streams.quotes_market import Market

SETTINGS = """
stream = "quotes"
partitions = 1
[training]
trainer = "external"
wait = false
[checkpoints]
every = "1ms"
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A home that was run to its end."""
    root = tmp_path_factory.mktemp("pipes") / "whole"
    root.mkdir()
    (root / "headwater.toml").write_text(SETTINGS)
    (root / "events.jsonl").write_bytes(b"\n".join(Market(seed=2, rate_per_s=0.8).events(0.1)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("HEADWATER_HOME", str(root / "home"))
        patch.delenv("HEADWATER_CONFIG", raising=False)
        assert main(["ingest", "events.jsonl"]) == 0
        assert main(["run"]) == 0
    return root


@pytest.fixture
def root(whole, tmp_path, monkeypatch):
    root = shutil.copytree(whole, tmp_path / "root")
    monkeypatch.chdir(root)
    monkeypatch.setenv("HEADWATER_HOME", str(root / "home"))
    monkeypatch.delenv("HEADWATER_CONFIG", raising=False)
    return root


def waited(number, frame):
    raise TimeoutError


@pytest.fixture(autouse=True)
def _a_minute():
    before = signal.signal(signal.SIGALRM, waited)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def said(capsys, *words):
    """Exit code, and all that was said."""
    capsys.readouterr()
    try:
        code = main([*words])
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr()
    return code, said.out + said.err


KINDS = {"a named pipe": os.mkfifo, "a device": lambda path: path.symlink_to("/dev/zero")}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "place",
    [
        "home/log/events/0.db",
        "home/log/events/topic.json",
        "home/log/activations/0.db",
        "home/log/predictions/topic.json",
        "headwater.toml",
    ],
)
def test_each_command_names_the_file_in_one_line(root, capsys, place, kind):
    path = root / place
    path.unlink()
    KINDS[kind](path)
    for verb in ("status", "run", "doctor"):
        code, told = said(capsys, verb, *(["--no-h2o"] if verb == "doctor" else []))
        assert code in {1, 2}, verb
        lines = [line for line in told.splitlines() if f"got {kind}" in line]
        assert lines, told
        assert path.name in lines[0]
        assert "Traceback" not in told


def test_a_pipe_in_a_checkpoint_s_place_is_passed_over(root, capsys, caplog):
    (newest, *_) = sorted((root / "home/checkpoints/0").iterdir(), reverse=True)
    newest.unlink()
    os.mkfifo(newest)
    code, told = said(capsys, "doctor", "--no-h2o")
    assert code == 1
    assert "problem checkpoints" in told
    caplog.clear()
    assert said(capsys, "run")[0] == 0
    assert f"{newest} is damaged" in caplog.text
