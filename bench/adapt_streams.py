"""Streams whose hidden rule is known: seeded, so that everyone measures the same.

A request has some numbers and a site. Whether its label is 1 is drawn with the probability
`sigmoid(weights(t) · numbers + product of the first two + site + constant)`. The weights wander
(Ornstein-Uhlenbeck, with a time constant), stay, or are drawn anew at once every some hours.
"""

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from state.events import MINUTE_US, Event
from state.features import Category, Field
from state.stream import Label, Stream

Floats = NDArray[np.float64]

BEGIN_US = 1_767_225_600_000_000  # 2026-01-01
SITES = 40
DEADLINE_US = 10 * MINUTE_US
_SIGMA = 1.6  # of the logit that drifts


class Rule(msgspec.Struct, frozen=True):
    """Parameters of a drawn stream.

    Attributes:
        name: The stream's name in tables.
        columns: Numbers of a request: 3 or 60.
        hours: Time constant of the weights, or time between flips; None: they stay.
        flips: Drawn anew every `hours` instead of wandering.
        base_rate: Share of label 1.
        by_silence: Only label 1 is told, after one to five minutes; silence for ten minutes is 0.
            Else both are.
        per_hour: Requests.
        days: Length of the stream, days.
        seed: Seed of all random choices.
    """

    name: str
    columns: int
    hours: float | None
    flips: bool = False
    base_rate: float = 0.5
    by_silence: bool = False
    per_hour: int = 1_500
    days: int = 3
    seed: int = 1


class Drawn(msgspec.Struct, frozen=True):
    """A stream.

    Attributes:
        asked: int64[n], event times of the requests (µs), rising.
        told: int64[n], when their labels are told.
        numbers: float64[n, columns].
        site: int64[n].
        label: int64[n].
        truth: float64[n], P(label is 1) by the rule.
    """

    asked: NDArray[np.int64]
    told: NDArray[np.int64]
    numbers: Floats
    site: NDArray[np.int64]
    label: NDArray[np.int64]
    truth: Floats


class Told(Event, frozen=True, kw_only=True):
    """The outcome of a request."""

    of: str
    yes: bool


def draw(rule: Rule) -> Drawn:
    """The stream of a rule; the same each time.

    Example:
        >>> drawn = draw(Rule("tiny", 3, 6.0, per_hour=50, days=1))
        >>> len(drawn.label), bool(0.4 < drawn.label.mean() < 0.6)
        (1200, True)
    """
    rng = np.random.default_rng(rule.seed)
    n = 24 * rule.days * rule.per_hour
    hours = np.sort(rng.uniform(0, 24 * rule.days, n))
    standard = rng.normal(size=(n, rule.columns))
    spreads, centres = np.exp(rng.normal(0, 2, rule.columns)), rng.normal(0, 5, rule.columns)
    site = rng.integers(0, SITES, n)
    inputs = np.column_stack([standard, standard[:, 0] * standard[:, 1]])
    logit = (_weights(rule, hours, rng) * inputs).sum(axis=1) + rng.normal(0, 0.5, SITES)[site]
    truth = _with_base_rate(logit, rule.base_rate)
    label = (rng.random(n) < truth).astype(np.int64)
    asked = BEGIN_US + (hours * 3600e6).astype(np.int64)
    return Drawn(
        asked, asked + rng.integers(1 * MINUTE_US, 5 * MINUTE_US, n),
        standard * spreads + centres, site, label, truth,
    )  # fmt: skip


def events(rule: Rule, drawn: Drawn) -> Iterator[bytes]:
    """All events as JSON, by time."""
    asked: Any = stream_of(rule.columns).request
    encode = msgspec.json.Encoder().encode
    names = column_names(rule.columns)
    told = [i for i in range(len(drawn.label)) if drawn.label[i] or not rule.by_silence]
    times = np.concatenate([drawn.asked, drawn.told[told]])
    n = len(drawn.asked)
    for i in np.argsort(times, kind="stable").tolist():
        time = int(times[i])
        if i < n:
            numbers = dict(zip(names, drawn.numbers[i].tolist(), strict=True))
            site = f"s{drawn.site[i]}"
            yield encode(asked(id=f"r{i}", time=time, site=site, **numbers))
        else:
            of = told[i - n]
            yield encode(Told(id=f"l{of}", time=time, of=f"r{of}", yes=bool(drawn.label[of])))


def column_names(columns: int) -> list[str]:
    """Names of a request's numbers."""
    return [f"x{i:02}" for i in range(columns)]


def stream_of(columns: int) -> Stream:
    """The definition with so many numbers."""
    return {3: narrow, 60: wide}[columns]


def _weights(rule: Rule, hours: Floats, rng: np.random.Generator) -> Floats:
    k = rule.columns + 1
    size = _SIGMA / np.sqrt(k)
    if rule.hours is None:
        return np.tile(rng.normal(0, size, k), (len(hours), 1))
    if rule.flips:
        which = (hours // rule.hours).astype(int)
        return np.take(rng.normal(0, size, (which[-1] + 1, k)), which, axis=0)
    kept = np.exp(-np.diff(hours, prepend=hours[0]) / rule.hours)
    weights, found = rng.normal(0, size, k), np.empty((len(hours), k))
    for i, (keep, noise) in enumerate(zip(kept, rng.normal(0, size, found.shape), strict=True)):
        weights = keep * weights + np.sqrt(1 - keep * keep) * noise
        found[i] = weights
    return found


def _with_base_rate(logit: Floats, base_rate: float) -> Floats:
    low, high = -20.0, 20.0
    for _ in range(60):
        constant = (low + high) / 2
        if (1 / (1 + np.exp(-logit - constant))).mean() > base_rate:
            high = constant
        else:
            low = constant
    return np.asarray(1 / (1 + np.exp(-logit - low)))


def _stream(columns: int) -> Stream:
    number = Annotated[float, Meta(ge=-1e6, le=1e6)]
    fields: list[Any] = [("site", Annotated[str, Meta(max_length=8)])]
    fields += [(name, number) for name in column_names(columns)]
    asked: type[Any] = msgspec.defstruct(
        "Asked", fields, bases=(Event,), module=__name__, frozen=True, kw_only=True, tag="asked"
    )
    return Stream(
        name=f"adapt{columns}",
        events=(asked, Told),
        request=asked,
        label=Label(
            on=Told, of="of", value=lambda told: told.yes,
            deadline=lambda request: request.time + DEADLINE_US, silence=False, delay="10m",
        ),
        features=(Category("site"), *map(Field, column_names(columns))),
        partitions=1,
    )  # fmt: skip


narrow, wide = _stream(3), _stream(60)
