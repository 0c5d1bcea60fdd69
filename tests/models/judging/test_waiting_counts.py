"""Counts of answers that wait are those of the answers, whatever came in between."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.judging.estimates import from_runs
from models.judging.histograms import BINS, histogram_of
from models.judging.waiting_counts import GROUP, Turns, WaitingCounts

ANSWER = st.floats(0, 1)


def histogram(answers, threshold):
    said = np.array(answers, float)
    return histogram_of((said >= threshold).astype(int), said)


@given(
    st.lists(st.tuples(ANSWER, st.sampled_from(["judge", "drop", "wait"]))),
    st.floats(0.01, 0.99),
    st.floats(0.01, 0.99),
)
def test_those_that_left_are_not_counted_and_a_new_threshold_counts_anew(steps, before, after):
    counts, left = WaitingCounts(before), []
    for answer, _ in steps:
        counts.add(answer)
    for turn, (answer, fate) in enumerate(steps):
        if fate == "judge":
            counts.judge(turn, 1, answer)
        elif fate == "drop":
            counts.drop(answer)
        else:
            left.append(answer)
    assert (counts.waiting() == histogram(left, before)).all()
    counts.begin(after, left)
    assert (counts.waiting() == histogram(left, after)).all()


class World:
    """Requests in order, each with its answer and label."""

    def __init__(self, seed=1):
        self.random = np.random.default_rng(seed)
        self.counts, self.answers = WaitingCounts(0.5), []
        self.labels, self.first = [], 0

    def ask(self, n):
        for answer in self.random.random(n).tolist():
            self.answers.append(answer)
            self.labels.append(int(self.random.random() < answer))
            self.counts.add(answer)

    def judge(self, n):
        for turn in range(self.first, self.first + n):
            self.counts.judge(turn, self.labels[turn], self.answers[turn])
        self.first += n

    def tick(self, time, *, trusted=True):
        self.counts.tick(time, Turns(self.first, len(self.answers)), trusted=trusted)


def test_a_group_is_of_the_requests_that_waited_at_its_ticks_and_of_no_others():
    world = World()
    world.ask(200)
    world.tick(10)
    world.judge(200)
    world.ask(150)
    world.judge(150)  # between two ticks: no estimate was made of these
    world.ask(400)
    world.tick(20)
    world.ask(50)
    world.tick(30)  # the group is full
    world.judge(399)
    world.tick(40)
    assert world.counts.last is None
    world.judge(1)
    world.tick(50)
    group = world.counts.last
    members = [*range(200), *range(350, 750)]
    labels = np.array([world.labels[i] for i in members])
    said = np.array([world.answers[i] for i in members])
    found = from_runs(group.counts, 4).reshape(2, 2, BINS)
    assert (found.sum(axis=1) == histogram_of(labels, said)).all()
    assert (found.sum(axis=0) == histogram(said, 0.5)).all()
    assert (group.since, group.until, group.trusted) == (10, 50, True)


def test_the_next_group_begins_with_those_that_wait_and_one_doubt_stays_in_its_group():
    world = World()
    world.ask(GROUP)
    world.tick(1, trusted=False)
    world.tick(2)
    world.judge(GROUP)
    world.ask(GROUP)
    world.tick(3)
    assert (world.counts.last.since, world.counts.last.trusted) == (1, False)
    world.judge(GROUP)
    world.tick(4)
    assert (world.counts.last.since, world.counts.last.trusted) == (3, True)
    assert (world.counts.last.until, world.counts.waiting().sum()) == (4, 0)


def test_a_group_without_enough_labels_gathers_on():
    world = World()
    world.ask(GROUP)
    world.tick(1)
    for answer in world.answers[:100]:
        world.counts.drop(answer)
    world.first = 100
    world.judge(GROUP - 100)
    world.ask(150)
    world.tick(2)
    assert world.counts.last is None
    world.judge(150)
    world.tick(3)
    assert from_runs(world.counts.last.counts, 4).sum() == GROUP + 50


def test_where_nothing_waits_there_is_no_group():
    counts = WaitingCounts(0.5)
    for time in range(1, 5):
        counts.tick(time, Turns(0, 0), trusted=True)
    assert counts.last is None
    assert counts.waiting().sum() == 0
    assert msgspec.msgpack.decode(counts.snapshot())["now"]["since"] == 0


@pytest.mark.parametrize("cut", range(0, 40, 3))
def test_a_restored_one_goes_on_as_the_one_before(cut):
    def steps(world, begin, end):
        for step in range(begin, end):
            world.ask(60)
            world.tick(step + 1, trusted=step % 7 > 0)
            if step % 3:
                world.judge(min(85, len(world.answers) - world.first))

    whole, world = World(3), World(3)
    steps(whole, 0, 40)
    steps(world, 0, cut)
    state = world.counts.snapshot()
    world.counts = WaitingCounts(0.5)
    world.counts.restore(state)
    world.counts.check(len(world.answers), world.answers[world.first :])
    assert world.counts.snapshot() == state
    steps(world, cut, 40)
    assert world.counts.snapshot() == whole.counts.snapshot()
    assert (world.counts.waiting() == whole.counts.waiting()).all()


def test_a_state_that_does_not_fit_is_refused():
    world = World()
    world.ask(30)
    world.tick(1)
    state = msgspec.msgpack.decode(world.counts.snapshot())
    for change, message in (
        ({"end": 31}, "before turn 30; got 31"),
        ({"now": {**state["now"], "counts": [[280, 1], [], [], []]}}, "280 columns"),
        ({"last": {**state["now"], "counts": []}}, "4 rows"),
    ):
        again = WaitingCounts(0.5)
        with pytest.raises(ValueError, match=message):
            again.restore(msgspec.msgpack.encode(state | change)) or again.check(30, [])
    for change in ({"end": -1}, {"now": 1}, {"other": 1}):
        with pytest.raises(msgspec.ValidationError):
            WaitingCounts(0.5).restore(msgspec.msgpack.encode(state | change))
