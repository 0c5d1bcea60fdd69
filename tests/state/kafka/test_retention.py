"""Old records are deleted, but never those that a killed writer would have to repeat."""

from state.kafka.retention import Retention

SPAN_S = 100.0


def test_records_go_up_to_what_was_there_a_tenth_of_the_span_before():
    now = [0.0]
    retention = Retention(SPAN_S, 40, clock=lambda: now[0])
    limits = []
    for now[0], end in [(0, 50), (9.9, 60), (10, 70), (15, 80), (20.5, 90), (90, 91), (90, 92)]:
        limits.append(retention.limit(end))
    assert limits == [None, None, 40, None, 70, 90, None]
