"""The notebooks run through, cell by cell, on a home of a few days."""

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.home.configuration import find_stream
from flows.home.home import Home, create_topics
from flows.ingest import append_history
from flows.runtime.partitions import Partitions
from flows.streams.flights_history import events
from state.settings import settings_from

NOTEBOOKS = Path(__file__).parents[3] / "flows" / "notebooks"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Three days of flights, read without fits."""
    home = Home(tmp_path_factory.mktemp("notebook") / "home")
    log, stream = home.log(), find_stream("flights")
    create_topics(log, 1)
    until = datetime(2013, 1, 4, tzinfo=UTC)
    append_history(log, events(round(until.timestamp() * 1e6)), stream.peek())
    settings = settings_from({"training": {"wait": False}})
    live = Partitions(settings, stream, log, home).open(0)
    while (message := live.poll()) is not None:
        live.commit(live.process(message))
    log.close()
    return home


def test_a_storm_day_runs_through(home, monkeypatch, tmp_path):
    monkeypatch.setenv("HEADWATER_HOME", str(home.root))
    monkeypatch.delenv("HEADWATER_CONFIG", raising=False)
    done = subprocess.run(
        [sys.executable, NOTEBOOKS / "storm_day.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (requests,) = re.findall(r"│ (\d+) +┆", done.stdout)
    assert int(requests) > 500
    assert len(list((home.root / "branches").iterdir())) == 1
