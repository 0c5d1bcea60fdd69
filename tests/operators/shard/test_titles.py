"""Of two offline models that answer one has the title; evidence is gathered between them."""

import pytest

from models.scoring.bound_model import Offline
from operators.shard.messages import Activation
from state.settings import settings_from
from tests.operators.shard.test_learning import MOJOS, NAMES, activation, metrics, mojo, nights
from tests.operators.shard_runs import Run, feed, rides_shard

NIGHTS = nights(1_500, seed=7)
TICKS = {"metrics": {"every": "20m"}, "clock": {"span": "30m"}}


def titled(shard, model, number, champion, *, alone=False):
    offline = Offline(model, MOJOS[model], NAMES, shard.levels)
    return Activation(number, model, offline, alone, champion)


def in_use(run):
    of = run.shard._learning.in_use
    return of.model, of.older, of.champion


def started(*models, settings=None, until=None):
    """A run in which models come, two hundred records from one to the next."""
    run = Run(rides_shard() if settings is None else rides_shard(settings_from(TICKS | settings)))
    feed(run, NIGHTS[:200])
    for number, model in enumerate(models):
        run.take(activation(run.shard, model, number))
        feed(run, NIGHTS[: 400 + 200 * number])
    return feed(run, NIGHTS[:until]) if until else run


def test_the_first_model_has_the_title_and_a_later_one_must_earn_it():
    assert in_use(started("a")) == ("a", None, "a")
    assert in_use(started("a", "b")) == ("b", "a", "a")


def test_undecided_it_is_the_newer_of_two_that_has_the_title_when_the_next_comes():
    assert in_use(started("a", "b", "c")) == ("c", "b", "b")


def test_a_title_given_to_the_older_keeps_it_beside_the_next_model():
    run = started("a", "b")
    older = run.shard.serving.older
    bank, row = run.shard._learning._bank, run.shard._pending.rows[0]
    before = bank.predict(row, (0.0, 0.0))[2].copy()
    run.take(titled(run.shard, "c", 2, "a"))
    assert in_use(run) == ("c", "a", "a")
    assert run.shard.serving.older is older
    assert (bank.predict(row, (0.0, 0.0))[2] == before).all()
    feed(run, NIGHTS)
    assert run.shard.older == "a"


def test_a_model_that_comes_with_the_title_stands_alone():
    run = started("a", "b")
    run.take(titled(run.shard, "a", 2, "a"))
    assert in_use(run) == ("a", None, "a")


@pytest.mark.parametrize("champion", ["b", "a", "x"])
def test_a_title_changes_only_between_the_two_and_no_answer_with_it(champion):
    run, other = (started("a", "b", until=1_000) for _ in range(2))
    run.take(titled(run.shard, "b", 2, champion))
    other.take(titled(other.shard, "b", 2, None))
    assert in_use(run) == ("b", "a", "b" if champion == "b" else "a")
    for one in (run, other):
        feed(one, NIGHTS[:1_400])
    assert run.values("predictions") == other.values("predictions")


def test_evidence_is_published_and_begins_again_with_the_title_and_with_a_model():
    run = started("a", "b", until=1_500)
    newest = metrics(run)[-1]
    assert (newest.model, newest.older, newest.champion) == ("b", "a", "a")
    assert newest.compared > 300
    assert min(newest.better, newest.worse) < 1
    run.take(titled(run.shard, "b", 2, "b"))
    feed(run, NIGHTS[:1_700])
    again = metrics(run)[-1]
    assert again.champion == "b"
    assert 0 < again.compared < 150
    run.take(activation(run.shard, "c", 3))
    feed(run, NIGHTS[:1_800])
    assert metrics(run)[-1].compared < again.compared


def test_with_one_model_there_is_no_title_to_tell():
    newest = metrics(started("a"))[-1]
    assert (newest.champion, newest.better, newest.worse, newest.compared) == (None, None, None, 0)


def test_a_better_model_gains_evidence_and_a_worse_one_loses_it():
    # Late is rarer than "b" says.
    gained = metrics(started("b", "a", until=3_000))[-1]
    lost = metrics(started("a", "b", until=3_000))[-1]
    assert gained.better > 20 > gained.worse
    assert lost.worse > 20 > lost.better
    assert gained.better == pytest.approx(lost.worse)


def test_the_same_model_under_another_name_is_neither_proven_nor_dismissed(monkeypatch):
    monkeypatch.setitem(MOJOS, "a2", mojo(-1.0))
    newest = metrics(started("a", "a2", until=3_000))[-1]
    assert (newest.better, newest.worse, newest.compared) == (1.0, 1.0, 1_285)
    assert newest.gain == 0.0


def test_the_older_answers_while_the_title_is_open_and_while_it_is_watched(monkeypatch):
    monkeypatch.setattr("models.linear.ensemble._LEFT", 1.1)  # the mixture would leave it at once
    run = started("a", "b", settings={"promotion": {"watch": 300}}, until=1_500)
    assert in_use(run) == ("b", "a", "a")
    run.take(titled(run.shard, "b", 2, "b"))
    feed(run, NIGHTS[:1_900])
    assert in_use(run) == ("b", "a", "b")
    feed(run, NIGHTS)
    assert in_use(run) == ("b", None, "b")


DECISIONS = {
    400: lambda shard: activation(shard, "a", 0),
    600: lambda shard: activation(shard, "b", 1),
    1_000: lambda shard: titled(shard, "b", 2, "b"),
    1_200: lambda shard: titled(shard, "c", 3, "b"),
}


def taken(run, since, until):
    """A run that is given the decisions from one offset to before another."""
    for offset, decision in DECISIONS.items():
        if since <= offset < until:
            feed(run, NIGHTS[:offset])
            run.take(decision(run.shard))
    return feed(run, NIGHTS[:until])


@pytest.mark.parametrize("at", [500, 900, 1_100, 1_300])
def test_titles_go_on_from_a_snapshot(at):
    whole, first, second = (Run(rides_shard()) for _ in range(3))
    taken(whole, 0, 2_000)
    taken(first, 0, at)
    second.shard.restore(
        first.shard.snapshot(),
        lambda model: Offline(model, MOJOS[model], NAMES, second.shard.levels),
    )
    second.written = first.written
    assert taken(second, at, 2_000).written == whole.written
    assert second.shard.snapshot() == whole.shard.snapshot()
