"""Pictures over time as SVG, drawn by hand: no script, no fonts, the same bytes every time.

Colours are classes of the page's style sheet (`c1` to `c8`), so that one picture serves a light
and a dark page. All pictures share their width and margins: one above the other has the same axis.
"""

from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

from flows.pages.axes import number_text, number_ticks, time_ticks
from state.plain_text import plain_line

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 640, 78, 14, 12, 44
_HEIGHT, _ROW = 300, 34
_LOW, _HIGH = -62_135_596_800_000_000, 253_402_300_799_000_000
"""Years 1 and 9999, between which a time has a date."""


class Span(NamedTuple):
    """The time axis: begin and end, µs UTC."""

    begin: int
    end: int


class Line(NamedTuple):
    """A line over time.

    Attributes:
        colour: Class of its colour.
        points: A value at each time; None: a gap.
        low: Lower end of its interval at each time; empty: it has none.
        high: Upper end.
    """

    colour: str
    points: Sequence[float | None]
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()


class Bar(NamedTuple):
    """A bar and its text."""

    text: str
    value: float


class Strip(NamedTuple):
    """A row of marks at times."""

    name: str
    colour: str
    times: Sequence[int]


def lines(
    title: str,
    span: Span,
    times: Sequence[int],
    shown: Sequence[Line],
    *,
    limits: tuple[float, float] | None = None,
    percent: bool = False,
    zero: bool = False,
) -> str:
    """Lines over time, with their intervals as bands.

    Args:
        title: Title of the picture, which screen readers say.
        span: The time axis.
        times: Time of each point.
        shown: The lines, the most important last.
        limits: Range of values; None: that of the lines.
        percent: Values are shares.
        zero: Draw a line at 0.
    """
    low, high = limits or _range(shown)
    x = _scale(*span, _LEFT, _WIDTH - _RIGHT)
    y = _scale(low, high, _HEIGHT - _BOTTOM, _TOP)

    def at(t: int, value: float) -> str:
        return f"{x(t):.1f},{y(min(max(value, low), high)):.1f}"

    parts = [_values(low, high, y, percent=percent), _times(span, x, _HEIGHT)]
    if zero and low <= 0.0 <= high:
        parts.append(f'<path class="mark" d="M{_LEFT},{y(0.0):.1f}H{_WIDTH - _RIGHT}"/>')
    for line in shown:
        for run in _runs(line.low, line.high):
            there = [at(times[i], float(line.low[i] or 0.0)) for i in run]
            back = [at(times[i], float(line.high[i] or 0.0)) for i in reversed(run)]
            parts.append(f'<path class="band {line.colour}" d="M{"L".join(there + back)}Z"/>')
    for line in shown:
        for run in _runs(line.points):
            there = [at(times[i], float(line.points[i] or 0.0)) for i in run]
            path = "L".join(there if len(there) > 1 else there * 2)
            parts.append(f'<path class="line {line.colour}" d="M{path}"/>')
    return _svg(title, _HEIGHT, parts)


def areas(
    title: str, span: Span, times: Sequence[int], shares: Sequence[tuple[str, Sequence[float]]]
) -> str:
    """Shares of a whole over time, one above the other.

    Args:
        title: Title of the picture.
        span: The time axis.
        times: Time of each point.
        shares: The class of the colour and a share at each time, from the bottom up.
    """
    x = _scale(*span, _LEFT, _WIDTH - _RIGHT)
    y = _scale(0.0, 1.0, _HEIGHT - _BOTTOM, _TOP)
    below = [0.0] * len(times)
    parts = []
    for colour, share in shares:
        above = [b + s for b, s in zip(below, share, strict=True)]
        there = [f"{x(t):.1f},{y(v):.1f}" for t, v in zip(times, below, strict=True)]
        back = [f"{x(t):.1f},{y(v):.1f}" for t, v in zip(times, above, strict=True)]
        parts.append(f'<path class="area {colour}" d="M{"L".join(there + back[::-1])}Z"/>')
        below = above
    axes = [_values(0.0, 1.0, y, percent=True), _times(span, x, _HEIGHT)]
    return _svg(title, _HEIGHT, [*parts, *axes])


def strips(title: str, span: Span, shown: Sequence[Strip]) -> str:
    """Marks at times, a row for each kind; the name of a row stands above its marks.

    Args:
        title: Title of the picture.
        span: The time axis.
        shown: The rows, the first at the top.
    """
    height = _TOP + 2 * _ROW * len(shown) + _BOTTOM
    x = _scale(*span, _LEFT, _WIDTH - _RIGHT)
    parts = [_times(span, x, height)]
    for i, strip in enumerate(shown):
        top = _TOP + 2 * _ROW * i
        name = f"{escape(plain_line(strip.name))}: {len(strip.times):,}"
        parts.append(f'<text x="{_LEFT}" y="{top + 24}">{name}</text>')
        parts.append(f'<path class="grid" d="M{_LEFT},{top + 62}H{_WIDTH - _RIGHT}"/>')
        where = dict.fromkeys(f"M{x(t):.0f},{top + 36}v24" for t in strip.times)
        if where:
            parts.append(f'<path class="tick {strip.colour}" d="{"".join(where)}"/>')
    return _svg(title, height, parts)


