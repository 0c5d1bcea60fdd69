"""A request is read as the flow reads events."""

import pytest

from flows.scoring.requests import Requests
from state.events import Event
from state.stream_functions import StreamFunctionError
from tests.asks import Tell, label, stream_of


class Ruled(Event, frozen=True, kw_only=True):
    """A request with a rule of its own that is wrong itself."""

    shop: str
    amount: float = 1.0

    def __post_init__(self):
        {"a": 1}[self.shop]


def test_a_rule_of_the_request_that_fails_is_told_for_one_and_for_many():
    requests = Requests(
        stream_of(label(deadline=lambda ruled: ruled.time), events=(Ruled, Tell), request=Ruled),
        1,
        {0},
    )
    good, bad = ({"id": "r", "time": 1_704_067_200_000_000, "shop": shop} for shop in "ab")
    told = "__post_init__ of Ruled must not raise; got KeyError .* in a request that is not in the"
    assert requests.read({"type": "ruled", **good}).partition == 0
    with pytest.raises(StreamFunctionError, match=told):
        requests.read({"type": "ruled", **bad})
    with pytest.raises(StreamFunctionError, match=told):
        requests.read_many([{"type": "ruled", **one} for one in (good, bad)], 0)
