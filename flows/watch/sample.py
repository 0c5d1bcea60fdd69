"""A sample: all that one look at a flow found, from which metrics, views and pushes are made."""

import msgspec

from flows.home.heartbeat import Beat
from flows.reports.status import Status
from state.outputs.records import Losses

FIT_DECISIONS = ("promoted", "rejected", "failed", "skipped")


class AlertLine(msgspec.Struct, frozen=True):
    """An alert as people read it; times in µs UTC.

    Attributes:
        kind: One of a few words.
        time: Event time or boundary.
        message: A sentence.
        source: The event source it is about, if one.
    """

    kind: str
    time: int
    message: str
    source: str


class Tick(msgspec.Struct, frozen=True):
    """The partitions' metrics of one tick of event time, pooled.

    Attributes:
        time: The tick (µs).
        lately: Losses by model since the tick before, weighed by their labels.
    """

    time: int
    lately: dict[str, Losses]


class Quality(msgspec.Struct, frozen=True):
    """Quality of the models, by the newest metrics of all partitions.

    Attributes:
        total: Losses by model since the first record.
        ticks: The newest ticks, oldest first.
        shares: Mean share in the answers by kind of member.
    """

    total: dict[str, Losses]
    ticks: list[Tick]
    shares: dict[str, float]

    @property
    def lately(self) -> dict[str, Losses]:
        """Losses by model in the newest tick."""
        return self.ticks[-1].lately if self.ticks else {}


class Sources(msgspec.Struct, frozen=True):
    """The clocks of the sources, by the newest metrics.

    Attributes:
        count: Number of sources.
        least_lag_s: Append time less event time at its least, of the worst few; negative: the
            clock is ahead.
    """

    count: int
    least_lag_s: dict[str, float]


class Fits(msgspec.Struct, frozen=True):
    """The decisions about models.

    Attributes:
        decisions: Number of decisions, by status.
        failed_in_a_row: Number of the newest fits that failed, one after the other.
        champion: The model promoted last; empty: none.
        champion_boundary: When that was (µs); 0: never.
        pending: Boundaries that wait for their fit.
    """

    decisions: dict[str, int]
    failed_in_a_row: int
    champion: str
    champion_boundary: int
    pending: int


class Disk(msgspec.Struct, frozen=True):
    """The file system of the home, and the home's parts, in bytes."""

    free: int
    size: int
    parts: dict[str, int]


class KafkaHealth(msgspec.Struct, frozen=True):
    """Kafka's own figures; see `state.kafka.health`."""

    brokers: int
    partitions: int
    under_replicated: int
    leaderless: int
    blocked: int


class Events(msgspec.Struct, frozen=True):
    """Counts of alerts and dead letters, and the newest alerts.

    Attributes:
        alerts: Number of alerts by kind.
        dead_letters: Number of dead letters by reason.
        newest: The newest alerts, in order of the log.
        unread: Number of records that were not counted yet.
    """

    alerts: dict[str, int]
    dead_letters: dict[str, int]
    newest: list[AlertLine]
    unread: int


class LogSample(msgspec.Struct, frozen=True):
    """Content of the log at one time.

    Attributes:
        at: Unix time of the look.
        status: Positions, lag, counts.
        quality: Quality of the models.
        sources: Clocks of the sources.
        fits: Decisions about models.
        events: Alerts and dead letters.
        labels_behind_s: Append time from the newest outcome to the newest prediction, at least 0.
        newest_event_time: The newest request's (µs); 0: none.
        kafka: Kafka's own figures; None: the log is not in Kafka.
    """

    at: float
    status: Status
    quality: Quality
    sources: Sources
    fits: Fits
    events: Events
    labels_behind_s: float
    newest_event_time: int
    kafka: KafkaHealth | None


class Sample(msgspec.Struct, frozen=True):
    """One look at a flow.

    Attributes:
        number: Number of the look, from 1.
        at: Unix time of the look.
        stream: The stream's name.
        backend: `sqlite` or `kafka`.
        label_delay_s: The longest time from a request to its label.
        clock_notice_s: A clock that is ahead by more is reported.
        log: Content of the log when it was last read; None: it never was.
        trouble: Reason why the log could not be read now; empty: it was read.
        seconds: Duration of the look.
        beats: Usage of the running processes.
        disk: Disk of the home.
        h2o: Whether the cluster of `h2o.url` is healthy; None: there is none.
        rates: Records per second since a minute ago: by topic, and as `read` those of events that
            the flow read.
        lag_change: Records of lag more than a minute ago.
    """

    number: int
    at: float
    stream: str
    backend: str
    label_delay_s: float
    clock_notice_s: float
    log: LogSample | None
    trouble: str
    seconds: float
    beats: list[Beat]
    disk: Disk | None
    h2o: bool | None
    rates: dict[str, float]
    lag_change: int

    def count(self, role: str) -> int:
        """Number of live processes of a role."""
        return sum(one.role == role for beat in self.beats for one in beat.processes)
