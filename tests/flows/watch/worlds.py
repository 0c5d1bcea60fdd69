"""A home of a small stream with known counts, and looks at it."""

from itertools import count

from flows.__main__ import main
from flows.home.configuration import load_settings
from flows.home.home import environment_home
from flows.watch.watcher import Watcher
from tests.asks import ask, encode, tell
from tests.settled import settle as place_home

SETTINGS = 'stream = "tests.asks:unknown"\nmetrics.every = "1m"\n'
_numbers = count()


def settle(tmp_path, monkeypatch, settings=SETTINGS):
    """Make `tmp_path` the place of a home of asks that is not there yet."""
    place_home(tmp_path, monkeypatch, settings)


def asked(first, last, *more):
    """A request each minute, the even ones labelled a minute later, and more events."""
    events = [ask(f"a{n}", n) for n in range(first, last)]
    events += [tell(f"a{n}", n + 1) for n in range(first, last, 2)]
    return [encode(one) for one in sorted([*events, *more], key=lambda event: event.time)]


def ingest(tmp_path, lines):
    """Append these lines to `events`."""
    path = tmp_path / f"events-{next(_numbers)}.jsonl"
    path.write_bytes(b"\n".join(lines))
    assert main(["ingest", str(path)]) == 0


def run():
    """Take the log through the models."""
    assert main(["run"]) == 0


def watcher(clock=None):
    """Of the home of the environment."""
    return Watcher(load_settings(), environment_home(), *([clock] if clock else []))
