"""Whatever is named to a process at its start, and whenever it is interrupted: one line."""

import os
import signal
import subprocess
import sys

import pytest

from flows.__main__ import _VERBS, main
from operators.partition.journal import Activated, JournalWriter
from state.log.sqlite import SqliteLog
from tests.flow_processes import REPOSITORY, fill
from tests.torture import WITHOUT_H2O

ENTRIES = [
    ("-m", "flows", "run"),
    ("-m", "bytewax.run", "flows.main"),
    ("-m", "bytewax.run", "flows.train"),
    ("-m", "bytewax.run", "flows.ingest"),
]
VERBS = {
    "export": ("events", "--out", "x.jsonl"),
    "trim": ("--before", "2020-01-01"),
    "doctor": ("--no-h2o",),
}


def started(words, **environment):
    return subprocess.Popen(
        [sys.executable, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=REPOSITORY,
        env=os.environ | {name: str(value) for name, value in environment.items()},
    )


def ended(words, **environment):
    """Exit code and what was said."""
    process = started(words, **environment)
    said, _ = process.communicate(timeout=120)
    return process.returncode, said.decode()


@pytest.mark.parametrize("words", ENTRIES)
def test_without_docstrings_nothing_starts(words):
    code, said = ended(words, PYTHONOPTIMIZE=2)
    assert code == 2
    assert said == "headwater: PYTHONOPTIMIZE must be below 2; got 2 (or -OO): not supported\n"


@pytest.mark.parametrize(
    "verb", [verb.name for verb in _VERBS if verb.name not in {"topics", "stream", "dashboards"}]
)
def test_a_home_that_is_a_file_is_told_in_a_line(tmp_path, monkeypatch, capsys, verb):
    home = tmp_path / "home"
    home.write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADWATER_HOME", str(home))
    assert main([verb, *VERBS.get(verb, ())]) == 2
    line = capsys.readouterr().err
    assert line == f"headwater: home must be a directory; got the file {home}\n"


def folder(path):
    path.mkdir()


def binary(path):
    path.write_bytes(os.urandom(4096) + b"\xff\x00")


def huge(path):
    with path.open("wb") as file:
        file.truncate(10**9)


def deep(path):
    path.write_text("a = " + "[" * 100_000)


def digits(path):
    path.write_text("a = " + "9" * 100_000)


@pytest.mark.parametrize("write", [folder, binary, huge, deep, digits])
def test_settings_that_are_no_settings_are_told_in_a_line(tmp_path, monkeypatch, capsys, write):
    path = tmp_path / "settings"
    write(path)
    monkeypatch.setenv("HEADWATER_HOME", str(tmp_path))
    monkeypatch.setenv("HEADWATER_CONFIG", str(path))
    assert main(["status"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("headwater: ")
    assert line.endswith(f"{path}\n")
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "-w", "9" * 5000], "must be at most 256"),
        (["run", "-w", "0"], "must be a whole number from 1; got '0'"),
        (["run", "-w", "-1"], "must be a whole number from 1; got '-1'"),
        (["run", "-w", "\u0660"], "must be a whole number from 1"),
        (["run", "-w", "257"], "must be at most 256; got '257'"),
        (["dead-letters", "--limit", "9" * 30], "must be at most 1,000,000"),
        (["serve", "--port", "9" * 5000], "must be a whole number up to 65535"),
        (["run", "--until", "0001-01-01T00:00+23:59"], "date must lie from 1970"),
        (["run", "--until", "9999-12-31T23:59-23:59"], "date must lie from 1970"),
        (["run", "--until", "1969-12-31"], "date must lie from 1970"),
        (["replay", "--from", "x" * 10**4], "date must be like 2013-04-01"),
        (["replay", "--set", "[" * 10**4], "must be KEY=VALUE"),
    ],
)
def test_an_argument_without_a_meaning_is_told_in_a_line(capsys, words, message):
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    line = capsys.readouterr().err
    assert message in line
    assert line.count("\n") == 1
    assert len(line) < 500


@pytest.mark.parametrize("words", [("-m", "flows", "status"), ENTRIES[1], ENTRIES[2], ENTRIES[3]])
def test_an_interrupt_while_modules_load_is_told_in_a_line(tmp_path, words):
    marker = "import os; os.write(1, b'loading\\n')"
    (tmp_path / "numba.py").write_text(f"{marker}\nimport time\ntime.sleep(60)\n")
    process = started(
        words, PYTHONPATH=f"{tmp_path}:{REPOSITORY}", HEADWATER_HOME=tmp_path / "home"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"loading\n"
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == b"headwater: stopped: nothing was changed\n"


@pytest.mark.parametrize("words", [ENTRIES[0], ENTRIES[1]])
def test_a_journal_that_names_an_unknown_model_is_told_in_a_line(tmp_path, words):
    home = tmp_path / "home"
    fill(home, WITHOUT_H2O, hours=0.1)
    log = SqliteLog(home / "log")
    JournalWriter(log, 0).write(Activated(3, "gbm-lost", None), 0)
    log.close()
    code, said = ended(
        words, HEADWATER_HOME=home, HEADWATER_CONFIG=home / "headwater.toml", RUST_BACKTRACE="0"
    )
    assert code == 2
    assert said.splitlines()[-1] == (
        "headwater: model gbm-lost must be usable: model must be in topic 'models'; got "
        "'gbm-lost', it has none: was the log cut?"
    )
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "description", ['{class = "os.system"}', '{class = "tree.HoeffdingTreeClassifier", x = 1}']
)
def test_a_river_class_that_cannot_be_made_is_told_in_a_line(tmp_path, description):
    (tmp_path / "headwater.toml").write_text(f"online.river = {description}\n")
    code, said = ended(
        ENTRIES[0],
        HEADWATER_HOME=tmp_path / "home",
        HEADWATER_CONFIG=tmp_path / "headwater.toml",
    )
    assert code == 2
    assert said.startswith("headwater: online.river must ")
    assert said.count("\n") == 1
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("name", ["h2o", "scipy.special", "scipy.stats", "confluent_kafka"])
def test_a_command_does_not_load_what_only_some_need(name):
    program = f"import sys, flows.__main__; sys.exit({name!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
