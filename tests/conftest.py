"""One real H2O for all tests that fit, and outcomes that a model can learn from."""

import gc
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import h2o
import numpy as np
import polars as pl
import pytest

from models.h2o.server import H2OServer
from tests.kafka.broker import Broker, NoKafkaError, free_ports, jars

START_US = 1_357_000_000_000_000
DAY_US = 86_400_000_000


LONG = (
    "bench/*",
    "flows/errors/test_bytewax_errors.py",
    "flows/errors/test_terminated.py",
    "flows/intake/test_ingest_bombs.py",
    "flows/mirror/*",
    "flows/notebooks/*",
    "flows/repair/test_command.py",
    "flows/replay/test_branching.py",
    "flows/replay/test_what_if.py",
    "flows/runtime/test_full_disk.py",
    "flows/scoring/test_memory_of_healing.py",
    "flows/serving/test_serve_attacks.py",
    "flows/serving/test_serve_ending.py",
    "flows/streams/test_flights_history.py",
    "flows/terminal/test_console.py",
    "flows/terminal/test_signals.py",
    "kafka/test_without_broker.py",
    "models/judging/test_drift.py",
    "models/mojo/test_bombs.py",
    "models/mojo/test_java_scorer.py",
    "models/mojo/test_parity.py",
    "simulation/test_simulation.py",
    "soak/*",
    "test_fuzz.py",
    "test_image.py",
    "test_torture.py",
)
"""Test files that take many seconds: attacks, crashes, whole histories, benchmarks."""

# Under nohup, the processes that the tests start would ignore a hangup too.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Some hundred processes would each compile the product anew; numba keeps its kernels there too.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

_MARKS = {"broker": "kafka", "h2o_server": "h2o"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that start Kafka or H2O, by their fixtures, and long ones, by their file."""
    for item in items:
        for fixture in _MARKS.keys() & getattr(item, "fixturenames", ()):
            item.add_marker(_MARKS[fixture])
        if any(item.path.match(f"tests/{name}") for name in LONG):
            item.add_marker("long")


_NO_BROKER = "no Kafka broker to test on"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Without a broker, report all skipped tests in one line: pytest folds equal reasons."""
    skipped = [
        report
        for report in terminalreporter.getreports("skipped")
        if isinstance(report.longrepr, tuple) and _NO_BROKER in report.longrepr[2]
    ]
    files = Counter(report.location[0] for report in skipped)
    where = ", ".join(f"{file} ({count})" for file, count in sorted(files.items()))
    for report in skipped:
        report.longrepr = "tests/conftest.py", None, f"{report.longrepr[2]}: {where}"


def pytest_collection_finish() -> None:
    """Leave out of later collections what lives as long as the session: tests and modules."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _collected() -> Iterator[None]:
    """Undo what a command does to its process's collector: here the process has more to do.

    Else what a test lets go of in a cycle, with the files that it has open, stays for good.
    """
    thresholds, frozen = gc.get_threshold(), gc.get_freeze_count()
    yield
    if gc.get_freeze_count() > frozen:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="session")
def h2o_server() -> Iterator[H2OServer]:
    """A running H2O; the `h2o` package's own functions are connected to it too."""
    with H2OServer(memory="1g", threads=2) as server:
        with redirect_stdout(StringIO()):  # it tells the age of its release
            connection = h2o.connect(url=server.url, verbose=False)
        # The client would ask in a way that ends H2O in one start of six (see H2OServer).
        connection._session_id = server.request("GET /3/InitID")["session_key"]
        h2o.no_progress()
        yield server
        h2o.connection().close()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A running Kafka; a test that kills it starts it again. Without jars its tests are skipped."""
    try:
        jars()
    except NoKafkaError as reason:
        pytest.skip(f"{_NO_BROKER} ({reason})")
    one = Broker(tmp_path_factory.mktemp("kafka"), free_ports(3))
    one.start()
    yield one
    one.kill()


def _outcomes(days: int, per_day: int, seed: int) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    n = days * per_day
    times = np.sort(random.integers(0, days * DAY_US // 1000, n)) + START_US // 1000
    carrier, dest = random.integers(0, 6, n), random.integers(0, 80, n)
    x = random.normal(size=(n, 4))
    logit = -1 + 1.2 * x[:, 0] - x[:, 1] * (x[:, 2] > 0) + 0.4 * (carrier - 2) + 0.01 * dest
    labels = random.random(n) < 1 / (1 + np.exp(-logit))
    x[random.random(x.shape) < 0.05] = np.nan
    return pl.DataFrame(
        {
            "id": [f"r{i}" for i in range(n)],
            "event_time": pl.Series(times).cast(pl.Datetime("ms")),
            "label_time": pl.Series(times + 3_600_000).cast(pl.Datetime("ms")),
            "carrier": [f"C{i}" for i in carrier],
            "dest": [f"D{i}" for i in dest],
            "label": labels.astype(np.int8),
            "probability": random.random(n),
            "partition": 0,
            "offset": range(n),
        }
    ).with_columns(pl.Series(f"x{j}", x[:, j]).fill_nan(None) for j in range(4))


@pytest.fixture(scope="session")
def outcomes() -> pl.DataFrame:
    """Ten days of 400 requests; labels come after an hour."""
    return _outcomes(10, 400, 1)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[pl.DataFrame], list[Path]]:
    """Writes a frame as three Parquet files."""

    def write(frame: pl.DataFrame) -> list[Path]:
        paths = [tmp_path / f"part-{i}.parquet" for i in range(3)]
        third = -(-len(frame) // 3)
        for i, path in enumerate(paths):
            frame[i * third : (i + 1) * third].write_parquet(path, compression="zstd")
        return paths

    return write
