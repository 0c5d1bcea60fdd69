"""Homes of quotes for repairs: healthy, or poisoned as earlier versions let them be."""

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

from flows.__main__ import main
from flows.home.configuration import find_stream, load_settings
from flows.home.home import Home
from flows.home.open_log import open_log
from flows.streams.quotes_market import START_US, Market
from state.events import HOUR_US
from state.ingest.append_time import append_times
from state.log import EVENTS, Entry, partition_of

REPOSITORY = Path(__file__).parents[3]
FUTURE_US = 4_070_908_800_000_000
SETTINGS = """
stream = "quotes"
partitions = 2
[training]
trainer = "external"
wait = false
[checkpoints]
every = "1ms"
"""
MARKET = list(islice(Market(seed=3, rate_per_s=0.5).events(1.0), 400))


def set_up(folder, monkeypatch):
    """An empty home in a folder that becomes the working directory."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HEADWATER_HOME", str(folder / "home"))
    monkeypatch.delenv("HEADWATER_CONFIG", raising=False)
    (folder / "headwater.toml").write_text(SETTINGS)
    (folder / "none.jsonl").touch()
    assert main(["ingest", "none.jsonl"]) == 0
    return Home(folder / "home")


def trade(name, time_us, symbol="S01"):
    event = {"type": "trade", "id": name, "time": time_us, "account": "A1", "symbol": symbol}
    return json.dumps(event | {"amount": 5.0}).encode()


def append(values, now=None):
    """Append as this version would, or, told that it is later, as earlier ones did."""
    settings = load_settings()
    stream = find_stream(settings.stream)
    log = open_log(settings, stream, Home(Path(os.environ["HEADWATER_HOME"])))
    keys = [stream.peek()(value) for value in values]
    newest = max(
        (log.read(EVENTS, p, log.end(EVENTS, p) - 1)[0].append_time
         for p in range(2) if log.end(EVENTS, p)), default=0,
    )  # fmt: skip
    stamps = append_times([time for time, _ in keys], newest, now or START_US + 1000 * HOUR_US)
    for stamp, (_, key), value in zip(stamps, keys, values, strict=True):
        log.append(EVENTS, partition_of(key, 2), [Entry(stamp, key, value)])
    log.close()


def poison(before=200):
    """Half of the market, an event of 2099 that is believed, the other half."""
    append(MARKET[:before])
    append([trade("fast", FUTURE_US)], now=FUTURE_US)
    append(MARKET[before:], now=FUTURE_US)


def held(home, topic=EVENTS):
    """Append time, key and value of what a topic holds, by partition."""
    log = home.log()
    found = [
        [record[1:] for record in log.read(topic, p, log.start(topic, p), max_records=10**6)]
        for p in range(log.partitions(topic))
    ]
    log.close()
    return found


def tree(root):
    """Every file below a folder and what it holds, but for what SQLite leaves beside a log."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


def run_headwater(*words, **options):
    """The command in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "flows", *words]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, **options
    )
