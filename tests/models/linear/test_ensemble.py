"""All that answers, weighed: absent parts, swaps, and what it learns."""

import math

import msgspec
import numpy as np
import pytest

from models.linear.bank import NEWEST as NEWEST_SLOT
from models.linear.bank import OLDER as OLDER_SLOT
from models.linear.ensemble import Ensemble
from models.linear.ensemble_kernels import GONE
from models.linear.mixture import (
    GROUPED,
    NEWEST,
    NEWEST_OFFLINE,
    OLDER,
    OLDER_OFFLINE,
    ONLINE,
    PARTS,
    STACKED,
)


def parts(online, newest=math.nan, offline=math.nan):
    found = np.full(PARTS, np.nan)
    found[ONLINE], found[NEWEST], found[NEWEST_OFFLINE] = online, newest, offline
    return found


def test_when_all_say_the_same_it_is_the_answer():
    answer = Ensemble().answer(parts(0.4, 0.4, 0.4))
    assert answer == pytest.approx((1 / (1 + math.exp(-0.4)),) * 3)


def test_before_the_first_offline_model_there_is_no_residual_one():
    answer = Ensemble().answer(parts(0.4))
    assert math.isnan(answer.residual)
    assert answer.probability == pytest.approx(answer.online)


def test_it_turns_to_the_part_that_is_right():
    ensemble = Ensemble()
    for i in range(400):
        label = i % 2
        said = parts(0.0, 0.0, 3.0 if label else -3.0)
        ensemble.answer(said)
        ensemble.learn(said, label)
    weights = ensemble.everything.weights
    assert weights[NEWEST_OFFLINE] > 0.2
    assert weights[[*range(NEWEST_OFFLINE), *range(*GROUPED.indices(PARTS))]].max() < 0.05
    assert ensemble.answer(parts(0.0, 0.0, 3.0)).probability > 0.9


def test_a_stack_weighs_two_halves_of_the_truth_together():
    ensemble, rng, losses = Ensemble(), np.random.default_rng(1), np.zeros(2)
    for i in range(6_000):
        a, b = rng.normal(size=2) * 2
        label = int(rng.random() < 1 / (1 + math.exp(-a - b)))
        said = parts(a, b, 0.0)
        p = np.array([ensemble.answer(said).probability, 1 / (1 + math.exp(-a))])
        if i > 3_000:
            losses -= np.log(p if label else 1 - p)
        ensemble.learn(said, label)
    assert losses[0] < 0.8 * losses[1]
    weights = ensemble.everything.weights
    asleep = (
        weights[OLDER.start : OLDER_OFFLINE + 1].sum() + weights[GROUPED.stop - 1]
    )  # what is absent keeps its share
    assert weights[STACKED.start :].sum() > 0.9 * (1 - asleep)


def test_a_swap_keeps_what_the_model_before_had_earned_and_gives_the_new_one_as_much():
    ensemble = Ensemble()
    for i in range(200):
        said = parts(0.0, 0.0, 2.0 if i % 2 else -2.0)
        ensemble.answer(said)
        ensemble.learn(said, i % 2)
    before = ensemble.everything.weights
    ensemble.activate()
    after = ensemble.everything.weights
    assert after[OLDER_OFFLINE] == pytest.approx(before[NEWEST_OFFLINE] / 2)
    assert after[NEWEST_OFFLINE] == pytest.approx(
        before[NEWEST_OFFLINE] / 2 + before[OLDER_OFFLINE]
    )
    assert after[OLDER] == pytest.approx(before[NEWEST] / 2)
    assert after.sum() == pytest.approx(1)


def taught(ensemble, n=300):
    rng = np.random.default_rng(3)
    for _ in range(n):
        said = np.full(ensemble.parts, np.nan)
        said[:PARTS] = parts(*rng.normal(size=3))
        said[PARTS:] = rng.normal()
        ensemble.answer(said)
        ensemble.learn(said, int(rng.random() < 0.3))
    return ensemble


def present(ensemble, *absent):
    found = np.ones(ensemble.parts, bool)
    for of in absent:
        found[of] = False
    return found


def test_the_shares_are_of_those_that_are_there_and_sum_to_1():
    ensemble = taught(Ensemble(rivers=2))
    shares = ensemble.shares(present(ensemble, OLDER, OLDER_OFFLINE, GROUPED.stop - 1))
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["older_residual"] == shares["older_offline"] == 0
    every = ensemble.shares(present(ensemble))
    assert sum(every.values()) == pytest.approx(1)
    assert every["older_offline"] == pytest.approx(ensemble.everything.weights[OLDER_OFFLINE])
    assert every["online"] == pytest.approx(
        ensemble.everything.weights[[*range(ONLINE.stop), GROUPED.start, PARTS, PARTS + 1]].sum()
    )


