"""The bench of the follower feeds it as it says."""

import pytest

from bench.bench_follower import Feed, main
from flows.home import Home, create_topics
from operators.messages import Activation, Records
from state.log import Record

RECORDS = [Record(i, i, b"", b"") for i in range(1_200)]


def test_a_feed_gives_nothing_or_all_in_order():
    feed = Feed(RECORDS)
    assert feed.poll() is None
    feed.pace(float("inf"))
    feed.give(Activation(0, None, None))
    assert feed.poll() == Activation(0, None, None)
    given = []
    while (message := feed.poll()) is not None:
        assert isinstance(message, Records)
        given += message.records
    assert given == RECORDS
    assert feed.offset == feed.end == 1_200


def test_a_home_without_two_models_is_refused(tmp_path):
    log = Home(tmp_path).log()
    create_topics(log, 1)
    log.close()
    with pytest.raises(SystemExit, match=r"two promoted models; got 0"):
        main([str(tmp_path)])
