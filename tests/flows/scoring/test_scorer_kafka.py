"""The scorer beside a flow whose log is in Kafka."""

import uuid

import pytest

from flows.home.configuration import ConfigurationError
from flows.home.kafka import kafka_log
from flows.scorer import Scorer
from operators.partition.journal import Activated, Journal
from state.settings import settings_from
from tests.trips_world import World, ask, zone_of


@pytest.mark.timeout(120)
def test_it_follows_a_log_in_kafka_and_a_rollback_there(broker, tmp_path):
    prefix = f"{uuid.uuid4().hex[:8]}."
    kafka = settings_from({"kafka": {"bootstrap": broker.bootstrap, "prefix": prefix}}).kafka
    world = World(tmp_path, decided=4, connect=lambda: kafka_log(kafka))
    request = ask(zone_of(0))
    world.go(0, 20)
    with world.scorer(partitions=[0]) as scorer:
        for until, model in ((40, "gbm-1"), (100, "gbm-2")):
            world.go(0, until)
            scorer.advance()
            assert scorer.as_of[0][1] == until
            answer, flow = scorer.score(request), world.lives[0].shard.predict(request)
            assert (answer.model, answer.probability) == (flow.model, flow.probability)
            assert answer.model == model
        assert world.published.roll_back(None, 0) == "gbm-1"
        world.go(0, 110)
        scorer.advance()
        assert scorer.score(request).model == world.lives[0].shard.model == "gbm-1"
        obeyed = [e for e in Journal(world.log, 0).entries if isinstance(e, Activated)]
        assert [(e.offset, e.model) for e in obeyed if e.rollbacks] == [(100, "gbm-1")]
    world.log.close()


def test_a_home_of_another_log_in_kafka_is_refused(broker, tmp_path):
    settings = tmp_path / "headwater.toml"
    settings.write_text(
        'stream = "tests.golden.trips:stream"\nlog = "kafka"\n'
        f'[kafka]\nbootstrap = "{broker.bootstrap}"\nprefix = "{uuid.uuid4().hex[:8]}."\n'
    )
    (tmp_path / "kafka.json").write_bytes(b'{"cluster":"another","prefix":""}')
    with pytest.raises(ConfigurationError, match=r"home must be of cluster .*'another'"):
        Scorer.open(settings, home=tmp_path)