def bars(title: str, shown: Sequence[Bar]) -> str:
    """Bars to the right and to the left of a line in the middle, each below its text.

    Args:
        title: Title of the picture.
        shown: The bars, the first at the top.
    """
    height = _TOP + 2 * _ROW * len(shown)
    most = max([abs(bar.value) for bar in shown], default=0.0) or 1.0
    x = _scale(-most, most, _RIGHT, _WIDTH - _RIGHT)
    parts = []
    for i, bar in enumerate(shown):
        top = _TOP + 2 * _ROW * i
        colour = "c1" if bar.value >= 0 else "c2"
        left, right = sorted((x(0.0), x(bar.value)))
        parts.append(
            f'<text x="{_RIGHT}" y="{top + 22}">{escape(plain_line(bar.text))}</text>'
            f'<rect class="dot {colour}" x="{left:.1f}" y="{top + 32}" width="{right - left:.1f}" '
            f'height="20"/><path class="axis" d="M{x(0.0):.1f},{top + 28}v28"/>'
        )
    return _svg(title, height, parts)


def reliability(title: str, groups: Sequence[tuple[float, float, float, float]]) -> str:
    """Shares that came against probabilities that were said, with intervals and the diagonal.

    Args:
        title: Title of the picture.
        groups: For each group the probability, the share, and the ends of its interval.
    """
    top = max([0.1, *(max(said, high) for said, _, _, high in groups)])
    low, high = 0.0, 1.0 if top > 0.5 else top * 1.05
    x = _scale(low, high, _LEFT, _WIDTH - _RIGHT)
    y = _scale(low, high, _HEIGHT - _BOTTOM, _TOP)
    parts = [_values(low, high, y, percent=True)]
    parts += [
        f'<text class="mid" x="{min(x(tick), _WIDTH - 30):.1f}" y="{_HEIGHT - 14}">'
        f"{tick * 100:.0f} %</text>"
        for tick in number_ticks(low, high)
    ]
    parts.append(f'<path class="mark" d="M{x(low):.1f},{y(low):.1f}L{x(high):.1f},{y(high):.1f}"/>')
    for said, came, below, above in groups:
        parts.append(
            f'<path class="tick c1" d="M{x(said):.1f},{y(below):.1f}V{y(above):.1f}"/>'
            f'<circle class="dot c1" cx="{x(said):.1f}" cy="{y(came):.1f}" r="4"/>'
        )
    return _svg(title, _HEIGHT, parts)


def _svg(title: str, height: int, parts: Sequence[str]) -> str:
    name = escape(plain_line(title), quote=True)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{name}">'
        f"<title>{name}</title>{''.join(parts)}</svg>"
    )


def _scale(low: float, high: float, start: float, stop: float) -> Callable[[float], float]:
    size = (high - low) or 1.0
    return lambda value: start + (value - low) / size * (stop - start)


def _range(shown: Sequence[Line]) -> tuple[float, float]:
    """The range of the lines, with room for their intervals up to half of it."""
    values = [value for line in shown for value in line.points if value is not None]
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    room = (high - low) / 2 or abs(high) / 10 or 0.1
    ends = [v for line in shown for v in (*line.low, *line.high) if v is not None]
    least, most = min([low, *ends]), max([high, *ends])
    return max(low - room, least) - room / 20, min(high + room, most) + room / 20


def _runs(*columns: Sequence[float | None]) -> list[list[int]]:
    """Places of neighbours of which no column lacks a value."""
    runs: list[list[int]] = [[]]
    for i, values in enumerate(zip(*columns, strict=True)):
        if all(value is not None for value in values):
            runs[-1].append(i)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _values(low: float, high: float, y: Callable[[float], float], *, percent: bool) -> str:
    ticks = number_ticks(low, high)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 0.0
    found = []
    for tick in ticks:
        text = f"{number_text(tick * 100, step * 100)} %" if percent else number_text(tick, step)
        at = f"{y(tick):.1f}"
        found.append(f'<path class="grid" d="M{_LEFT},{at}H{_WIDTH - _RIGHT}"/>')
        found.append(f'<text class="end" x="{_LEFT - 8}" y="{at}" dy=".35em">{text}</text>')
    return "".join(found)


def _times(span: Span, x: Callable[[float], float], height: int) -> str:
    bottom = height - _BOTTOM
    found = [f'<path class="axis" d="M{_LEFT},{bottom}H{_WIDTH - _RIGHT}"/>']
    inside = Span(max(span.begin, _LOW), min(span.end, _HIGH))
    for i, (tick, text) in enumerate(time_ticks(*inside)):
        shown = "mid every" if i % 2 else "mid"
        at = min(max(x(tick), _LEFT + 24), _WIDTH - _RIGHT - 36)
        found.append(f'<path class="axis" d="M{x(tick):.1f},{bottom}v6"/>')
        found.append(f'<text class="{shown}" x="{at:.1f}" y="{height - 14}">{text}</text>')
    return "".join(found)