def test_an_older_model_that_says_nonsense_is_left():
    ensemble, rng = Ensemble(), np.random.default_rng(2)
    ensemble.activate()
    there = present(ensemble)
    assert not ensemble.has_left_older(there)
    for i in range(2_000):
        said = parts(0.0, 0.0, 3.0 if i % 2 else -3.0)
        said[OLDER] = said[OLDER_OFFLINE] = rng.choice([-3.0, 3.0])
        ensemble.answer(said)
        ensemble.learn(said, i % 2)
    assert ensemble.has_left_older(there)
    before = ensemble.everything.weights
    ensemble.activate(NEWEST_SLOT, None)
    after = ensemble.everything.weights
    assert after[OLDER].sum() == after[OLDER_OFFLINE] == 0
    assert after.sum() == pytest.approx(1)
    assert after[NEWEST_OFFLINE] == pytest.approx(before[NEWEST_OFFLINE] + before[OLDER_OFFLINE])


def test_a_model_that_comes_back_has_the_share_that_it_had():
    ensemble = taught(Ensemble())
    ensemble.activate()
    before = ensemble.everything.weights
    ensemble.activate(OLDER_SLOT, NEWEST_SLOT)
    after = ensemble.everything.weights
    assert (after[NEWEST] == before[OLDER]).all()
    assert (after[OLDER] == before[NEWEST]).all()


def test_a_request_from_before_a_swap_moves_the_share_of_the_model_that_answered_it():
    ensemble = Ensemble()
    ensemble.activate()
    for i in range(300):
        said = parts(0.0, 0.0, 3.0 if i % 2 else -3.0)
        ensemble.answer(said)
        ensemble.learn(said, i % 2, OLDER_SLOT, GONE)
    weights = ensemble.everything.weights
    assert weights[OLDER_OFFLINE] > 0.2
    assert weights[NEWEST_OFFLINE] < 0.1


def test_a_model_that_is_gone_moves_no_share_of_others():
    ensemble, other = Ensemble(), Ensemble()
    for i in range(50):
        said = parts(0.1, 0.5, 3.0 if i % 2 else -3.0)
        ensemble.answer(said)
        ensemble.learn(said, i % 2, GONE, GONE)
        said[NEWEST] = said[NEWEST_OFFLINE] = np.nan
        other.learn(said, i % 2)
    ours, theirs = ensemble.everything.weights, other.everything.weights
    assert ours == pytest.approx(theirs)


def test_two_offline_models_that_err_apart_are_better_together():
    ensemble, rng, losses = Ensemble(), np.random.default_rng(1), np.zeros(2)
    for i in range(6_000):
        a, b = rng.normal(size=2) * 2
        label = int(rng.random() < 1 / (1 + math.exp(-a - b)))
        said = parts(0.0, a, a)
        said[OLDER] = said[OLDER_OFFLINE] = b
        p = np.array([ensemble.answer(said).probability, 1 / (1 + math.exp(-a))])
        if i > 3_000:
            losses -= np.log(p if label else 1 - p)
        ensemble.learn(said, label)
    assert losses[0] < 0.8 * losses[1]
    assert not ensemble.has_left_older(present(ensemble))


@pytest.mark.parametrize("rivers", [0, 2])
def test_the_first_offline_model_does_not_move_the_stacks_before_it_has_proved_itself(rivers):
    def only_online(offline=math.nan):
        found = np.full(ensemble.parts, np.nan)
        found[:PARTS] = parts(np.linspace(-1, 1, ONLINE.stop), offline, offline)
        found[PARTS:] = 0.3
        return found

    ensemble, rng = Ensemble(rivers), np.random.default_rng(5)
    for _ in range(300):
        said = only_online()
        said[ONLINE] += rng.normal(size=ONLINE.stop)
        ensemble.answer(said)
        ensemble.learn(said, int(rng.random() < 0.3))
    before, after, beside = only_online(), only_online(), only_online(offline=5.0)
    ensemble.answer(before)
    ensemble.begin_offline()
    ensemble.answer(after)
    ensemble.answer(beside)
    stacks = slice(STACKED.start, PARTS)
    assert after[stacks] == pytest.approx(before[stacks], abs=1e-12)
    assert beside[stacks] == pytest.approx(before[stacks], abs=1e-12)
    for _ in range(600):
        said = only_online(offline=5.0)
        ensemble.answer(said)
        ensemble.learn(said, 1)
    assert said[STACKED.start] != before[STACKED.start]


