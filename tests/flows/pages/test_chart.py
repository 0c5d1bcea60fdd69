"""Pictures hold what they are given, inside of their frame."""

import math
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.pages.axes import number_text, number_ticks, time_ticks
from flows.pages.chart import Bar, Line, Span, Strip, areas, bars, lines, reliability, strips

HOUR = 3_600_000_000
SPAN = Span(1_700_000_000_000_000, 1_700_000_000_000_000 + 10 * HOUR)
TIMES = [SPAN.begin + i * HOUR for i in range(10)]


def paths(svg, kind):
    """The points of the paths of a class."""
    root = ET.fromstring(svg)
    assert root.find("title").text
    assert root.get("role") == "img"
    found = [p.get("d") for p in root.iter("path") if p.get("class").split()[0] == kind]
    return [[tuple(map(float, xy.split(","))) for xy in re.split("[MLZ]", d) if xy] for d in found]


def test_a_gap_parts_a_line_and_its_band():
    values = [0.1, 0.2, None, 0.4, 0.3, 0.2, 0.5, 0.6, 0.6, 0.7]
    low = [None if v is None else v - 0.05 for v in values]
    high = [None if v is None else v + 0.05 for v in values]
    svg = lines("x", SPAN, TIMES, [Line("c1", values, low, high)])
    assert [len(p) for p in paths(svg, "line")] == [2, 7]
    assert [len(p) for p in paths(svg, "band")] == [4, 14]


def test_higher_values_are_higher_and_later_ones_are_further_right():
    (line,) = paths(lines("x", SPAN, TIMES, [Line("c1", [i**2 for i in range(10)])]), "line")
    assert line == sorted(line)
    assert [y for _, y in line] == sorted((y for _, y in line), reverse=True)


def test_a_single_point_is_seen():
    (line,) = paths(lines("x", SPAN, TIMES[:1], [Line("c1", [0.5])]), "line")
    assert len(line) == 2


@given(
    st.lists(
        st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1,
        max_size=10,
    )
)  # fmt: skip
def test_all_points_are_inside_of_the_frame_whatever_the_values(values):
    svg = lines("x", SPAN, TIMES[: len(values)], [Line("c1", values)])
    for x, y in (xy for line in paths(svg, "line") for xy in line):
        assert 0 <= x <= 640
        assert 0 <= y <= 270
    assert "nan" not in svg
    assert "inf" not in svg


def test_shares_fill_the_whole_height():
    svg = areas("x", SPAN, TIMES, [("c1", [0.25] * 10), ("c2", [0.75] * 10)])
    one, other = paths(svg, "area")
    height = max(y for _, y in one) - min(y for _, y in other)
    assert max(y for _, y in one) - min(y for _, y in one) == pytest.approx(height / 4)


def test_a_row_of_marks_says_how_many_there_are():
    svg = strips("x", SPAN, [Strip("a <b>", "c1", [*TIMES, TIMES[0]]), Strip("none", "c2", [])])
    texts = [text.text for text in ET.fromstring(svg).iter("text")]
    assert "a <b>: 11" in texts
    assert "none: 0" in texts


def test_bars_begin_in_the_middle_and_are_as_long_as_their_values():
    svg = bars("x", [Bar("up <1>", 2.0), Bar("down", -1.0), Bar("none", 0.0)])
    up, down, none = (
        (float(r.get("x")), float(r.get("width"))) for r in ET.fromstring(svg).iter("rect")
    )
    assert up[0] == down[0] + down[1] == none[0] == 320
    assert up[1] == pytest.approx(2 * down[1])
    assert none[1] == 0
    assert [t.text for t in ET.fromstring(svg).iter("text")] == ["up <1>", "down", "none"]
    assert "rect" not in bars("x", [])


def test_a_reliability_picture_of_small_shares_is_drawn_large():
    small = reliability("x", [(0.01, 0.02, 0.01, 0.03)])
    (circle,) = ET.fromstring(small).iter("circle")
    assert float(circle.get("cx")) > 100


@given(st.floats(-1e12, 1e12), st.floats(1e-9, 1e12))
def test_ticks_of_numbers_are_few_and_within(low, size):
    high = low + size
    ticks = number_ticks(low, high)
    if high - low > 1e-9 * abs(high):  # more than rounding
        assert len(ticks) <= 7
        assert all(low - size / 100 <= t <= high + size / 100 for t in ticks)


@given(st.integers(-60 * 10**15, 250 * 10**15), st.integers(0, 3 * 10**17))
def test_ticks_of_times_are_few_and_within(begin, length):
    end = min(begin + length, 253_000_000_000_000_000)
    ticks = time_ticks(begin, max(begin, end))
    assert len(ticks) <= 8
    assert all(begin <= t <= max(begin, end) for t, _ in ticks)


def test_ticks_of_a_year_are_months_and_of_a_day_hours():
    new_year, year = 1_356_998_400_000_000, 365 * 24 * HOUR
    months = [text for _, text in time_ticks(new_year, new_year + year)]
    assert months[:3] == ["Jan 2013", "Mar 2013", "May 2013"]
    assert months[-1] == "Jan 2014"
    assert [text for _, text in time_ticks(0, 24 * HOUR, 4)] == [
        "1 Jan", "06:00", "12:00", "18:00", "2 Jan",
    ]  # fmt: skip


def test_numbers_have_the_digits_of_their_step():
    for step in (0.005, 0.02, 0.1, 1.0, 50.0):
        assert float(number_text(7 * step, step).replace(",", "")) == pytest.approx(7 * step)
    assert not math.isnan(float(number_text(0.0, 0.0)))
