"""What a fit is made of: how much judges, how far back candidates look, and why there is none."""

import msgspec
import polars as pl
import pytest

from models.refit.plan import plan
from tests.models.refit.tasks import fit_task

START_US, DAY_US, HOUR_US = 1_357_000_000_000_000, 86_400_000_000, 3_600_000_000
BOUNDARY = START_US + 10 * DAY_US


@pytest.fixture
def task(outcomes, written):
    return fit_task(
        written(outcomes),
        boundary=BOUNDARY,
        window=90 * DAY_US,
        windows=3,
        validation=3 * DAY_US,
        embargo=2 * HOUR_US,
        min_rows=100,
    )


def _asked(outcomes, start, end, known=BOUNDARY):
    """How many were asked from one time (µs) to another, with a label known before a third."""
    event, label = (outcomes[name].dt.timestamp("us") for name in ("event_time", "label_time"))
    return ((event >= start) & (event < end) & (label < known)).sum()


def _in_days(span):
    return [(time * 1000 - START_US) / DAY_US for time in (span.start, span.end)]


def test_the_slice_that_judges_is_as_long_as_asked_where_that_is_less_than_a_fifth(task):
    whole, *_ = plan(msgspec.structs.replace(task, validation=DAY_US)).windows
    assert _in_days(whole.cuts.validation) == [9, 10]
    assert _in_days(whole.cuts.training)[1] == pytest.approx(9 - 2 / 24)
    assert whole.cuts.whole.end * 1000 == BOUNDARY


@pytest.mark.parametrize("days", [1, 2, 5, 10])
def test_the_slice_that_judges_is_never_more_than_a_fifth_of_the_rows(outcomes, task, days):
    boundary = START_US + days * DAY_US
    whole, *_ = plan(msgspec.structs.replace(task, boundary=boundary)).windows
    slice_, training = whole.cuts.validation, whole.cuts.training
    there = _asked(outcomes, START_US, slice_.end * 1000, boundary)
    judging = _asked(outcomes, slice_.start * 1000, slice_.end * 1000, boundary)
    assert there / 5 - 1 <= judging <= there / 5
    assert (slice_.end - slice_.start) * 1000 < 0.25 * days * DAY_US
    assert training.end * 1000 == slice_.start * 1000 - task.embargo
    assert whole.rows == _asked(outcomes, START_US, training.end * 1000, training.known * 1000)


