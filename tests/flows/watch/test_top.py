"""The view in the terminal: complete, plain where there is no terminal, and safe."""

import io
import re

import pytest

from flows.__main__ import main
from flows.terminal.console import TerminalConsole
from flows.watch.top import rendered
from flows.watch.view import view_of
from tests.flows.watch.samples import NOW, change, log_sample, partition, sample
from tests.flows.watch.worlds import asked, ingest, run, settle


def shown(one, width=100, *, terminal=False):
    file = io.StringIO()
    console = TerminalConsole(file=file, width=width, force_terminal=terminal)
    console.print(rendered(view_of(one)))
    return file.getvalue()


def test_everything_is_on_one_screen():
    text = shown(sample())
    assert text.startswith("quotes (kafka)  2027-01-15 08:00:00 UTC  50 records/s read\n")
    assert "All is well." in text
    assert re.search(r"^ +0 +0\.0 s +0 +1,000 +3\.0 s +gbm-1", text, re.MULTILINE)
    assert re.search(r"^ensemble +0\.4000 +0\.4000 +500 +█▇▅▄▂▁", text, re.MULTILINE)
    assert re.search(r"^stacks +75\.0% +█{15}", text, re.MULTILINE)
    assert "offline" not in text.partition("share ")[2].partition("dead letters")[0]
    assert "dead letters: 2 late\n" in text
    assert "fits: 2 promoted, 1 rejected; champion: gbm-1\n" in text
    assert "disk: 50.0 of 100.0 GiB free\n" in text
    assert "flow 7: 768 MiB, 12 s of processor time, 40 descriptors, 9 threads" in text
    assert "alert 2027-01-15 08:00 fit_rejected: It was no better.\n" in text
    assert len(text.splitlines()) < 40


def test_problems_stand_before_all_else():
    lines = shown(sample(processes=0, trouble="Kafka must answer")).splitlines()
    assert lines[1].strip() == "HeadwaterLogUnreadable: Kafka must answer"
    assert lines[2].strip() == "HeadwaterFlowDown: no process of the flow lives"


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_wider_than_the_terminal(width):
    log = log_sample(of_partitions=3, of_sources=50)
    text = shown(sample(log=log), width)
    assert max(map(len, text.splitlines())) <= width
    assert "fit_rejected" in text


def test_without_a_terminal_there_are_no_control_codes_and_with_one_there_are():
    assert "\x1b" not in shown(sample(processes=0))
    assert "\x1b[" in shown(sample(processes=0), terminal=True)


def test_names_from_events_cannot_control_the_terminal():
    log = log_sample()
    log = change(
        log,
        sources=change(log.sources, least_lag_s={"\x1b[2J\x07[red]": -9.0}),
        status=change(log.status, partitions=[partition(0, model="\x1b]0;x\x07")]),
    )
    text = shown(sample(log=log), terminal=True)
    assert "\x1b[2J" not in text
    assert "\x1b]" not in text
    assert "\x07" not in text
    assert "[red]" in text


def test_a_flow_of_which_nothing_is_known_is_shown_too():
    text = shown(sample(log=None, trouble="no log", disk=None, rates={}, beats=[]))
    assert "HeadwaterLogUnreadable: no log" in text
    assert "disk: -\n" in text
    assert text.startswith("quotes (kafka)  ")
    assert f"{NOW}" not in text


def test_once_prints_one_view_and_tells_by_its_exit_code(tmp_path, monkeypatch, capsys):
    settle(tmp_path, monkeypatch)
    assert main(["top", "--once"]) == 1
    assert (
        "HeadwaterLogUnreadable: home must hold a log; got none yet in" in capsys.readouterr().out
    )
    ingest(tmp_path, asked(0, 60))
    run()
    capsys.readouterr()
    assert main(["top", "--once"]) == 1  # the flow has ended
    out = capsys.readouterr().out
    assert re.search(r"^ +0 +0\.0 s +0 +90 ", out, re.MULTILINE)
    assert "HeadwaterFlowDown" in out
    assert "HeadwaterLogUnreadable" not in out
