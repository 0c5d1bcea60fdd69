"""The guard against sources whose clock is wrong, by comparing event time with append time."""

from typing import Annotated

import msgspec

_Time = Annotated[int, msgspec.Meta(le=2**63 - 1)]


class Lag(msgspec.Struct):
    """The smallest lag of one source, in this span of append time and the one before.

    Attributes:
        since: Start of the span.
        least: Append time less event time, µs; negative when the source's clock is ahead.
        before: The least of the span before; None if it saw no event.
    """

    since: _Time
    least: _Time
    before: _Time | None = None


class ClockGuard:
    """Tells events from the future, and sources whose clock is ahead.

    Args:
        tolerance_us: An event this far ahead of its append time is still accepted.
        span_us: Length of a span over which each source's least lag is watched.
        notice_us: A source ahead by more than this is reported once a span.
    """

    def __init__(self, tolerance_us: int, span_us: int, notice_us: int) -> None:
        self._tolerance_us, self._span_us, self._notice_us = tolerance_us, span_us, notice_us
        self._lags: dict[str, Lag] = {}

    def watch(self, source: str, event_time: int, append_time: int) -> tuple[bool, int]:
        """Watch one event.

        Returns:
            Whether the event may take part (else it is from the future and must be quarantined),
            and how far ahead (µs) its source is if that is to be reported now, else 0. A source
            is reported at its first event from the future in a span, and at the end of a span
            whose least lag was negative by more than the notice.
        """
        lag = append_time - event_time
        accepted = lag >= -self._tolerance_us
        if not accepted:
            lag = max(lag, -(2**63))  # a snapshot holds no longer number
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
        """The least lag of each source over this span and the last."""
        return {
            source: lag.least if lag.before is None else min(lag.least, lag.before)
            for source, lag in self._lags.items()
        }

    def forget(self, before: int) -> None:
        """Drop sources that have been silent since this append time."""
        self._lags = {s: lag for s, lag in self._lags.items() if lag.since >= before}

    def snapshot(self) -> bytes:
        """All sources."""
        return msgspec.msgpack.encode(self._lags)

    def restore(self, state: bytes) -> None:
        """Take the state from `snapshot`.

        Raises:
            msgspec.DecodeError: It is of another form, or a number is no time.
        """
        self._lags = msgspec.msgpack.decode(state, type=dict[str, Lag])