def test_a_slice_shorter_than_ten_label_times_ends_a_label_time_before_the_boundary(task):
    boundary = START_US + DAY_US  # a fifth of a day is less than ten times two hours
    short, *_ = plan(msgspec.structs.replace(task, boundary=boundary)).windows
    assert short.cuts.validation.end * 1000 == boundary - task.embargo
    quick, *_ = plan(msgspec.structs.replace(task, boundary=boundary, embargo=HOUR_US // 4)).windows
    assert quick.cuts.validation.end * 1000 == boundary


def test_rows_at_one_moment_are_not_parted(outcomes, task, written):
    moment = pl.lit(START_US + 8 * DAY_US).cast(pl.Datetime("us")).cast(pl.Datetime("ms"))
    crowd = pl.when(pl.int_range(pl.len()) >= 2_000).then(moment).otherwise("event_time")
    files = written(outcomes[:3_300].with_columns(crowd.alias("event_time")))
    assert plan(msgspec.structs.replace(task, files=files)).reason == (
        "validation rows must have both labels; got 0"
    )


def test_candidates_look_back_over_all_a_quarter_and_a_sixteenth(outcomes, task):
    found = plan(task).windows
    split = found[0].cuts.validation.start * 1000
    oldest = outcomes["event_time"].dt.timestamp("us").min()
    backs = [split - oldest, (split - oldest) / 4, (split - oldest) / 16]
    assert [window.back for window in found] == [0, *map(int, backs[1:])]
    for window, back in zip(found, backs, strict=True):
        training, whole = window.cuts.training, window.cuts.whole
        since, until = split - back - 1000, training.end * 1000
        assert window.rows == pytest.approx(_asked(outcomes, since, until, split), abs=1)
        assert window.cuts.validation == found[0].cuts.validation
        if window.back:
            assert whole.end - whole.start == pytest.approx(back / 1000, abs=1)


@pytest.mark.parametrize("windows", [1, 2, 3])
def test_no_more_lengths_are_tried_than_asked_for(task, windows):
    asked = msgspec.structs.replace(task, windows=windows)
    assert plan(asked).windows == plan(task).windows[:windows]
    last = msgspec.structs.replace(asked, previous_window=2 * DAY_US)
    assert (plan(last).windows[0].back == 2 * DAY_US) == (windows > 1)


def test_a_window_shorter_than_ten_label_times_ends_a_label_time_before_the_boundary(task):
    _, quarter, sixteenth = plan(task).windows
    assert quarter.cuts.whole.end * 1000 == BOUNDARY
    assert sixteenth.cuts.whole.end * 1000 == BOUNDARY - task.embargo


def test_a_narrower_window_needs_as_many_rows_as_any_fit(task):
    whole, quarter, _ = plan(task).windows
    few = msgspec.structs.replace(task, min_rows=quarter.rows)
    assert [window.back for window in plan(few).windows] == [0, quarter.back]
    fewer = msgspec.structs.replace(task, min_rows=quarter.rows + 1)
    assert [window.back for window in plan(fewer).windows] == [whole.back]


def test_the_last_winner_s_window_comes_first_and_alike_ones_do_not_come_again(task):
    _, quarter, sixteenth = plan(task).windows
    again = msgspec.structs.replace(task, previous_window=2 * DAY_US)
    backs = [window.back for window in plan(again).windows]
    assert backs == [2 * DAY_US, 0, sixteenth.back]
    third = msgspec.structs.replace(task, previous_window=quarter.back * 3 // 2)
    backs = [window.back for window in plan(third).windows]
    assert backs == [quarter.back * 3 // 2, 0, quarter.back, sixteenth.back]
    longer = msgspec.structs.replace(task, previous_window=50 * DAY_US)
    assert plan(longer).windows == plan(task).windows


def test_a_slice_short_beside_the_time_to_serve_judges_no_narrower_window(task):
    slice_ = plan(task).windows[0].cuts.validation
    length = (slice_.end - slice_.start) * 1000
    served = msgspec.structs.replace(task, interval=4 * length)
    assert len(plan(served).windows) == 3
    longer = msgspec.structs.replace(task, interval=4 * length + 1)
    assert [window.back for window in plan(longer).windows] == [0]


def test_automl_looks_back_over_all_only(task):
    assert [w.back for w in plan(msgspec.structs.replace(task, algorithm="automl")).windows] == [0]


LEAST = {"gbm": 100, "drf": 20, "glm": 2, "xgboost": 40, "deeplearning": 2, "stackedensemble": 150}


@pytest.mark.parametrize("algorithm", LEAST)
def test_fewer_rows_than_the_algorithm_can_be_fitted_on_are_told(
    outcomes, task, written, algorithm
):
    least, outcomes = LEAST[algorithm], outcomes.with_columns(label_time="event_time")
    for rows in range(3, 5 * least // 4 + 2):
        newest = outcomes["label_time"].dt.timestamp("us")[rows - 1]
        found = plan(
            msgspec.structs.replace(
                task,
                files=written(outcomes[:rows]),
                algorithm=algorithm,
                boundary=newest + 1_000,
                min_rows=1,
                embargo=0,
            )
        )
        if rows - rows // 5 < least:
            assert not found.windows
            assert found.reason == (
                f"training rows must be at least {least} for {algorithm}; "
                f"got {rows - rows // 5} before the {rows // 5} that judge"
            )


def test_features_that_never_vary_are_told(outcomes, task, written):
    one = outcomes.with_columns(
        pl.lit("C").alias("carrier"),
        pl.lit(None, pl.String).alias("dest"),
        *(pl.lit(value, pl.Float64).alias(name) for name, value in zip(
            ("x0", "x1", "x2", "x3"), (1.0, None, 0.0, -1.0), strict=True
        )),
    )  # fmt: skip
    task = msgspec.structs.replace(task, files=written(one))
    assert plan(task).reason == "features must vary; got one value or none of each of 6"
    varying = one.with_columns(outcomes["x2"])
    assert plan(msgspec.structs.replace(task, files=written(varying))).windows


def test_without_a_row_that_is_new_to_the_champion_there_is_no_fit(outcomes, task):
    newest = (
        outcomes["event_time"]
        .dt.timestamp("us")
        .filter(outcomes["label_time"].dt.timestamp("us") < BOUNDARY)
        .max()
    )
    assert plan(msgspec.structs.replace(task, champion_end=newest)).windows
    assert plan(msgspec.structs.replace(task, champion_end=newest + 1)).reason == (
        "a labelled request must be new to the champion; got none"
    )
