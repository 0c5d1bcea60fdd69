"""Tallies of alerts, dead letters and losses, kept from one look to the next."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import get_args

import msgspec

from flows.watch.sample import AlertLine, Events, Quality, Tick
from flows.watch.tail import Tail
from state.log import Log
from state.outputs.records import Alert, DeadLetterCount, DeadLetterReason, Losses, Metrics
from state.topics import ALERTS, DEAD_LETTERS, METRICS

ALERT_KINDS: tuple[str, ...] = get_args(
    next(field.type for field in msgspec.structs.fields(Alert) if field.name == "kind")
)
REASONS: tuple[str, ...] = get_args(DeadLetterReason)
_NEWEST_ALERTS = 20
_TICKS = 120


class _Measured(msgspec.Struct, frozen=True, gc=False):
    """The fields of `metrics` that are needed."""

    time: int
    lately: dict[str, Losses]


class Tallies:
    """Sums over a log's `alerts`, `dead_letters` and `metrics`."""

    def __init__(self) -> None:
        self._alerts: Counter[str] = Counter(dict.fromkeys(ALERT_KINDS, 0))
        self._letters: Counter[str] = Counter(dict.fromkeys(REASONS, 0))
        self._newest: deque[AlertLine] = deque(maxlen=_NEWEST_ALERTS)
        self._ticks: dict[int, dict[int, dict[str, Losses]]] = {}
        self._tails = (
            Tail(ALERTS, Alert, self._alert),
            Tail(DEAD_LETTERS, DeadLetterCount, self._letter),
            Tail(METRICS, _Measured, self._measured),
        )

    def read_on(self, log: Log) -> Events:
        """Count what is new of a log; it must be the same log each time."""
        unread = sum(tail.read_on(log) for tail in self._tails)
        newest = sorted(self._newest, key=lambda one: one.time)
        return Events(dict(self._alerts), dict(self._letters), newest, unread)

    def quality(self, newest: Iterable[Metrics]) -> Quality:
        """The losses and shares by the newest metrics of each partition."""
        all_of = list(newest)
        ticks = [
            Tick(time, pooled(of.values()))
            for time, of in sorted(self._ticks.items())
            if any(losses.n for lately in of.values() for losses in lately.values())
        ]
        return Quality(pooled(one.total for one in all_of), ticks, mean_shares(all_of))

    def _alert(self, _: int, alert: Alert) -> None:
        self._alerts[alert.kind] += 1
        self._newest.append(AlertLine(alert.kind, alert.time, alert.message, alert.source))

    def _letter(self, _: int, letter: DeadLetterCount) -> None:
        self._letters[letter.reason] += 1

    def _measured(self, partition: int, measured: _Measured) -> None:
        self._ticks.setdefault(measured.time, {})[partition] = measured.lately
        if len(self._ticks) > _TICKS:
            del self._ticks[min(self._ticks)]


def mean_shares(newest: Iterable[Metrics]) -> dict[str, float]:
    """Mean share of each kind of member, over the partitions that have shares."""
    sharing = [one.shares for one in newest if one.shares]
    shares: Counter[str] = Counter()
    for one in sharing:
        shares.update({name: share / len(sharing) for name, share in one.items()})
    return dict(shares)


def pooled(parts: Iterable[Mapping[str, Losses]]) -> dict[str, Losses]:
    """Losses by model over several sets of labels.

    Example:
        >>> pooled([{"online": Losses(1, 0.5, 0.25)}, {"online": Losses(3, 0.75, 0.5)}])
        {'online': Losses(n=4, log_loss=0.6875, brier=0.4375)}
    """
    by_model: dict[str, list[Losses]] = {}
    for part in parts:
        for model, losses in part.items():
            if losses.n:
                by_model.setdefault(model, []).append(losses)
    return {model: _mean(of) for model, of in by_model.items()}


def _mean(of: list[Losses]) -> Losses:
    n = sum(one.n for one in of)
    log_loss = sum(one.n * one.log_loss for one in of) / n
    return Losses(n, log_loss, sum(one.n * one.brier for one in of) / n)
