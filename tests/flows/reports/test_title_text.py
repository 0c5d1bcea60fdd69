"""Decisions on the title are told so that people understand them."""

import pytest

from flows.reports.title_text import title_words
from models.refit.fit_record import FitRecord, TitleEvidence


def told(status, gain):
    evidence = TitleEvidence(
        better=1.0, worse=1.0, labels=1_200, gain=gain, alpha=0.05, metrics=[1], time=0
    )
    return title_words(
        FitRecord(
            boundary=0, status=status, reason="", algorithm="", model="won", champion="lost",
            evidence=evidence,
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "gain", "words"),
    [
        ("proven", 0.0312, "`won` took the title of champion from `lost`@better by"),
        ("dismissed", -0.0312, "`won` kept the title of champion@`lost` was worse by"),
        ("returned", -0.0312, "`won` is champion again@`lost` was worse by"),
    ],
)
def test_a_decision_names_both_models_the_labels_and_the_difference(status, gain, words):
    end = "" if status == "proven" else " and answers no more"
    after = words.replace("@", " after 1,200 labels: ")
    assert told(status, gain) == f"{after} .0312 in log-loss{end}"


@pytest.mark.parametrize(("status", "gain"), [("proven", -0.0004), ("dismissed", 0.0004)])
def test_a_mean_that_does_not_show_what_is_proven_is_told(status, gain):
    assert "by evidence, not in mean log-loss" in told(status, gain)
