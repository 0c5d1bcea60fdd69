"""The scoring bench measures what it says, and all its ways give the same answer."""

import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bench import bench_scoring, genmodel_baselines, scoring_world
from bench.bench_scoring import Row, text, timed
from models.mojo.model import read_mojo

SOURCE = (Path(__file__).parents[1] / "golden" / "1" / "gbm-1.zip").read_bytes()


def test_a_call_is_timed_per_row_and_told_its_turn():
    turns = []
    row = timed("x", 300, turns.append, per=10)
    assert row.calls == 300
    assert turns == [*range(200), *range(300)]
    assert 0 <= row.p50 <= row.p99 <= row.p999


def test_times_are_microseconds_of_a_row():
    def one_millisecond(_):
        end = time.perf_counter_ns() + 1_000_000
        while time.perf_counter_ns() < end:
            pass

    assert timed("x", 20, one_millisecond).p50 > 990
    assert 99 < timed("x", 20, one_millisecond, per=10).p50 < 990


@pytest.mark.parametrize("way", [genmodel_baselines.score0, genmodel_baselines.easy_predict])
def test_h2o_in_this_process_says_what_we_say(way):
    mojo, ask = read_mojo(SOURCE), way(SOURCE)
    random = np.random.default_rng(1)
    levels = [len(domain or ()) for domain in mojo.domains]
    for _ in range(20):
        row = np.array([random.integers(n) if n else random.normal(0, 20) for n in levels], float)
        row[random.random(row.size) < 0.2] = np.nan
        assert ask(row) == pytest.approx(mojo.score(row), rel=1e-12)


def test_one_row_of_names_is_what_a_vector_means():
    mojo = read_mojo(SOURCE)
    frame = genmodel_baselines.named(mojo, np.array([1.0] + [np.nan] * (len(mojo.columns) - 1)))
    first = mojo.domains[0][1] if mojo.domains[0] else 1.0
    assert frame.row(0) == (first, *[None] * (len(mojo.columns) - 1))
    assert frame.columns == list(mojo.columns)


def test_vectors_are_the_newest_rows_with_levels_as_numbers():
    names = scoring_world.CATEGORICALS
    columns = {name: ["a", "b", None] for name in names}
    columns |= {name: [1.0, None, 3.0] for name in scoring_world.FEATURES if name not in names}
    found = scoring_world.vectors(pl.DataFrame(columns), {name: ["b", "c"] for name in names}, 2)
    assert found.shape == (2, len(scoring_world.FEATURES))
    level, number = (scoring_world.FEATURES.index(n) for n in (names[0], _number(names)))
    np.testing.assert_array_equal(found[:, level], [0.0, np.nan])
    np.testing.assert_array_equal(found[:, number], [np.nan, 3.0])


def _number(names):
    return next(name for name in scoring_world.FEATURES if name not in names)


def test_what_could_not_be_measured_says_why():
    line = text(Row("treelite", 0, 0, 0, 0, missing="no gcc"))
    assert line.split() == ["treelite", "not", "measured:", "no", "gcc"]


def test_a_line_has_its_times_and_its_ratio():
    line = text(Row("ours", 1_000, 3.25, 4.5, 1_234.5, 0.5))
    assert line.split() == ["ours", "1,000", "3.25", "4.50", "1,234.50", "0.50"]


def test_too_few_calls_are_refused(capsys):
    with pytest.raises(SystemExit):
        bench_scoring.main(["--calls", "99"])
    assert "--calls must be at least 100; got 99" in capsys.readouterr().err
