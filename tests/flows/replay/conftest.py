"""Histories to replay: one with fits by a real H2O, one of many partitions without."""

import shutil
import sqlite3
import threading
from contextlib import closing
from itertools import islice

import pytest
from bytewax.run import cli_main
from rich.console import Console

from flows.home.home import Home, create_topics
from flows.ingest import append_history
from flows.runtime.app import App
from flows.streams import quotes
from flows.streams.quotes_market import Market
from operators.training.model_registry import ModelRegistry
from state.log import Entry
from state.settings import settings_from
from tests.rides import records

# Rides ask for some fifteen hours; with these boundaries four fits come of it.
RIDES = {
    "stream": "tests.rides:stream",
    "training": {
        "every": "6h",
        "window": "2d",
        "validation": "2h",
        "min_rows": 50,
        "algorithm": "glm",
        "margin": -1.0,
    },
    "metrics": {"every": "20m"},
}
QUOTES = {
    "stream": "quotes",
    "training": {"trainer": "external", "wait": False, "every": "10m"},
    "reading": {"batch": 50},
}


def run(settings, home):
    app = App(settings, home, Console(quiet=True), threading.Event())
    try:
        cli_main(app.flow())
    finally:
        app.close()
    app._log.close()


@pytest.fixture(scope="session")
def rides_settings(h2o_server):
    return settings_from({**RIDES, "h2o": {"url": h2o_server.url}})


@pytest.fixture(scope="session")
def rides_made(rides_settings, tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("rides"))
    log = home.log()
    create_topics(log, 1)
    log.append("events", 0, [Entry(*record[1:]) for record in records(900, seed=3)])
    log.close()
    run(rides_settings, home)
    log = home.log()
    assert [m.status for m in ModelRegistry(log).records()].count("promoted") == 4
    log.close()
    return home


@pytest.fixture(scope="session")
def quotes_settings():
    return settings_from(QUOTES)


@pytest.fixture(scope="session")
def quotes_made(quotes_settings, tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("quotes"))
    log = home.log()
    create_topics(log, quotes.stream.partitions)
    events = islice(Market(seed=3, rate_per_s=1.0).events(1.0), 3_000)
    append_history(log, events, quotes.stream.peek())
    log.close()
    run(quotes_settings, home)
    return home


def copied(made, folder):
    shutil.copytree(made.root, folder / "home")
    for path in (folder / "home").rglob("*.db"):
        # Else the first to close a file would write into it what was appended aside.
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return Home(folder / "home")


@pytest.fixture
def rides(rides_made, tmp_path):
    return copied(rides_made, tmp_path)


@pytest.fixture
def market(quotes_made, tmp_path):
    return copied(quotes_made, tmp_path)


@pytest.fixture
def half(quotes_made, quotes_settings, tmp_path):
    """A home that has read the first half of the quotes, and the rest by partition."""
    home, source = Home(tmp_path / "half"), quotes_made.log()
    log = home.log()
    create_topics(log, quotes.stream.partitions)
    entries = [
        [Entry(*record[1:]) for record in source.read("events", p, 0, max_records=10**6)]
        for p in range(quotes.stream.partitions)
    ]
    for partition, of in enumerate(entries):
        log.append("events", partition, of[: len(of) // 2])
    log.close()
    source.close()
    run(quotes_settings, home)
    return home, [of[len(of) // 2 :] for of in entries]


@pytest.fixture
def log(rides):
    log = rides.log()
    yield log
    log.close()
