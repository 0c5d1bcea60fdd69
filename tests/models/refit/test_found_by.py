"""One plain sentence says how the winner of a fit was found."""

import pytest

from models.refit.fit_record import FitRecord, TriedCandidate
from models.refit.found_by import found_by


def record(*tried, **given):
    """A fit from pairs of depth and log-loss, and a thinning if there is one."""
    found = [
        TriedCandidate(
            parameters={"max_depth": depth}, trees=9, log_loss=loss, thinning=sum(rest) or 1
        )
        for depth, loss, *rest in tried
    ]
    given = {"algorithm": "gbm", "tried": found} | given
    return FitRecord(boundary=0, status="promoted", reason="", **given)


@pytest.mark.parametrize(
    ("fit", "sentence"),
    [
        (record(), ""),
        (
            record((6, 0.5)),
            (
                "Its parameters are those of the last winner, or the defaults if there was none: "
                "the best of 1 candidate on all rows."
            ),
        ),
        (
            record((6, 0.5), (5, 0.4)),
            "Its parameters were drawn from the grid: the best of 2 candidates on all rows.",
        ),
        (
            record(
                (6, 0.5), (6, 0.3, 16), (4, 0.2, 16), (3, 0.2, 16), (6, 0.6, 4), (4, 0.1, 4),
                (4, 0.4), search="tpe",
            ),
            (
                "Its parameters were proposed by what earlier fits found: the best of 2 candidates "
                "on all rows, after 3 on a sixteenth of the rows and 2 on a quarter of the rows."
            ),
        ),
        (record((6, 0.5), algorithm="automl"), "AutoML chose it from the models that it fitted."),
    ],
)  # fmt: skip
def test_it_says_where_the_parameters_come_from_and_what_they_beat(fit, sentence):
    assert found_by(fit) == sentence


def test_a_candidate_on_a_part_of_the_rows_never_wins():
    fit = record((6, 0.5), (6, 0.3, 4), (4, 0.2, 4), (4, 0.6), search="tpe")
    assert fit.winner.parameters == {"max_depth": 6}
    assert fit.winner.log_loss == 0.5
    assert record().winner is None