def test_the_weights_of_the_learners_on_a_model_go_with_it():
    ensemble = Ensemble()
    for i in range(400):
        said = parts(0.0, [3.0 if i % 2 else -3.0, 0.0, 0.0, 0.0, 0.0, 0.0], 0.0)
        ensemble.answer(said)
        ensemble.learn(said, i % 2)
    newest = ensemble.answer(parts(0.0, [1.0, *[-1.0] * 5], 0.0)).residual
    ensemble.activate()
    said = parts(0.0, 0.0, 0.0)
    said[OLDER], said[OLDER_OFFLINE] = [1.0, *[-1.0] * 5], 0.0
    ensemble.answer(said)
    assert 1 / (1 + math.exp(-said[GROUPED.stop - 1])) == pytest.approx(newest)
    assert newest > 0.7
    ensemble.activate(OLDER_SLOT, NEWEST_SLOT)
    again = ensemble.answer(parts(0.0, [1.0, *[-1.0] * 5], 0.0)).residual
    assert again == pytest.approx(newest)


def test_a_river_classifier_that_is_right_gets_the_weight():
    ensemble = Ensemble(rivers=1)
    for i in range(400):
        said = np.full(ensemble.parts, np.nan)
        said[:PARTS], said[PARTS] = parts(0.0), 3.0 if i % 2 else -3.0
        ensemble.answer(said)
        ensemble.learn(said, i % 2)
    assert ensemble.online.weights[-1] > 0.9
    said[PARTS] = 3.0
    assert ensemble.answer(said).online > 0.9


def test_other_river_classifiers_begin_with_little_weight_and_the_rest_goes_on():
    ensemble = taught(Ensemble())
    said = parts(0.3, 0.2, 0.1)
    before = ensemble.answer(said)
    ensemble.change_rivers(2)
    more = np.append(said, [5.0, 5.0])
    assert ensemble.answer(np.append(said, [np.nan, np.nan])) == pytest.approx(before)
    assert ensemble.answer(more).probability == pytest.approx(before.probability, abs=0.1)
    taught(ensemble)
    ensemble.change_rivers(0)
    assert ensemble.everything.weights.sum() == pytest.approx(1)
    assert ensemble.online.weights.sum() == pytest.approx(1)
    assert 0 < ensemble.answer(said).probability < 1


def test_a_restored_ensemble_goes_on_as_the_one_before():
    ensemble, other = taught(Ensemble(rivers=1)), Ensemble(rivers=1)
    other.restore(ensemble.snapshot())
    taught(ensemble, 50), taught(other, 50)
    assert other.snapshot() == ensemble.snapshot()


def odd_array(which, change):
    arrays = msgspec.msgpack.decode(taught(Ensemble()).snapshot())
    array = np.frombuffer(arrays[which]).copy()
    change(array)
    arrays[which] = array.tobytes()
    return msgspec.msgpack.encode(arrays)


@pytest.mark.parametrize("value", [math.nan, -0.1, 2.0, math.inf])
@pytest.mark.parametrize("which", range(8))
def test_shares_that_are_no_distribution_are_refused(which, value):
    odd = odd_array(which, lambda array: array.__setitem__(1, value))
    with pytest.raises(ValueError, match="shares must be a distribution"):
        Ensemble().restore(odd)


@pytest.mark.parametrize("which", [8, 9])
def test_weights_of_stacks_that_are_no_numbers_are_refused(which):
    odd = odd_array(which, lambda array: array.__setitem__(1, math.nan))
    with pytest.raises(ValueError, match="weights of stacks must be numbers"):
        Ensemble().restore(odd)


def test_the_state_of_one_with_another_number_of_river_classifiers_is_refused():
    with pytest.raises(ValueError, match="weights of an ensemble must be of"):
        Ensemble().restore(Ensemble(rivers=1).snapshot())


def test_extreme_log_odds_do_not_make_the_stacks_overshoot():
    ensemble = Ensemble()
    for i in range(2_000):
        said = parts(500.0 if i % 2 else -500.0, 400.0, 13.0)
        answer = ensemble.answer(said)
        assert 0 < answer.probability < 1
        ensemble.learn(said, i % 3 % 2)
    assert np.isfinite(said[: OLDER.start]).all()
