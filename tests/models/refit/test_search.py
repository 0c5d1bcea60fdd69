"""A search tries how far back to look and which parameters, within the same number of fits."""

import msgspec
import polars as pl
import pytest

from models.h2o.search import GRIDS
from models.refit.plan import FitTask, plan
from models.refit.refit import train
from models.refit.search import _tried
from tests.models.refit.tasks import fit_task

START_US, DAY_US = 1_357_000_000_000_000, 86_400_000_000
BOUNDARY = START_US + 10 * DAY_US
SMALL = {name: values[0] for name, values in GRIDS["gbm"].items()} | {"ntrees": 8, "max_depth": 4}


@pytest.fixture
def turned(outcomes):
    """What was so until the middle of the eighth day has been the other way round since."""
    old = pl.col("event_time").dt.timestamp("us") < START_US + 15 * DAY_US // 2
    return outcomes.with_columns(
        pl.when(old).then(1 - pl.col("label")).otherwise("label").cast(pl.Int8).alias("label")
    )


@pytest.fixture
def task(turned, written):
    return fit_task(
        written(turned),
        boundary=BOUNDARY,
        window=90 * DAY_US,
        windows=3,
        validation=DAY_US // 2,
        embargo=DAY_US // 24,
        min_rows=150,
        previous=SMALL,
        draws=3,
    )


def test_after_a_turn_the_model_is_fitted_on_what_came_since(h2o_server, turned, task):
    record, *_ = train(h2o_server, task, None)
    whole, quarter, sixteenth = (window.back for window in plan(task).windows)
    assert [one.window for one in record.tried][:3] == [whole, quarter, sixteenth]
    assert [one.parameters for one in record.tried][:3] == [SMALL] * 3
    best = min(record.tried[:3], key=lambda one: one.log_loss)
    last = record.tried[3]
    assert (best.window, last.window) == (quarter, quarter)
    assert last.parameters != SMALL
    assert record.winning_window == quarter
    since = BOUNDARY - quarter
    event = turned["event_time"].dt.timestamp("us")
    seen = turned.filter((event >= since) & (turned["label_time"].dt.timestamp("us") < BOUNDARY))
    assert record.window.rows == pytest.approx(len(seen), abs=1)
    assert record.window.start >= since - 1_000
    assert record.window.end == BOUNDARY
    assert msgspec.json.decode(msgspec.json.encode(record), type=type(record)) == record


def test_the_last_winner_s_window_is_tried_first_the_next_time(h2o_server, task):
    task = msgspec.structs.replace(task, previous_window=2 * DAY_US, draws=0)
    record, *_ = train(h2o_server, task, None)
    assert [one.window for one in record.tried] == [2 * DAY_US]
    assert record.window.start >= BOUNDARY - 2 * DAY_US


def test_the_same_files_give_the_same_search(h2o_server, task):
    one, *_ = train(h2o_server, task, None)
    other, *_ = train(h2o_server, task, None)
    assert (one.model, one.tried, one.window) == (other.model, other.tried, other.window)


def test_no_more_is_fitted_than_was_asked_for(task):
    windows = plan(task).windows
    for draws, most in ((0, 1), (2, 2), (3, 3), (9, 3)):
        tried = _tried(windows, draws, [1, 2])
        assert tried[0] == windows[0]
        assert len(tried) == most
    by_turns = {len(_tried(windows, 1, [1, seed])) for seed in range(20)}
    assert by_turns == {1, 2}
    others = {_tried(windows, 2, [1, seed])[1].back for seed in range(20)}
    assert others == {window.back for window in windows[1:]}


def test_parameters_that_need_more_rows_than_there_are_are_not_tried(h2o_server, turned, written):
    few = turned.tail(170)
    previous = {name: values[0] for name, values in GRIDS["gbm"].items()} | {"min_rows": 100}
    task = FitTask(
        files=written(few),
        features=["carrier", "dest", "x0", "x1", "x2", "x3"],
        categoricals=["carrier", "dest"],
        boundary=START_US + 11 * DAY_US,
        window=90 * DAY_US,
        windows=3,
        validation=90 * DAY_US,
        embargo=0,
        min_rows=1,
        previous=previous,
        draws=20,
    )
    record, *_ = train(h2o_server, task, None)
    assert len(record.tried) > 10
    assert {one.parameters["min_rows"] for one in record.tried} == {50}
