"""Two offline models answer side by side, each corrected by its own learners, weighed in order."""

import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from models.mojo.model import read_mojo
from models.scoring.bound_model import Offline
from operators.shard.messages import Activation, Boundary, Records
from state.events import HOUR_US, MINUTE_US
from state.outputs.records import Metrics, Prediction
from tests.models.mojo.test_model import GLM, zipped
from tests.operators.shard_runs import Run, feed, rides_shard
from tests.rides import START_US, Asked, Ended, encode, numbered, records, stream

NAMES = [column.name for column in stream.columns]
COLUMNS = ("price", "ride_minutes", "fell", "label")
RECORDS = records(500)


def mojo_bytes(intercept, price=0.0, minutes=0.05):
    """A model for which P(late) is sigmoid(intercept + price * price + minutes * ride_minutes)."""
    info = GLM | {
        "category": "Binomial", "family": "binomial", "link": "logit", "cats": "0",
        "cat_offsets": "[0]", "cat_modes": "[]", "nums": "3", "num_means": "[0.0, 0.0, 0.0]",
        "beta": f"[{price}, {minutes}, 0.0, {intercept}]", "n_features": "3", "n_columns": "4",
        "n_domains": "1", "n_classes": "2",
    }  # fmt: skip
    lines = ["[info]", *(f"{key} = {value}" for key, value in info.items())]
    lines += ["[columns]", *COLUMNS, "[domains]", "3: 2 d3.txt"]
    return zipped({"model.ini": "\n".join(lines), "domains/d3.txt": "no\nyes"})


def mojo(intercept):
    return read_mojo(mojo_bytes(intercept))


MOJOS = {"a": mojo(-1.0), "b": mojo(0.5), "c": mojo(-0.3)}
MOJOS["priced"] = read_mojo(mojo_bytes(-2.0, price=0.1, minutes=0.0))


def activation(shard, model, number=0, *, alone=False):
    return Activation(number, model, Offline(model, MOJOS[model], NAMES, shard.levels), alone)


def predictions(run):
    return [msgspec.json.decode(one, type=Prediction) for one in run.values("predictions")]


def metrics(run):
    return [msgspec.json.decode(one, type=Metrics) for one in run.values("metrics")]


def fed(*models, until=None, settings=None):
    """A run in which a model comes at each of these offsets."""
    run = Run(rides_shard() if settings is None else rides_shard(settings))
    others = {
        offset: [activation(run.shard, model, number)]
        for number, (offset, model) in enumerate(models)
    }
    return feed(run, RECORDS[:until], others=others)


def test_the_model_before_answers_on_beside_the_new_one():
    run = fed((200, "a"), (500, "b"), until=600)
    assert (run.shard.model, run.shard.older) == ("b", "a")
    made = [one for one in predictions(run) if one.offset >= 500]
    for one in made:
        assert (one.model, one.offline is None) == ("b", False)
    newest = metrics(run)[-1]
    assert (newest.model, newest.older) == ("b", "a")
    assert newest.shares["older_residual"] + newest.shares["older_offline"] > 0.01
    assert sum(newest.shares.values()) == pytest.approx(1)


def test_the_third_model_drives_out_the_first():
    run = fed((200, "a"), (400, "b"), (500, "c"), until=600)
    assert (run.shard.model, run.shard.older) == ("c", "b")
    assert [one.model for one in run.shard.serving[:2]] == ["c", "b"]


def test_a_model_that_is_decided_once_more_changes_nothing():
    once, twice = Run(rides_shard()), Run(rides_shard())
    for run, times in ((once, [100]), (twice, [100, 300])):
        others = {at: [activation(run.shard, "a", i)] for i, at in enumerate(times)}
        feed(run, RECORDS[:500], others=others)
    assert once.written == twice.written


def test_before_the_first_and_without_any_model_the_learners_answer_alone():
    run = fed((300, "a"), until=400)
    run.take(Activation(1, None, None))
    feed(run, RECORDS[:500])
    answers = predictions(run)
    assert {one.offline is None for one in answers if 300 <= one.offset < 400} == {False}
    rest = [one for one in answers if not 300 <= one.offset < 400]
    assert all(one.offline is None and one.residual is None for one in rest)
    assert run.shard.older is None
    shares = run.shard._learning.shares()
    assert shares["online"] + shares["stacks"] == pytest.approx(1)


def test_a_model_that_was_rolled_back_answers_no_more():
    run = fed((200, "a"), (400, "b"), until=450)
    run.take(activation(run.shard, "a", 2, alone=True))
    assert (run.shard.model, run.shard.older) == ("a", None)
    assert run.shard.serving.older is None


def test_a_model_that_is_rolled_back_to_is_corrected_as_it_was():
    run = fed((200, "a"), (400, "b"), until=450)
    bank, row = run.shard._learning._bank, run.shard._pending.rows[0]
    _, _, older = bank.predict(row, (0.0, 0.0))
    run.take(activation(run.shard, "a", 2, alone=True))
    _, newest, _ = bank.predict(row, (0.0, None))
    assert (newest == older).all()


def test_a_rollback_that_was_obeyed_at_a_boundary_takes_the_other_out_as_well():
    run = fed((200, "a"), (400, "b"), (420, "a"), until=450)
    assert (run.shard.model, run.shard.older) == ("a", "b")
    run.take(activation(run.shard, "a", 3, alone=True))
    assert (run.shard.model, run.shard.older) == ("a", None)


