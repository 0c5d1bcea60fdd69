"""With HEADWATER_LOG_FORMAT=json every line on standard error is a record."""

import io
import json
import logging
import os
import subprocess
import sys

import pytest

from flows.terminal.json_lines import JsonLines, are_wanted
from tests.flow_processes import fill
from tests.torture import WITHOUT_H2O

HOSTILE = "a\x1b[2J\x9b31m\u202eb"


def recorded(*words, code=0, **environment):
    """The records of a command that ends with this code."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        env={**os.environ, "HEADWATER_LOG_FORMAT": "json", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    records = [json.loads(line) for line in done.stderr.splitlines()]
    assert all({"event", "level", "message", "time"} <= record.keys() for record in records)
    return records


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    root = tmp_path_factory.mktemp("homes") / "home"
    fill(root, WITHOUT_H2O, hours=0.2)
    return root


@pytest.mark.parametrize("words", [["flows", "run"], ["bytewax.run", "flows.main"]])
def test_the_end_of_a_run_is_a_record_with_its_figures(home, words):
    config = str(home / "headwater.toml")
    *_, end = recorded(*words, HEADWATER_HOME=str(home), HEADWATER_CONFIG=config)
    assert end["event"] == "ended"
    assert f"{end['records']:,} events read" in end["message"]
    assert end["records"] > 0


def test_the_processes_of_a_run_are_told_apart(home):
    config = str(home / "headwater.toml")
    given = {"HEADWATER_HOME": str(home), "HEADWATER_CONFIG": config}
    records = recorded("flows", "run", "-p", "2", **given)
    assert {record["process_number"] for record in records} <= {0, 1}
    assert "ended" in {record["event"] for record in records}


def test_an_error_is_a_record(home):
    (error,) = recorded("flows", "status", "--nope", code=2)
    assert (error["event"], error["level"]) == ("error", "ERROR")
    assert error["message"].startswith("unrecognized arguments: --nope")


@pytest.mark.parametrize("words", [["flows", "status"], ["bytewax.run", "flows.main"]])
def test_another_format_is_an_error(home, words):
    done = subprocess.run(
        [sys.executable, "-m", *words],
        env={**os.environ, "HEADWATER_LOG_FORMAT": "xml", "HEADWATER_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    rule = "headwater: HEADWATER_LOG_FORMAT must be one of text, json; got 'xml'\n"
    assert (done.returncode, done.stderr) == (2, rule)


@pytest.mark.parametrize(("value", "wanted"), [(None, False), ("", False), ("json", True)])
def test_text_is_the_default(monkeypatch, value, wanted):
    monkeypatch.delenv("HEADWATER_LOG_FORMAT", raising=False)
    if value is not None:
        monkeypatch.setenv("HEADWATER_LOG_FORMAT", value)
    assert are_wanted() is wanted


def test_a_line_in_pieces_is_one_record_and_nothing_in_it_is_obeyed():
    to = io.StringIO()
    lines = JsonLines(to)
    try:
        lines.write("one ")
        lines.write(f"line {HOSTILE}\nanother")
        logging.getLogger("anybody").warning("a warning of %s", "a library")
        lines.write(" one\n\n")
    finally:
        lines.close()
    logging.getLogger("headwater").info("not any more")
    told = [json.loads(line) for line in to.getvalue().splitlines()]
    assert [(one["level"], one["message"]) for one in told] == [
        ("INFO", f"one line {HOSTILE}"),
        ("WARNING", "a warning of a library"),
        ("INFO", "another one"),
    ]


def test_no_record_sends_a_command_to_the_terminal():
    records = (
        "import sys\n"
        "from flows.terminal.console import plain_streams\n"
        f"with plain_streams():\n    print({HOSTILE!r}, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", records],
        env={**os.environ, "HEADWATER_LOG_FORMAT": "json"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.removesuffix("\n").isprintable()
    assert json.loads(done.stderr)["message"] == HOSTILE
