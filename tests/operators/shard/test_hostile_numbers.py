"""Numbers of events as hostile as they are legal: every probability is finite, then and after."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.mojo.model import read_mojo
from models.scoring.blend import NotFiniteError
from models.scoring.bound_model import Offline
from operators.shard.messages import Activation, Records
from operators.shard.shard import Shard
from state.events import HOUR_US, MINUTE_US, Event
from state.features import Bins, Custom, Ewma, Field, Labelled, Last, Mean, Rolling, Sum
from state.log import Record
from state.outputs.records import Prediction
from state.settings import settings_from
from state.stream import Label, Stream
from tests.models.mojo.test_model import GLM, zipped
from tests.operators.shard_runs import Run

START = 1_700_000_000_000_000
RIVER = {"class": "naive_bayes.GaussianNB"}
NUMBERS = {
    "category": "Binomial",
    "family": "binomial",
    "link": "logit",
    "cats": "0",
    "cat_offsets": "[0]",
    "cat_modes": "[]",
    "nums": "3",
    "num_means": "[0.0, 0.0, 0.0]",
    "beta": "[20.0, -20.0, 0.5, 0.1]",
}
COLUMNS = ("x", "y", "all_sum_1h", "label")
INFO = GLM | NUMBERS | {"n_features": "3", "n_columns": "4", "n_domains": "1", "n_classes": "2"}
INI = [
    "[info]",
    *(f"{key} = {value}" for key, value in INFO.items()),
    "[columns]",
    *COLUMNS,
    "[domains]",
    "3: 2 d3.txt",
]
GLM_MOJO = read_mojo(zipped({"model.ini": "\n".join(INI), "domains/d3.txt": "no\nyes"}))
"""Its sum is infinity less infinity where x and y are far enough from 0."""


class Asked(Event, frozen=True, kw_only=True):
    x: float
    y: float | None = None


class Told(Event, frozen=True, kw_only=True):
    of: str
    yes: bool
    z: float


class Beyond:
    """A hook that divides by what it has seen."""

    columns = ("beyond",)
    observes = (Told,)

    def __init__(self):
        self.last = 1.0

    def observe(self, event):
        self.last = event.z

    def values(self, request):
        return (request.x / self.last if self.last else math.copysign(math.inf, request.x),)

    def forget(self, before):
        pass

    def snapshot(self):
        return msgspec.msgpack.encode(self.last)

    def restore(self, state):
        self.last = msgspec.msgpack.decode(state)


STREAM = Stream(
    name="hostile",
    events=(Asked, Told),
    request=Asked,
    label=Label(
        on=Told,
        of="of",
        value=lambda event: event.yes,
        deadline=lambda request: request.time + 3 * MINUTE_US,
        silence=False,
        delay="3m",
    ),
    features=(
        Field("x"),
        Field("y", transform="log1p"),
        Rolling(
            over={Asked: 1.0, Told: -1.0},
            by=(),
            windows=("1h", "3h"),
            stats=(Sum("sum", lambda e: e.x if isinstance(e, Asked) else e.z),),
        ),
        Rolling(
            over=Labelled,
            by=(),
            windows=("1h",),
            stats=(Mean("mean", lambda e: e.request.x, prior=1e100, strength=1e100),),
        ),
        Ewma("usual", over=Told, by=(), of="z", rate=0.7, prior=0.0, forget="1d"),
        Last(over=Told, by=(), values=("z",), expires="1d"),
        Custom(Beyond),
        Bins("cut", of="usual", edges=(-1.0, 1.0)),
    ),
    crosses=(("cut", "cut"),),
    dedup="4h",
)

EXTREMES = [0.0, -0.0, 5e-324, -5e-324, 1e-200, 1e100, -1e100, 1e200, 1.7e308, -1.7e308, 1.0, -3.5]
numbers = st.sampled_from(EXTREMES) | st.floats(allow_nan=False, allow_infinity=False)
steps = st.lists(st.tuples(numbers, st.none() | numbers, numbers, st.booleans()), max_size=30)


def records(taken):
    """For each step a request and, before the next, what became of it."""
    encode = msgspec.json.encode
    for i, (x, y, z, yes) in enumerate(taken):
        time = START + i * 2 * MINUTE_US
        asked = Asked(id=f"a{i}", time=time, x=x, y=y)
        told = Told(id=f"t{i}", time=time + MINUTE_US, of=f"a{i}", yes=yes, z=z)
        yield Record(2 * i, time, b"", encode(asked))
        yield Record(2 * i + 1, time + MINUTE_US, b"", encode(told))


def shard(**changes):
    return Shard(STREAM, settings_from(changes), 0)


def with_model(run):
    names = [column.name for column in STREAM.columns]
    offline = Offline("glm", GLM_MOJO, names, run.shard.levels)
    run.take(Activation(0, "glm", offline))
    return run


def check(run):
    """All probabilities that were written; those that are not are null together."""
    decode = msgspec.json.Decoder(Prediction).decode
    made = [decode(value) for value in run.values("predictions")]
    for one in made:
        for p in (one.probability, one.online):
            assert 0.0 <= p <= 1.0
        assert (one.offline is None) == (one.residual is None)
        for p in (one.offline, one.residual):
            assert p is None or 0.0 <= p <= 1.0
    for value in run.values("outcomes"):
        outcome = msgspec.json.decode(value)
        assert 0.0 <= outcome["probability"] <= 1.0
    return made


WILD = [(1.7e308, 1.7e308, -1.7e308, True), (-1.7e308, -1.7e308, 1.7e308, False)] * 3


@settings(max_examples=40, deadline=None)
@example(taken=WILD, rivers=0, model=True)
@example(taken=WILD, rivers=2, model=True)
@given(taken=steps, rivers=st.integers(0, 2), model=st.booleans())
def test_no_probability_is_ever_other_than_finite(taken, rivers, model):
    run = Run(shard(online={"river": [RIVER] * rivers}))
    if model:
        with_model(run)
    run.take(Records(list(records(taken))))
    assert len(check(run)) == len(taken)


def test_a_model_that_gives_no_number_is_left_out_of_the_answer():
    run = with_model(Run(shard()))
    calm = (0.5, 0.5, 1.0, True)
    run.take(Records(list(records([calm, (1.7e308, 1.7e308, 1.0, True), calm]))))
    first, wild, last = check(run)
    assert None not in (first.offline, first.residual, last.offline, last.residual)
    assert (wild.offline, wild.residual, wild.model) == (None, None, "glm")


def test_many_answers_at_once_leave_it_out_too():
    run = with_model(Run(shard()))
    predictor = run.shard.predictor()
    rows = np.zeros((3, len(STREAM.columns)))
    rows[1, :2] = 1.7e308
    many = predictor.blend_many(rows, run.shard.serving)
    assert many == [predictor.blend(row, run.shard.serving) for row in rows]
    assert [one.offline is None for one in many] == [False, True, False]


def test_what_overflowed_is_missing_and_only_as_long_as_its_window():
    wild = [(1.7e308, 0.0, -1.7e308, True)] * 2
    run = Run(shard())
    run.take(Records(list(records(wild))))
    late = Asked(id="late", time=START + 10 * MINUTE_US, x=1.0)
    row = run.shard.predictor().vector(late)
    names = [column.name for column in STREAM.columns]
    told = dict(zip(names, row.tolist(), strict=True))
    assert math.isnan(told["all_sum_1h"])
    assert np.isfinite(told["usual"])
    assert not np.isinf(row).any()
    later = replace_time(late, START + 4 * HOUR_US)
    again = run.shard.predictor().vector(later)
    assert dict(zip(names, again.tolist(), strict=True))["all_sum_1h"] == 0.0


def replace_time(event, time):
    return msgspec.structs.replace(event, time=time)


def test_an_average_goes_on_after_numbers_at_both_ends():
    run = Run(shard())
    ends = [(0.0, 0.0, z, True) for z in (1.7e308, -1.7e308, 1.7e308)]
    run.take(Records(list(records(ends))))
    name = [column.name for column in STREAM.columns].index("usual")
    asked = Asked(id="x", time=START + 10 * MINUTE_US, x=1.0)
    mean, rate = 0.0, 0.7
    for z in (1.7, -1.7, 1.7):  # the same at another scale, where nothing overflows
        mean += rate * (z - mean)
    assert run.shard.predictor().vector(asked)[name] == pytest.approx(mean * 1e308)


def test_the_shard_goes_on_from_its_snapshot_with_the_same_bytes():
    taken = [(1.7e308, -1.7e308, 5e-324, True), (-1.7e308, None, 1.7e308, False)] * 6
    whole = with_model(Run(shard()))
    whole.take(Records(list(records(taken))))
    first, rest = list(records(taken))[:9], list(records(taken))[9:]
    run = with_model(Run(shard()))
    run.take(Records(first))
    other = Run(shard())
    names = [column.name for column in STREAM.columns]
    state = run.shard.snapshot()
    other.shard.restore(state, lambda model: Offline(model, GLM_MOJO, names, other.shard.levels))
    other.written = run.written
    other.take(Records(rest))
    assert other.written == whole.written


def test_a_damaged_state_ends_the_flow_and_writes_nothing():
    run = Run(shard())
    run.take(Records(list(records([(1.0, 1.0, 1.0, True)]))))
    run.shard._learning._bank._weights[:] = math.nan
    asked = Asked(id="x", time=START + 10 * MINUTE_US, x=1.0)
    with pytest.raises(NotFiniteError, match="probability must be finite; got nan"):
        run.take(Records([Record(2, asked.time, b"", msgspec.json.encode(asked))]))
    with pytest.raises(NotFiniteError):
        run.shard.predictor().blend_many(
            np.zeros((1, len(STREAM.columns))), with_model(Run(run.shard)).shard.serving
        )
