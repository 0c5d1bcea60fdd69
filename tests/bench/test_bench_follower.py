"""The bench of the follower has a log that grows as it once did."""

import msgspec
import pytest

from bench.bench_follower import main
from bench.growing_log import GrowingLog
from flows.home.home import Home, create_topics
from flows.scorer import Scorer
from operators.partition.journal import Journal, JournalWriter
from tests.golden.trips import stream
from tests.trips_world import SETTINGS, World


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path / "run")
    world.go(0)
    yield world
    world.log.close()


@pytest.fixture
def growing(world, tmp_path):
    own = Home(tmp_path / "own").log()
    create_topics(own, 2)
    return GrowingLog(world.log, own)


@pytest.mark.parametrize("passed", [0, 9, 10, 80, 116])
def test_a_log_shows_what_there_was_when_so_many_events_had_passed(growing, world, passed):
    growing.grow(passed)
    assert growing.passed == growing.end("events", 0) == passed
    assert len(growing.read("events", 0, 0, max_records=1_000)) == passed
    decided = [entry.offset for entry in Journal(growing, 0).entries]
    assert decided == [one.offset for one in Journal(world.log, 0).entries if one.offset <= passed]
    answered = [msgspec.json.decode(one.value) for one in growing.read("predictions", 0, 0)]
    expected = [one.offset for one in world.predictions(0) if one.offset < passed]
    assert [one["offset"] for one in answered] == expected
    assert growing.end("models", 0) == world.log.end("models", 0)
    assert growing.end("outcomes", 0) == 0


def test_a_scorer_follows_it_and_takes_what_is_appended_to_its_journal(growing, world):
    growing.grow(20)
    with Scorer(SETTINGS, stream, growing, world.home, partitions=[0], follow=False) as scorer:
        assert 10 < scorer.as_of[0][1] <= 20
        assert scorer.models[0] == "gbm-1"
        growing.grow(90)
        scorer.advance()
        assert scorer.models[0] == "gbm-2"
        newest = JournalWriter(growing, 0)
        newest.write(msgspec.structs.replace(newest.active, offset=90, model="gbm-1"), 0)
        scorer.advance()
        assert scorer.as_of[0][1] == 90
        assert scorer.models[0] == "gbm-1"


def test_a_home_without_two_models_is_refused(tmp_path):
    log = Home(tmp_path).log()
    create_topics(log, 1)
    log.close()
    with pytest.raises(SystemExit, match=r"two promoted models; got 0"):
        main([str(tmp_path)])
