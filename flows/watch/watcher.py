"""The watcher: looks at a flow from outside, through its topics, its home and its heartbeats."""

import time
from collections import deque
from collections.abc import Callable, Iterable

import msgspec

from flows.errors.user_errors import USER_ERRORS
from flows.home.configuration import find_stream
from flows.home.deployment import Deployment
from flows.home.heartbeat import beats_in
from flows.home.home import ALL_TOPICS, CheckpointKeyError, Home
from flows.home.open_log import needing_kafka
from flows.reports.status import Status, StatusReader
from flows.watch.machine import DiskGauge, H2OProbe
from flows.watch.sample import FIT_DECISIONS, Fits, KafkaHealth, LogSample, Sample, Sources
from flows.watch.tallies import Tallies
from models.refit.fit_record import TITLES, FitRecord, newest_promoted
from state.durations import Duration
from state.log import Log, LogError, newest_append_time, oldest_append_time
from state.outputs.records import Metrics
from state.settings import Settings
from state.topics import OUTCOMES, PREDICTIONS

_RATES_OVER_S = 60.0
_WORST_SOURCES = 50
_PATIENCE = Duration.parse("5s")
_TROUBLE = (*USER_ERRORS, ValueError)
"""Errors that keep a look from the log; the next look tries again."""


class Watcher:
    """Looks again and again; used by one thread at a time.

    It takes no lock and writes nothing. Where the log cannot be read, the sample says why and
    holds what was read last.

    Args:
        settings: Settings of the flow.
        home: Home of the flow.
        clock: Returns Unix time.

    Raises:
        ConfigurationError: The settings name no stream.
    """

    def __init__(
        self, settings: Settings, home: Home, clock: Callable[[], float] = time.time
    ) -> None:
        patience = min(settings.kafka.patience, _PATIENCE)
        kafka = msgspec.structs.replace(settings.kafka, patience=Duration(patience))
        self._settings = msgspec.structs.replace(settings, kafka=kafka)
        self._home, self._clock = home, clock
        self._stream = find_stream(settings.stream)
        self._disk, self._h2o = DiskGauge(home.root), H2OProbe(settings.h2o.url)
        self._reader: _LogReader | None = None
        self._tallies = Tallies()
        self._seen: dict[str, int] = {}
        self._last: LogSample | None = None
        self._number = 0
        self._rates = _Rates()

    def look(self) -> Sample:
        """A sample of now."""
        started, now = time.perf_counter(), self._clock()
        trouble = ""
        try:
            self._last = self._read(now)
        except _TROUBLE as error:
            trouble = " ".join(str(error).split()) or type(error).__name__
            self._close_log()
        self._number += 1
        settings, last = self._settings, self._last
        rates, lag_change = self._rates.after(now, last.status) if last and not trouble else ({}, 0)
        return Sample(
            self._number,
            now,
            self._stream.name,
            settings.log,
            Duration.parse(self._stream.label.delay) / 1e6,
            settings.clock.notice / 1e6,
            last,
            trouble,
            time.perf_counter() - started,
            beats_in(self._home.root, now),
            self._disk.measure(now),
            self._h2o.is_healthy(now),
            rates,
            lag_change,
        )

    def close(self) -> None:
        """Let go of the log."""
        self._close_log()

    def _read(self, now: float) -> LogSample:
        if self._reader is None:
            self._reader = _LogReader(self._settings, self._home)
        reader = self._reader
        status = reader.positions.status(now)
        if any(status.ends.get(topic, 0) < end for topic, end in self._seen.items()):
            self._tallies = Tallies()  # another log in its place
            self._rates = _Rates()
        self._seen = status.ends
        events = self._tallies.read_on(reader.log)
        return LogSample(
            now,
            status,
            self._tallies.quality(status.newest),
            sources_of(status.newest),
            fits_of(reader.positions.registry.records(), len(status.pending_fits)),
            events,
            _labels_behind_s(reader.log),
            max((one.event_time or 0 for one in status.partitions), default=0),
            reader.kafka(),
        )

    def _close_log(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


class _LogReader:
    """An open log; whatever is wrong with it, it is closed and opened anew."""

    def __init__(self, settings: Settings, home: Home) -> None:
        if settings.log == "sqlite" and not (home.root / "log").is_dir():
            msg = f"home must hold a log; got none yet in {home.root}"
            raise LogError(msg)
        self._deployment = _opened(settings, home)
        self.log = self._deployment.log
        self._health = None
        try:
            store = self._deployment.home.checkpoints()
            self.positions = StatusReader(self.log, store, ALL_TOPICS)
            if settings.log == "kafka":
                with needing_kafka():
                    from flows.home.kafka import kafka_health  # noqa: PLC0415 - needs an extra

                    self._health = kafka_health(settings.kafka)
        except BaseException:
            self._deployment.close()
            raise

    def kafka(self) -> KafkaHealth | None:
        """The cluster's own health."""
        return None if self._health is None else KafkaHealth(*self._health.look())

    def close(self) -> None:
        """Let go of files and connections."""
        if self._health is not None:
            self._health.close()
        self._deployment.close()


def _opened(settings: Settings, home: Home) -> Deployment:
    """Open the home, without the checkpoint store if its key is missing."""
    try:
        return Deployment.open(settings, home)
    except CheckpointKeyError:
        return Deployment.open(settings, home, checkpoints=False)


class _Rates:
    """Records per second, and the growth of the lag, over the last minute of looks."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, dict[str, int], int]] = deque()

    def after(self, now: float, status: Status) -> tuple[dict[str, float], int]:
        """The rates, once there are two looks, and how much the lag grew."""
        looks = self._looks
        ends = status.ends | {"read": sum(one.position for one in status.partitions)}
        lag = sum(one.lag for one in status.partitions)
        looks.append((now, ends, lag))
        while len(looks) > 2 and looks[1][0] <= now - _RATES_OVER_S:
            looks.popleft()
        since, before, lag_before = looks[0]
        if now <= since:
            return {}, 0
        rates = {t: (end - before[t]) / (now - since) for t, end in ends.items() if t in before}
        return rates, lag - lag_before


def _labels_behind_s(log: Log) -> float:
    predicted = newest_append_time(log, PREDICTIONS)
    known = newest_append_time(log, OUTCOMES) or oldest_append_time(log, PREDICTIONS)
    return max(predicted - known, 0) / 1e6


def sources_of(newest: Iterable[Metrics]) -> Sources:
    """The clocks of the sources by the newest metrics of each partition, of the worst ones only."""
    least: dict[str, int] = {}
    for one in newest:
        for source, lag in one.least_lag.items():
            least[source] = min(least.get(source, lag), lag)
    worst = sorted(least.items(), key=lambda item: (item[1], item[0]))[:_WORST_SOURCES]
    return Sources(len(least), {source: lag / 1e6 for source, lag in worst})


def fits_of(records: list[FitRecord], pending: int) -> Fits:
    """Count the decisions on models, and find the champion.

    Args:
        records: All decisions, in order.
        pending: Number of boundaries without a decision.
    """
    statuses = [record.status for record in records if record.status not in TITLES]
    decisions = dict.fromkeys(FIT_DECISIONS, 0)
    for status in statuses:
        decisions[status] += 1
    failed = next((i for i, s in enumerate(reversed(statuses)) if s != "failed"), len(statuses))
    champion = newest_promoted(records)
    return Fits(
        decisions,
        failed,
        champion.model if champion else "",
        champion.boundary if champion else 0,
        pending,
    )