def nights(n, seed):
    """Requests whose label is told at once, by a rule of the price."""
    rng, events = np.random.default_rng(seed), []
    for i in range(n):
        time = START_US + 6 * HOUR_US + i * MINUTE_US
        price = float(rng.lognormal(3, 1))
        asked = Asked(
            id=f"a{i}", time=time, city="ber", driver=1, pickup=time, arrive=time + 20 * MINUTE_US,
            price=price,
        )  # fmt: skip
        late = 9.0 if rng.random() < 1 / (1 + math.exp(-3 * (math.log(price) - 3))) else 0.0
        ended = Ended(
            id=f"e{i}", time=time + MINUTE_US // 2, of=f"a{i}", city="ber", driver=1, pickup=time,
            late=late,
        )  # fmt: skip
        events += [asked, ended]
    return numbered((event.time, b"", encode(event)) for event in events)


def test_a_model_that_has_been_left_answers_no_more(monkeypatch):
    made, run = nights(1_000, seed=2), Run(rides_shard())
    others = {500: [activation(run.shard, "b", 0)], 1_000: [activation(run.shard, "c", 1)]}
    feed(run, made[:1_100], others=others)
    assert run.shard.older == "b"
    run.take(activation(run.shard, "c", 2)._replace(champion="c"))
    run.shard._learning._watched = 0
    monkeypatch.setattr("models.linear.ensemble._LEFT", 0.9)  # with less than this it is left
    feed(run, made)
    assert (run.shard.model, run.shard.older, run.shard.serving.older) == ("c", None, None)
    newest = metrics(run)[-1]
    assert newest.older is None
    assert newest.shares["older_residual"] == newest.shares["older_offline"] == 0
    assert sum(newest.shares.values()) == pytest.approx(1)


def test_a_new_model_is_corrected_from_its_first_request_on_by_what_its_fit_has_not_seen():
    made = nights(1_000, seed=3)

    def first_correction(cut_at):
        run = Run(rides_shard())
        feed(run, made[:1_200])
        if cut_at is not None:
            run.shard._learning.cut()
        feed(run, made[:1_400])
        run.take(activation(run.shard, "a", 0))
        bank, row = run.shard._learning._bank, run.shard._pending.rows[0]
        return bank.predict(row, (0.0, None))[1]

    unseen, all_unseen = first_correction(1_200), first_correction(None)
    assert (unseen != 0).all()
    assert (unseen != all_unseen).all()


def test_at_a_boundary_nothing_is_left_that_the_fit_has_not_seen():
    run = Run(rides_shard())
    feed(run, nights(300, seed=3))
    run.take(Boundary(START_US + 20 * HOUR_US))
    run.take(activation(run.shard, "a", 0))
    bank, row = run.shard._learning._bank, run.shard._pending.rows[0]
    assert (bank.predict(row, (0.7, None))[1] == 0.7).all()


def test_a_label_teaches_the_correction_of_a_model_that_came_after_its_request():
    made = nights(200, seed=4)
    run = Run(rides_shard())
    feed(run, made[:399])  # the last request still waits
    run.take(Boundary(START_US + 20 * HOUR_US))
    run.take(activation(run.shard, "a", 0))
    bank, row = run.shard._learning._bank, run.shard._pending.rows[0].copy()
    before = bank.predict(row, (0.0, None))[1].copy()
    run.take(Records(made[399:400]))
    assert (bank.predict(row, (0.0, None))[1] != before).all()


def test_weights_wait_for_the_oldest_request_without_a_label():
    made = nights(50, seed=5)
    first, rest = made[0], made[2:]  # its label never comes
    run = Run(rides_shard())
    kept = [record._replace(offset=i) for i, record in enumerate([first, *rest])]
    before = run.shard._learning._ensemble.snapshot()
    feed(run, kept[:60])
    assert run.shard._learning._ensemble.snapshot() == before
    assert len(run.shard._learning._order) == 31
    feed(run, kept)  # the deadline of the first passes
    assert run.shard._learning._ensemble.snapshot() != before


@pytest.mark.parametrize("at", [230, 420, 520, 760])
def test_with_two_models_going_on_from_a_snapshot_is_as_never_having_stopped(at):
    models = [(200, "a"), (400, "b"), (500, "c")]
    whole = fed(*models)
    first = fed(*(one for one in models if one[0] <= at), until=at)
    second = Run(rides_shard())
    second.shard.restore(
        first.shard.snapshot(),
        lambda model: Offline(model, MOJOS[model], NAMES, second.shard.levels),
    )
    second.written = first.written
    others = {
        offset: [activation(second.shard, model, number)]
        for number, (offset, model) in enumerate(models)
        if offset > at
    }
    feed(second, RECORDS, others=others)
    assert second.written == whole.written
    assert second.shard.snapshot() == whole.shard.snapshot()


def test_a_request_that_gets_no_label_keeps_no_other_from_being_weighed():
    made = nights(50, seed=5)
    first, rest = made[0], made[2:]
    label = replace(stream.label, silence=None)
    run = Run(rides_shard(label=label))
    feed(run, [record._replace(offset=i) for i, record in enumerate([first, *rest])])
    assert len(run.values("outcomes")) == 49
    assert len(run.shard._learning._order) == 0
