"""On a topic that is fed all the time a prediction is there a moment after its request."""

import pytest

from bench.bench_kafka_latency import measure

MOST_MS = 500
"""Waiting for full reads would take ten seconds, however idle the machine is."""
ROUNDS = 3
"""So many tries, of which one must do: other work on the machine takes its time too."""


@pytest.mark.timeout(300)
def test_a_flow_that_is_fed_a_thousand_events_a_second_answers_within_half_a_second(broker):
    for _ in range(ROUNDS):
        found = measure(broker.bootstrap, 1_000, 10)
        assert found.measured > 3_000
        assert "Up to date: waiting for new events" in found.said
        if found.p99_ms <= MOST_MS and "Waiting for Kafka" not in found.said:
            break
    assert found.p99_ms <= MOST_MS, found
    assert "Waiting for Kafka" not in found.said


@pytest.mark.timeout(300)
def test_a_scorer_beside_it_is_mostly_less_than_that_behind(broker):
    for _ in range(ROUNDS):
        found = measure(broker.bootstrap, 1_000, 10, scorer=True)
        assert found.measured > 9_000
        if found.p50_ms <= MOST_MS:
            break
    assert found.p50_ms <= MOST_MS, found
