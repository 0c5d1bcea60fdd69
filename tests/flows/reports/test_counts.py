"""Labels that met no request, or are awaited, are counted where people look."""

import io
import json

import pytest
from rich.console import Console

from flows.__main__ import main
from flows.home.home import environment_home
from flows.reports.counts import counts_of, newest_metrics
from flows.runtime.summary import print_summary
from tests.asks import ask, encode, minute, tell


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Of a stream without a label by silence; thirty labels meet their requests, five never do."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADWATER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HEADWATER_CONFIG", raising=False)
    (tmp_path / "headwater.toml").write_text(
        'stream = "tests.asks:unknown"\nmetrics.every = "1m"\n'
    )
    events = [ask(f"a{n}", n) for n in range(60)]
    events += [tell(f"a{n}", n + 1) for n in range(0, 60, 2)]
    events += [tell(f"nobody {n}", n) for n in range(5)]
    events += [tell("early", 99), ask("last", 101)]
    events.sort(key=lambda event: event.time)
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(map(encode, events)))
    assert minute(0) < events[-1].time
    assert main(["ingest", "events.jsonl"]) == 0
    assert main(["run"]) == 0
    return environment_home()


def test_metrics_status_and_summary_count_them(home, capsys):
    log = home.log()
    counts = counts_of(newest_metrics(log))
    assert (counts.requests, counts.labels, counts.unlabelled, counts.early) == (61, 30, 30, 1)
    assert (counts.pending, counts.dead_letters) == (1, {"unmatched": 5})
    shown = io.StringIO()
    print_summary(Console(file=shown, width=100), log, [], home)
    assert "Dead letters: 5 unmatched\n" in shown.getvalue()
    assert "Requests without a label: 30\n" in shown.getvalue()
    assert "Labels that wait for their request: 1\n" in shown.getvalue()
    log.close()
    capsys.readouterr()
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["unlabelled"] == 30
    assert main(["status"]) == 0
    said = (
        "by the newest metrics: requests 61, labels 30, pending 1, 30 without a label, 1 labels "
        "wait for their request, dead letters 5 unmatched\n"
    )
    assert said in capsys.readouterr().out


def test_before_the_first_metrics_nothing_is_counted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADWATER_HOME", str(tmp_path / "home"))
    (tmp_path / "headwater.toml").write_text('stream = "tests.asks:unknown"\n')
    (tmp_path / "events.jsonl").write_bytes(encode(ask("a", 0)))
    assert main(["ingest", "events.jsonl"]) == 0
    assert main(["status", "--json"]) == 0
    assert json.loads("{" + capsys.readouterr().out.partition("{")[2])["counts"] is None
