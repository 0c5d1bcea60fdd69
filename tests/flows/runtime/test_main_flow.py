"""The main flow as people start it, on the first days of the flights, H2O included."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from bench.growing_log import GrowingLog
from flows.home.configuration import find_stream
from flows.home.home import Home, create_topics
from flows.scorer import Scorer
from models.refit.fit_record import FitRecord
from state.log import Log
from state.log.sqlite import SqliteLog
from state.outputs.records import Prediction
from state.settings import settings_from
from tests.ending import ended_within

# The run that all share is within the time of whichever test comes first.
pytestmark = pytest.mark.timeout(600)

REPOSITORY = Path(__file__).parents[3]
SETTINGS = """
[training]
every = "1d"
models = 1
validation = "1d"
min_rows = 500
"""
UNTIL = "2013-01-17"
BOUNDARIES = 2


DEMO = ("-m", "flows", "run", "--until", UNTIL)
AGAIN = ("-m", "bytewax.run", "flows.main")


def _start(home: Path, words: Sequence[str]) -> subprocess.Popen[str]:
    home.mkdir(exist_ok=True)
    config = home / "headwater.toml"
    config.write_text(SETTINGS)
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=REPOSITORY,
        env={**os.environ, "HEADWATER_HOME": str(home), "HEADWATER_CONFIG": str(config)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _end(process: subprocess.Popen[str]) -> str:
    with process:
        try:
            output, _ = process.communicate()
        finally:
            process.kill()
    assert process.returncode == 0, output
    return output


def _values(log: Log, topic: str) -> list[bytes]:
    return [record.value for record in log.read(topic, 0, 0, max_records=10**6)]


def _decisions(home: Path) -> list[FitRecord]:
    return [msgspec.json.decode(v, type=FitRecord) for v in _values(Home(home).log(), "models")]


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> tuple[Path, str]:
    """A home after a run, and what the run printed."""
    home = tmp_path_factory.mktemp("flow") / "first"
    return home, _end(_start(home, DEMO))


def test_models_are_fitted_promoted_and_used_from_their_boundary_on(first):
    home, output = first
    decisions = _decisions(home)
    assert len(decisions) == BOUNDARIES
    assert decisions[0].status == "promoted"
    assert decisions[0].certificate.ok
    predictions = [msgspec.json.decode(v) for v in _values(Home(home).log(), "predictions")]
    boundary = decisions[0].boundary
    for one in predictions:
        expected = None if one["event_time"] < boundary else decisions[0].model
        if one["event_time"] < decisions[1].boundary:
            assert one["model"] == expected
            assert (one["offline"] is None) == (expected is None)
    assert f"Boundaries: {BOUNDARIES}" in output
    assert "ensemble" in output


def test_a_second_run_says_that_it_is_up_to_date_and_changes_nothing(first):
    home, _ = first
    before = _values(Home(home).log(), "predictions")
    assert "Up to date" in _end(_start(home, AGAIN))
    assert _values(Home(home).log(), "predictions") == before


def test_a_scorer_answers_as_the_flow_did_while_the_log_grew(first, tmp_path):
    """It is asked before the flow is, for each third request, and stands where it can know."""
    stream, home = find_stream("flights"), Home(first[0])
    base, own = home.log(), SqliteLog(tmp_path / "log")
    create_topics(own, 1)
    log, decode = GrowingLog(base, own), stream.decoder().decode
    recorded = [msgspec.json.decode(v, type=Prediction) for v in _values(base, "predictions")]
    same, models = 0, set()
    with Scorer(settings_from(tomllib.loads(SETTINGS)), stream, log, home, follow=False) as scorer:
        for made in recorded[::3]:
            log.grow(made.offset)
            scorer.advance()
            (event,) = base.read("events", 0, made.offset, max_records=1)
            answer = scorer.score(decode(event.value))
            if answer.offset == made.offset:
                assert answer.as_dict().items() >= _flow_s(made).items()
                same, models = same + 1, models | {answer.model}
            assert answer.offset <= made.offset
        assert scorer.trouble is None
    assert same > 2_000
    assert len(models) == 1 + BOUNDARIES


def _flow_s(made: Prediction) -> dict[str, object]:
    """The fields of a prediction that an answer has too."""
    values = msgspec.structs.asdict(made)
    return {k: v for k, v in values.items() if k != "chain" and v is not msgspec.UNSET}


def test_kill_9_leaves_nothing_of_h2o_and_the_next_run_ends_with_the_same_bytes(first, tmp_path):
    home = tmp_path / "cut"
    process = _start(home, DEMO)
    java = _wait_for_java(process)
    process.kill()
    process.communicate()
    assert ended_within(java, 30), "java outlived the flow"
    _end(_start(home, (*AGAIN, "-w", "3")))
    for topic in ("predictions", "outcomes", "metrics", "dead_letters", "alerts", "activations"):
        assert _values(Home(home).log(), topic) == _values(Home(first[0]).log(), topic), topic
    assert [d.model for d in _decisions(home)] == [d.model for d in _decisions(first[0])]
    assert not list((home / "tmp").iterdir())


def _wait_for_java(process: subprocess.Popen[str]) -> int:
    """The process id of the flow's H2O, as soon as it is there."""
    while process.poll() is None:
        for supervisor in _children(process.pid):
            for child in _children(supervisor):
                if "java" in Path(f"/proc/{child}/cmdline").read_text():
                    return child
    raise AssertionError(process.communicate()[0])


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += (int(word) for word in task.read_text().split())
        except OSError:
            continue
    return found
