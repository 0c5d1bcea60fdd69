"""A fit looks back to the change that asked for it, if there are rows enough since then."""

import pytest

from flows.runtime.fitter import since_change
from operators.training.training_cuts import TrainingCut
from tests.models.refit.tasks import fit_task

START_US, DAY_US = 1_357_000_000_000_000, 86_400_000_000
BOUNDARY = START_US + 10 * DAY_US


@pytest.fixture
def task(outcomes, written):
    return fit_task(
        written(outcomes),
        boundary=BOUNDARY,
        window=90 * DAY_US,
        validation=3 * DAY_US,
        embargo=0,
        min_rows=100,
    )


def cuts(*changes, boundary=BOUNDARY):
    return [TrainingCut(boundary, "", "", 1, 0, 0, change) for change in changes]


def test_it_looks_back_to_the_earliest_change_of_any_partition(task):
    changes = (BOUNDARY - 4 * DAY_US, 0, BOUNDARY - 5 * DAY_US)
    found = since_change(task, cuts(*changes))
    assert found.window == 5 * DAY_US
    assert found.reference == 90 * DAY_US  # which the columns are compared with


@pytest.mark.parametrize(
    "others",
    [
        cuts(0, 0),
        cuts(BOUNDARY - 5 * DAY_US, boundary=BOUNDARY - DAY_US),
        cuts(BOUNDARY - 60_000_000),
        cuts(BOUNDARY + DAY_US),
        [],
    ],
    ids=["no change", "a change of an earlier cut", "too few rows", "a later one", "no cut"],
)
def test_without_a_change_or_rows_enough_it_looks_back_as_always(task, others):
    assert since_change(task, others) == task


def test_it_never_looks_back_further_than_always(task):
    assert since_change(task, cuts(BOUNDARY - 200 * DAY_US)).window == 90 * DAY_US
