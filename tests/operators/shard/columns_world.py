"""Trips whose columns can go wrong, and a model of them with a profile."""

import random
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from models.judging.column_reference import Reference
from models.mojo.model import read_mojo
from models.refit.plan import FitTask
from models.refit.profile import profile_of
from models.scoring.bound_model import Offline
from operators.shard.messages import Activation, Boundary
from operators.shard.shard import Shard
from operators.training.training_cuts import SnapshotWriter
from state.events import HOUR_US, MINUTE_US
from state.log import Record
from state.log.sqlite import SqliteLog
from state.settings import settings_from
from tests.golden.trips import stream
from tests.golden_log import GOLDEN
from tests.operators.shard_runs import Run, feed

FIRST_US = 1_704_067_200_000_000
TRAINED, LIVE = 4 * HOUR_US, 4 * HOUR_US
EVERY_US = 10_000_000
SETTINGS = settings_from({"metrics": {"every": "30m"}, "columns": {"season": "3h"}})
ZONES = ("north", "south", "east", "west")


class Fault(NamedTuple):
    """How trips are changed from a moment on: their fields, or when they are appended."""

    begin: int
    fields: Mapping[str, Any] = MappingProxyType({})
    late_us: int = 0
    end: int = 2**62
    is_dry: bool = False


NONE = Fault(2**62)


def trips(until, fault=NONE, seed=1):
    """Records of trips up to an event time: requests, their labels, and rain."""
    draw = random.Random(seed)
    found = []
    for i, time in enumerate(range(FIRST_US, until, EVERY_US)):
        zone, distance = draw.choice(ZONES), round(draw.uniform(1.0, 40.0), 3)
        asked = {"type": "asked", "id": f"a{i}", "time": time, "zone": zone, "distance": distance}
        ended = {
            "type": "ended",
            "id": f"e{i}",
            "time": time + draw.randrange(2, 25) * MINUTE_US,
            "of": f"a{i}",
            "zone": zone,
            "tip": float(draw.random() < distance / 50),
        }
        rained = {"type": "rained", "id": f"r{i}", "time": time, "zone": draw.choice(ZONES),
                  "fell": round(draw.random(), 3)}  # fmt: skip
        is_off = fault.begin <= time < fault.end
        late = fault.late_us if is_off else 0
        if is_off:
            asked |= {name: of(asked[name]) for name, of in fault.fields.items()}
        found.append((time + draw.randrange(3_000_000) + late, asked))
        found.append((ended["time"] + late, ended))
        if i % 5 == 0 and not (is_off and fault.is_dry):
            found.append((time + late, rained))
    found.sort(key=lambda one: one[0])
    values = [(at, msgspec.json.encode(one)) for at, one in found if at < until]
    return [Record(i, at, b"", value) for i, (at, value) in enumerate(values)]


def trips_shard(settings=SETTINGS):
    """A shard that has seen nothing."""
    return Shard(stream, settings, 0)


def trained_profile(root):
    """The profile of the first hours, from the training cut of a shard."""
    run = feed(Run(trips_shard()), trips(FIRST_US + TRAINED))
    log = SqliteLog(root / "log")
    for topic in ("outcomes", "snapshots"):
        log.create(topic, 1)
    log.append("outcomes", 0, run.written["outcomes"])
    end = FIRST_US + TRAINED
    SnapshotWriter(log, stream, root).write(0, run.shard.apply(Boundary(end)).cut)
    log.close()
    task = FitTask(
        files=[root / f"0/{end}.parquet"],
        features=[column.name for column in stream.columns],
        categoricals=["zone"],
        boundary=end,
        window=TRAINED,
        validation=HOUR_US,
        embargo=0,
    )
    return profile_of(task, mojo())


def mojo():
    """A model of the trips."""
    return read_mojo((GOLDEN / "1/gbm-1.zip").read_bytes())


def offline(shard, profile, model="gbm-1"):
    """The model, bound to a shard."""
    names = [column.name for column in stream.columns]
    own = None if profile is None else Reference(profile, names, shard.levels)
    return Offline(model, mojo(), names, shard.levels, own)


def run(profile, fault=NONE, settings=SETTINGS, until=FIRST_US + TRAINED + LIVE, cut_at=()):
    """A run in which the model is activated after the first hours."""
    made = Run(trips_shard(settings))
    records = trips(until, fault)
    first = sum(record.append_time < FIRST_US + TRAINED for record in records)
    model = offline(made.shard, profile)
    return feed(made, records, cut_at, {first: [Activation(0, "gbm-1", model)]})
