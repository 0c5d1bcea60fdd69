"""Differences and ratios of columns, and what follows from them."""

import math

import numpy as np
import pytest

from state.features import Bins, Category, Difference, Ewma, Field, Ratio
from state.stream import StreamError
from state.vector.feature_state import FeatureState
from tests.state.kinds.comings import START_US, Came, came, read, stream_of

USUAL = Ewma("usual", Came, ("host",), "size", rate=0.5, prior=8.0, forget="1d")
PRICE = Field("price")
LESS = Difference("less", "price", "usual")


def test_they_are_of_the_columns_of_this_very_request():
    stream = stream_of(PRICE, USUAL, LESS, Ratio("share", "price", "usual"))
    state = FeatureState(stream)
    assert read(state, stream, START_US, price=2.0) == {
        "price": 2.0, "usual": 8.0, "less": -6.0, "share": 0.25,
    }  # fmt: skip
    state.observe(came(0, START_US, size=4.0))
    got = read(state, stream, START_US, price=3.0)
    assert (got["less"], got["share"]) == (3.0 - 6.0, 3.0 / 6.0)


@pytest.mark.parametrize(
    ("price", "usual", "less", "share"),
    [
        (None, 8.0, math.nan, math.nan),
        (1.0, 0.0, 1.0, math.nan),
        (0.0, 0.0, 0.0, math.nan),
        (1e300, 1e-100, 1e300, math.nan),
    ],
)
def test_what_is_no_number_is_missing(price, usual, less, share):
    prior = Ewma("usual", Came, ("host",), "size", rate=0.5, prior=usual, forget="1d")
    stream = stream_of(PRICE, prior, LESS, Ratio("share", "price", "usual"))
    got = read(FeatureState(stream), stream, START_US, price=price)
    np.testing.assert_equal([got["less"], got["share"]], [less, share])


def test_they_follow_from_each_other_and_are_cut_into_bins_and_crossed():
    share = Ratio("share", "less", "usual")
    bins = Bins("dear", of="share", edges=(-0.5, 0.5))
    features = (bins, PRICE, USUAL, LESS, share, Category("zone"))
    stream = stream_of(*features, crosses=(("dear", "zone"),))
    state = FeatureState(stream)
    levels = [read(state, stream, START_US, price=price)["dear"] for price in (None, 2, 8, 13)]
    assert levels == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ((LESS, PRICE, USUAL), "must be of numeric columns of features before it, .*; got 'price'"),
        ((PRICE, LESS, USUAL), r"Difference\(less\) must be .* before it, price; got 'usual'"),
        ((PRICE, Category("zone"), Ratio("r", "price", "zone")), "before it, price; got 'zone'"),
        ((PRICE, Ratio("r", "r", "price")), "got 'r'"),
        ((PRICE, Ratio("price", "price", "price")), r"got \['price'\] more than once"),
    ],
)
def test_columns_that_are_not_there_yet_are_refused(features, message):
    with pytest.raises(StreamError, match=message):
        stream_of(*features)


def test_a_transform_that_there_is_not_is_refused():
    with pytest.raises(StreamError, match=r"transform must be one of .*; got 'sqrt' in Ratio"):
        Ratio("r", "a", "b", transform="sqrt")
