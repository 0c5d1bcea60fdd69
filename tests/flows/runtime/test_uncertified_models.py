"""Flow, scorer and audit refuse the same models, in the same words."""

import re

import pytest

from flows.replay.audit import audit
from operators.training.model_loader import ModelError
from tests.trips_world import SETTINGS, World, ask, zone_of

REFUSED = r"model gbm-2 must be usable: predictions must be H2O's within 1e-09; got .* away"


@pytest.fixture
def world(tmp_path):
    """Its second model does not predict what H2O did for the rows that are kept with it."""
    world = World(tmp_path / "home", decided=3)
    world.rows["gbm-2"] = world.rows["gbm-1"]
    world.decide(8)
    yield world
    world.log.close()


def test_the_flow_goes_on_with_the_model_before_and_says_so_and_the_scorer_follows(world, caplog):
    world.go(0)
    assert "gbm-2" not in {one.model for one in world.predictions(0)}
    assert world.predictions(0)[-1].model == world.lives[0].shard.model == "gbm-1"
    (said,) = [one.getMessage() for one in caplog.records]
    assert re.fullmatch(REFUSED + "; gbm-1 stays in use", said)
    with world.scorer(partitions=[0]) as scorer:
        assert scorer.trouble is None
        request, shard = ask(zone_of(0)), world.lives[0].shard
        assert scorer.score(request).probability == shard.predict(request).probability
        with pytest.raises(ModelError, match=REFUSED):
            scorer._models.offline("gbm-2", shard)
    found = audit(home=world.home.root, settings=SETTINGS)
    assert found["different"].sum() == 0
