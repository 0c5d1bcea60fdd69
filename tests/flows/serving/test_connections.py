"""The choice of connections to close: for a new one, and when overdue."""

import asyncio

import pytest

from flows.serving.connections import Connections


class One:
    """A connection that is told what to say of itself."""

    def __init__(self, due=1e9, *, resting=False):
        self.due, self.resting, self.open = due, resting, True

    def is_overdue(self, now):
        return now >= self.due

    def is_resting(self):
        return self.resting

    def cut(self):
        self.open = False


def admitted(connections, count, **named):
    ones = [One(**named) for _ in range(count)]
    for one in ones:
        connections.admit(one)
    return ones


def test_the_oldest_stranger_makes_way():
    connections = Connections(4)
    ones = admitted(connections, 6)
    assert [one.open for one in ones] == [False, False, True, True, True, True]
    assert len(connections) == 4


def test_three_quarters_are_never_taken_from_known_ones():
    connections = Connections(8)
    known = admitted(connections, 6)
    for one in known:
        connections.let_in(one)
    strangers = admitted(connections, 5)
    assert all(one.open for one in known)
    assert [one.open for one in strangers] == [False, False, False, True, True]


def test_a_stranger_gets_in_even_where_no_known_one_rests():
    connections = Connections(8)
    known = admitted(connections, 8)
    for one in [*known, known[0]]:
        connections.let_in(one)
    strangers = admitted(connections, 2)
    assert [one.open for one in known] == [True, False, False, *[True] * 5]
    assert all(one.open for one in strangers)


def test_a_stranger_gets_in_where_known_ones_rest_the_one_unheard_of_for_longest_making_way():
    connections = Connections(8)
    known = [*admitted(connections, 4), *admitted(connections, 4, resting=True)]
    for one in [*known, known[4]]:
        connections.let_in(one)
    strangers = admitted(connections, 2)
    assert [one.open for one in known] == [*[True] * 5, False, False, True]
    assert all(one.open for one in strangers)
    (third,) = admitted(connections, 1)
    assert (strangers[0].open, third.open) == (False, True)  # a quarter is theirs, no more


def test_one_that_is_closed_takes_no_room():
    connections = Connections(2)
    one, other = admitted(connections, 2)
    connections.let_in(other)
    connections.forget(one)
    connections.forget(other)
    connections.forget(other)
    assert len(connections) == 0


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_what_is_overdue_is_cut_again_and_again(loop):
    connections = Connections(9)
    now = loop.time()
    (early,) = admitted(connections, 1, due=now)
    (later,) = admitted(connections, 1, due=now + 0.3)
    (last,) = admitted(connections, 1)
    connections.sweep(loop)
    assert [early.open, later.open, last.open] == [False, True, True]
    loop.call_later(0.6, loop.stop)
    loop.run_forever()
    assert [later.open, last.open] == [False, True]
    connections.end(loop.time())
    connections.sweep(loop)
    assert (last.open, len(connections)) == (False, 0)
