"""Nothing from settings, events, names or files commands the terminal, however it is shown."""

import io
import json
import logging
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.progress import TextColumn
from rich.table import Table

from flows.terminal.console import Bar, TerminalConsole, plain_streams
from state.plain_text import is_plain_line, plain, plain_line
from tests.flow_processes import fill
from tests.torture import WITHOUT_H2O

HOSTILE = "a\x1b[2J\x1b]0;t\x07\x9b31m\x85\u202eb\u2066c\x00\rd[red]x[/]:smile:\x7f"
COMMANDS = [*map(chr, range(9)), *map(chr, range(11, 32)), *map(chr, range(127, 160)), "\u202e"]


def commands_in(shown):
    return [one for one in COMMANDS if one in shown]


@given(st.text())
def test_a_plain_line_has_no_control_character_and_stays_the_same_json(text):
    line = plain_line(text)
    assert is_plain_line(line)
    assert commands_in(line) == []
    assert "\n" not in line
    quoted = json.dumps(text, ensure_ascii=False)
    assert json.loads(plain(quoted)) == text


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_letters_digits_and_signs_are_shown_as_they_are(text):
    assert plain(text) == plain_line(text) == text


@pytest.mark.parametrize("terminal", [True, False])
def test_a_console_shows_text_as_it_is_and_obeys_nothing_in_it(terminal):
    out = io.StringIO()
    console = TerminalConsole(
        file=out, force_terminal=terminal, width=500, color_system=None, soft_wrap=True
    )
    table = Table(box=None)
    table.add_column(HOSTILE)
    table.add_row(HOSTILE)
    console.print(table)
    console.print(HOSTILE)
    console.print(f"path/{HOSTILE}/[/]")
    assert commands_in(out.getvalue()) == []
    assert out.getvalue().count("[red]x[/]:smile:") == 4


def test_beside_a_progress_bar_nothing_is_obeyed_either():
    out = io.StringIO()
    console = TerminalConsole(file=out, force_terminal=True, width=300, color_system=None)
    before = sys.stdout, sys.stderr
    with Bar(TextColumn("{task.description}", markup=False), console=console) as bar:
        bar.add_task(HOSTILE, total=1)
        bar.refresh()
        sys.stderr.write(f"{HOSTILE}\n")
        logging.getLogger("headwater.test").warning(HOSTILE)
    assert (sys.stdout, sys.stderr) == before
    shown = out.getvalue()
    assert "[2J" in shown  # the text is there,
    for command in ("\x1b[2J", "\x1b]", "\x9b", "\u202e", "\x07"):
        assert command not in shown  # and none of rich's own


def test_what_is_written_to_the_streams_is_plain_and_rich_writes_beside_them(capsys):
    with plain_streams():
        print(HOSTILE)
        sys.stderr.write(HOSTILE)
        assert Console().file is not sys.stdout
    out, err = capsys.readouterr()
    assert commands_in(out.replace("\n", "")) == commands_in(err) == []


def test_consoles_are_made_in_one_place():
    flows = Path(__file__).parents[3] / "flows"
    found = [
        path.name
        for path in flows.rglob("*.py")
        if path.name != "terminal.py" and " Console(" in path.read_text().replace("=", " ")
    ]
    assert found == []


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with hostile records in it: ids, sources and reasons."""
    root = tmp_path_factory.mktemp("terminal") / "home"
    fill(root, WITHOUT_H2O, hours=0.2)
    return root


HOSTILE_LINES = [
    b"\x1b[2J\x9b31m",
    json.dumps({"type": HOSTILE, "id": "x", "time": 5}).encode(),
    json.dumps({"type": "quote", HOSTILE: 1, "id": HOSTILE, "time": 5, "source": HOSTILE}).encode(),
    json.dumps(
        {"type": "quote", "id": HOSTILE, "time": 5, "source": HOSTILE}, ensure_ascii=False
    ).encode(),
]


@pytest.mark.parametrize(
    "words",
    [
        ["ingest", "FILE"],
        ["run"],
        ["status"],
        ["status", "--json"],
        ["dead-letters"],
        ["dead-letters", "--json"],
        ["clocks", "--from", "1970-01-01"],
        ["models"],
        ["models", "--json"],
        ["branches"],
        ["branches", "--remove", HOSTILE.replace("\x00", "")],
        ["rollback", HOSTILE.replace("\x00", "")],
        ["export", "events", "--out", "OUT"],
        [HOSTILE.replace("\x00", "")],
        ["run", "--until", HOSTILE.replace("\x00", "")],
        ["replay", "--set", HOSTILE.replace("\x00", "")],
    ],
    ids=lambda words: " ".join(words)[:20].encode("ascii", "ignore").decode(),
)
def test_no_verb_sends_a_command_to_the_terminal(home, tmp_path, words):
    name = HOSTILE.replace("\x00", "").replace("/", "")
    given = tmp_path / f"{name}.jsonl"
    given.write_bytes(b"\n".join(HOSTILE_LINES) + b"\n")
    places = {"FILE": str(given), "OUT": str(tmp_path / f"{name}2.jsonl")}
    words = [places.get(word, word) for word in words]
    shown = in_terminal(home, words)
    for command in ("\x1b[2J", "\x1b]", "\x9b", "\x85", "\u202e", "\u2066", "\x07", "\x00"):
        assert command not in shown, words
    assert "Traceback" not in shown


def in_terminal(home, words):
    """The output of a command in a terminal."""
    primary, secondary = pty.openpty()
    environment = os.environ | {
        "HEADWATER_HOME": str(home),
        "HEADWATER_CONFIG": str(home / "headwater.toml"),
        "TERM": "xterm",
        "COLUMNS": "400",
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "flows", *words],
        stdin=subprocess.DEVNULL,
        stdout=secondary,
        stderr=secondary,
        env=environment,
        cwd=home,
    )
    os.close(secondary)
    parts = []
    while True:
        try:
            part = os.read(primary, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        parts.append(part)
    process.wait(60)
    os.close(primary)
    return b"".join(parts).decode()


@pytest.mark.parametrize(
    "raising", ["fail()", "t = threading.Thread(target=fail); t.start(); t.join()"]
)
def test_a_traceback_is_plain_too(raising):
    program = (
        "import threading\n"
        "from flows.terminal.console import plain_streams\n"
        "def fail(): raise RuntimeError('\\x1b[2J\\u202edlog')\n"
        f"with plain_streams():\n    {raising}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        cwd=Path(__file__).parents[3],
        check=False,
    )
    assert done.stderr.decode().splitlines()[-1] == r"RuntimeError: \u001b[2J\u202edlog"
