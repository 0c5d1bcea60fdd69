"""Thresholds that can be trusted are said without a contradiction."""

import pytest

from flows.reports.trust_text import trust_lines
from models.judging.trust import Side, Trust
from state.settings import Risk


@pytest.mark.parametrize(
    ("act", "let_go", "last"),
    [
        (0.6, 0.2, "40% of the requests lie between"),
        (0.6, 0.6, "no request lies between"),
        (
            0.31,
            0.599,
            "no request lies between: from 0.310 to 0.599 both promises hold, whichever is done",
        ),
        (None, 0.2, "40% of the requests lie between"),
        (0.6, None, "40% of the requests lie between"),
    ],
)
def test_between_the_thresholds_one_sentence_says_which_promises_hold(act, let_go, last):
    found = Trust(Side(act, 0.09, 100), Side(let_go, 0.19, 50), recall=0.7, unsure=0.4)
    assert trust_lines(found, Risk())[2] == last
