"""The state's README describes features correctly."""

import re
from pathlib import Path

import pytest

from state import features
from state.events import Event
from state.feature_table import rows, table
from state.stream import Stream
from tests.state.kinds.comings import LABEL, Asked, Came


class Quoted(Event, frozen=True, kw_only=True):
    """Of the example."""

    zone: str
    price: float


README = (Path(__file__).parents[2] / "state" / "README.md").read_text("utf-8")


def test_the_table_is_made_from_the_code():
    assert table() in README


def test_every_kind_that_a_stream_can_have_is_in_the_table():
    kinds = {
        name
        for name in features.__all__
        if isinstance(getattr(features, name), type)
        and issubclass(getattr(features, name), features.Feature)
    } - {"Feature"}
    assert len(kinds) >= 13
    assert kinds < {name for name, _, _ in rows()}


def test_every_kind_has_a_sentence():
    for name, _, says in rows():
        assert says.endswith("."), name
        assert "\n" not in says


def test_the_example_is_a_stream():
    (source,) = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    names = {name: getattr(features, name) for name in features.__all__}
    names["Quoted"] = Quoted
    exec(source, names)
    stream = Stream("s", (Asked, Came, Quoted), Asked, LABEL, names["features"], dedup="25h")
    assert [column.name for column in stream.columns] == [
        "price", "zone_price_24h", "price_less_usual", "dear",
    ]  # fmt: skip


@pytest.mark.parametrize("path", re.findall(r"`((?:state|tests|bench)/[a-z_/]+\.py)`", README))
def test_every_file_that_it_names_is_there(path):
    assert (Path(__file__).parents[2] / path).is_file()
