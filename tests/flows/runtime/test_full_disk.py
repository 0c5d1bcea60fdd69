"""A disk that fills stops the flow, and the next run ends with the same bytes."""

import os
import random
import resource
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from flows.home.home import Home
from state.log import Log

REPOSITORY = Path(__file__).parents[3]
HOUR_US = 3_600_000_000
START_US = 472_222 * HOUR_US
STREAM = """
from state.events import MINUTE_US, Event
from state.features import Field
from state.stream import Label, Stream


class Asked(Event, frozen=True, kw_only=True):
    price: float


stream = Stream(
    name="asked",
    events=(Asked,),
    request=Asked,
    label=Label(
        on=Asked,
        of="id",
        value=bool,
        deadline=lambda asked: asked.time + MINUTE_US,
        silence=False,
        delay="1m",
    ),
    features=(Field("price"),),
)
"""
SETTINGS = """
stream = "asked:stream"
[training]
every = "1h"
trainer = "external"
wait = false
"""
OUTPUTS = ("predictions", "outcomes", "metrics", "snapshots", "activations")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A stream of five hours, so that five boundaries are crossed, the first before all."""
    folder = tmp_path_factory.mktemp("disk")
    (folder / "asked.py").write_text(STREAM)
    (folder / "headwater.toml").write_text(SETTINGS)
    drawn = random.Random(1)
    times = (START_US + n * HOUR_US // 100 for n in range(500))
    events = [
        {"type": "asked", "id": f"{n}", "time": time, "price": drawn.random()}
        for n, time in enumerate(times)
    ]
    (folder / "asked.jsonl").write_bytes(b"\n".join(map(msgspec.json.encode, events)))
    return folder


def _headwater(folder: Path, home: Path, *argv: str, largest_file: int = -1) -> tuple[int, str]:
    """Exit code and output; a file can grow to `largest_file` bytes, as on a disk that fills."""

    def limit() -> None:
        if largest_file >= 0:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    ended = subprocess.run(
        [sys.executable, "-m", "flows", *argv],
        cwd=folder,
        env={**os.environ, "HEADWATER_HOME": str(home), "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        preexec_fn=limit,
    )
    return ended.returncode, ended.stdout


def _outputs(home: Path) -> dict[str, list[bytes]]:
    log: Log = Home(home).log()
    values = {topic: [r.value for r in log.read(topic, 0, 0)] for topic in OUTPUTS}
    log.close()
    return values


@pytest.fixture(scope="module")
def undisturbed(folder) -> dict[str, list[bytes]]:
    home = folder / "undisturbed"
    assert _headwater(folder, home, "ingest", "asked.jsonl")[0] == 0
    assert _headwater(folder, home, "run")[0] == 0
    outputs = _outputs(home)
    assert len(outputs["snapshots"]) == 10
    return outputs


@pytest.mark.parametrize("place", ["snapshots", "checkpoints"])
def test_a_folder_that_cannot_be_written_stops_the_flow_until_it_can(folder, undisturbed, place):
    home = folder / f"no-{place}"
    _headwater(folder, home, "ingest", "asked.jsonl")
    (home / place).write_text("a file where the folder must be")
    code, said = _headwater(folder, home, "run")
    assert code == 2
    assert said.splitlines()[-1].startswith("headwater: ")
    assert place in said.splitlines()[-1]
    (home / place).unlink()
    assert _headwater(folder, home, "run")[0] == 0
    assert _outputs(home) == undisturbed


def test_a_log_that_cannot_grow_stops_the_flow_until_it_can(folder, undisturbed):
    home = folder / "no-log"
    _headwater(folder, home, "ingest", "asked.jsonl")
    code, said = _headwater(folder, home, "run", largest_file=100_000)
    assert code == 2
    assert said.splitlines()[-1].startswith("headwater: ")
    assert _headwater(folder, home, "run")[0] == 0
    assert _outputs(home) == undisturbed
