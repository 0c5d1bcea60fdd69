"""A real offline model of the rides stream."""

import pytest

from models.mojo.model import read_mojo
from models.refit.plan import FitTask
from models.refit.refit import train
from models.scoring.bound_model import Offline
from operators.shard.messages import Boundary
from operators.training.training_cuts import SnapshotWriter
from state.log.sqlite import SqliteLog
from tests.operators.shard_runs import Run, feed, rides_shard
from tests.rides import START_US, records, stream


@pytest.fixture(scope="session")
def mojo(h2o_server, tmp_path_factory):
    """A GBM that H2O fitted on outcomes of this very stream."""
    root = tmp_path_factory.mktemp("rides")
    run = feed(Run(rides_shard()), records(700, seed=7))
    log = SqliteLog(root / "log")
    for topic in ("outcomes", "snapshots"):
        log.create(topic, 1)
    log.append("outcomes", 0, run.written["outcomes"])
    end = START_US + 2 * 86_400_000_000
    SnapshotWriter(log, stream, root).write(0, run.shard.apply(Boundary(end)).cut)
    log.close()
    columns = stream.columns
    task = FitTask(
        files=[root / f"0/{end}.parquet"],
        features=[column.name for column in columns],
        categoricals=[column.name for column in columns if column.categorical],
        boundary=end,
        window=end - START_US + 1,
        validation=end - START_US - 8 * 3_600_000_000,
        embargo=0,
        min_rows=100,
        previous={"ntrees": 8, "max_depth": 4},
        draws=0,
    )
    record, artifact, _ = train(h2o_server, task, None)
    assert record.status == "promoted", record.reason
    return read_mojo(artifact)


@pytest.fixture(scope="session")
def offline(mojo):
    """Binds the model to a shard."""

    def bind(shard, model="gbm-1"):
        return Offline(model, mojo, [column.name for column in stream.columns], shard.levels)

    return bind
