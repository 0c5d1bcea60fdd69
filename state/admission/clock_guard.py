"""Guard against sources with a wrong clock, by comparing event time with append time."""

from heapq import nsmallest
from typing import Annotated

import msgspec

from state.events import MOST_SOURCE

MOST_SHOWN = 1_000
"""Most sources in a record of `metrics`, which must fit the log whatever names events bring."""
_Source = Annotated[str, msgspec.Meta(max_length=MOST_SOURCE)]
_Time = Annotated[int, msgspec.Meta(le=2**63 - 1)]


class Lag(msgspec.Struct):
    """The smallest lag of one source, in the current span of append time and in the previous one.

    Attributes:
        since: Start of the span, append time (µs).
        least: Smallest append time minus event time, µs; negative if the source's clock is ahead.
        before: Smallest lag in the previous span; None: the span had no event.
    """

    since: _Time
    least: _Time
    before: _Time | None = None


class ClockGuard:
    """Detects events from the future, and sources whose clock is ahead.

    Args:
        tolerance_us: An event up to this far ahead of its append time is accepted.
        span_us: Length of a span in which each source's smallest lag is recorded.
        notice_us: A source ahead by more than this is reported once per span.
    """

    def __init__(self, tolerance_us: int, span_us: int, notice_us: int) -> None:
        self._tolerance_us, self._span_us, self._notice_us = tolerance_us, span_us, notice_us
        self._lags: dict[str, Lag] = {}

    def watch(self, source: str, event_time: int, append_time: int) -> tuple[bool, int]:
        """Record one event.

        Returns:
            Whether the event is accepted (otherwise it is from the future and must be quarantined),
            and how far ahead (µs) its source is if that must be reported now, else 0. A source is
            reported at its first event from the future in a span, and at the end of a span in which
            it was ahead by more than the notice.
        """
        lag = append_time - event_time
        accepted = lag >= -self._tolerance_us
        if not accepted:
            lag = max(lag, -(2**63))  # the range of a snapshot's numbers
        watched = self._lags.get(source)
        if watched is None:
            self._lags[source] = Lag(append_time, lag)
            return accepted, 0 if accepted else -lag
        if append_time - watched.since >= self._span_us:
            ended = watched.least
            self._lags[source] = Lag(append_time, lag, ended)
            worst = min(ended if ended < -self._notice_us else 0, 0 if accepted else lag)
            return accepted, -worst
        is_news = not accepted and watched.least >= -self._tolerance_us
        watched.least = min(watched.least, lag)
        return accepted, -lag if is_news else 0

    def least_lag_us(self) -> dict[str, int]:
        """The smallest lag of each source in the current and the previous span, µs.

        Of more than `MOST_SHOWN` sources only those with the smallest lags are returned.
        """
        least = {
            source: lag.least if lag.before is None else min(lag.least, lag.before)
            for source, lag in self._lags.items()
        }
        if len(least) <= MOST_SHOWN:
            return least
        return dict(nsmallest(MOST_SHOWN, least.items(), key=lambda one: (one[1], one[0])))

    def forget(self, before: int) -> None:
        """Drop sources that have been silent since this append time."""
        self._lags = {s: lag for s, lag in self._lags.items() if lag.since >= before}

    def snapshot(self) -> bytes:
        """Encode all sources."""
        return msgspec.msgpack.encode(self._lags)

    def restore(self, state: bytes) -> None:
        """Restore a `snapshot`.

        Raises:
            msgspec.DecodeError: The bytes have another form, a number is not a time, or a name is
                too long.
        """
        self._lags = msgspec.msgpack.decode(state, type=dict[_Source, Lag])
