"""Ingest foreign topics: read, map and append each record exactly once."""

import os
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import accumulate, takewhile
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from flows.definition.note import check_key
from flows.home.configuration import ConfigurationError, find_stream
from flows.home.deployment import Deployment
from flows.home.file_lock import lock_shared
from flows.home.home import Home
from flows.home.open_log import needing_kafka
from flows.home.wall_clock import check_append_times, microseconds_now
from operators.partition.dataflow import AtEnd
from state.ingest.mapping import Decode, Foreign, Mapper, Refused
from state.ingest.positions import IngestWriter, Sourced
from state.log import Trimmable
from state.outputs.records import DeadLetter
from state.plurals import counted
from state.settings import Settings
from state.stream import Stream
from state.user_code import encodable

_IDLE = timedelta(milliseconds=10)
_SETTLE_S = 60.0
_LOOK_S = 15.0
_LETTER_BYTES = 8 * 2**20
_KEY_BYTES = 2**16


def mapper_of(settings: Settings, stream: Stream) -> Mapper:
    """The mappings of the settings.

    Raises:
        ConfigurationError: It does not fit the stream, or lacks what it needs.
    """
    decoders: Mapping[str, Decode] = {}
    if settings.kafka.schema_registry:
        with needing_kafka():
            from flows.home.kafka import record_decoders  # noqa: PLC0415 - needs an extra

        decoders = record_decoders(settings)
    try:
        return Mapper(stream, settings.ingest.topics, decoders)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def event_or_letter(
    mapper: Mapper, record: Foreign, again: int | None = None
) -> tuple[bytes, bytes] | DeadLetter:
    """Map a foreign record to an event or a dead letter; a letter holds at most 8 MiB of it.

    Args:
        mapper: The mappings.
        record: The foreign record.
        again: Offset of its dead letter, if it is retried.
    """
    became = mapper.map(record)
    if not isinstance(became, Refused):
        if len(became[0]) <= _KEY_BYTES:
            return became
        size = len(became[0])
        became = Refused("invalid", f"key must be at most {_KEY_BYTES} bytes; got {size}")
    raw, key = record.value or b"", record.key[:_LETTER_BYTES]
    headers = _fitting(record.headers, _LETTER_BYTES - len(key))
    room = _LETTER_BYTES - len(key) - sum(map(_header_size, headers.items()))
    return DeadLetter(
        became.reason,
        encodable(became.detail[:500]),
        record.partition,
        record.offset,
        size_of(raw, record.key, record.headers),
        raw[:room],
        record.topic,
        record.timestamp,
        key,
        headers,
        again,
    )


def size_of(value: bytes, key: bytes, headers: Mapping[str, bytes]) -> int:
    """Size of a foreign record, in bytes."""
    named = sum(len(name.encode()) + len(content) for name, content in headers.items())
    return len(value) + len(key) + named


def _fitting(headers: Mapping[str, bytes], room: int) -> dict[str, bytes]:
    """The first headers that fit."""
    sizes = accumulate(map(_header_size, headers.items()))
    fitting = takewhile(lambda both: both[1] <= room, zip(headers.items(), sizes, strict=True))
    return dict(header for header, _ in fitting)


def _header_size(header: tuple[str, bytes]) -> int:
    """Upper bound of its size in a letter, where a character of a name may take six bytes."""
    return 6 * len(header[0]) + len(header[1]) + 8


class ForeignIngest:
    """Ingests foreign topics; other ingests are fenced off.

    Args:
        settings: Settings with the topics, and whether to wait for more.
        mapper: The mappings.
        log: Log with all topics.
        say: Called with a line on the progress, and on wrong clocks.

    Raises:
        LogError: The log or the topics are invalid.
    """

    def __init__(
        self, settings: Settings, mapper: Mapper, log: Trimmable, say: Callable[[str], None]
    ) -> None:
        self._mapper, self._follow, self._say = mapper, settings.follow, say
        with needing_kafka():
            from flows.home.kafka import foreign_topics  # noqa: PLC0415 - needs an extra

        self._intake = IngestWriter(log, mapper.digest)
        self._topics = foreign_topics(
            settings, self._mapper.topics, self._intake.position, microseconds_now, say
        )
        self._records = self._events = self._letters = self._told = 0
        self._settled_at = self._looked_at = float("-inf")

    def step(self) -> int:
        """Ingest the records that have come; return their number."""
        arrived = self._topics.read()
        if arrived:
            events, letters = self._intake.append([self._sourced(*one) for one in arrived])
            self._records += len(arrived)
            self._events += events
            self._letters += letters
        if time.monotonic() - self._settled_at >= _SETTLE_S:
            self._intake.settle()
            self._tell()
            self._settled_at = time.monotonic()
        if time.monotonic() - self._looked_at >= _LOOK_S:
            self._topics.look()
            self._looked_at = time.monotonic()
        return len(arrived)

    def at_end(self) -> bool:
        """Whether all records were ingested, and no more are waited for."""
        return not self._follow and self._topics.at_end()

    def finish(self) -> None:
        """Write the positions, and print the progress."""
        self._intake.settle()
        self._topics.close()
        self._told = -1
        self._tell()

    def _tell(self) -> None:
        if self._records != self._told:
            self._told = self._records
            self._say(
                f"{', '.join(self._mapper.topics)}: {counted(self._records, 'record')}, "
                f"{counted(self._events, 'event')}, {counted(self._letters, 'dead letter')}"
            )

    def _sourced(self, record: Foreign, append_time: int) -> Sourced:
        source = f"{record.topic}/{record.partition}"
        return Sourced(source, record.offset, append_time, event_or_letter(self._mapper, record))


class _Partition(StatefulSourcePartition[int, None]):
    def __init__(self, ingest: ForeignIngest, stop: threading.Event) -> None:
        self._ingest, self._stop = ingest, stop
        self._awake: datetime | None = None

    def next_batch(self) -> list[int]:
        if self._stop.is_set():
            self._end()
        records = self._ingest.step()
        if not records and self._ingest.at_end():
            self._end()
        self._awake = None if records else datetime.now(UTC) + _IDLE
        return []

    def _end(self) -> None:
        self._ingest.finish()
        raise StopIteration

    def next_awake(self) -> datetime | None:
        return self._awake

    def snapshot(self) -> None:
        """Return nothing: the positions are in the log."""


class _Source(FixedPartitionedSource[int, None]):
    """A source with one partition, as there is one writer; reading and appending are one step."""

    def __init__(self, opened: Callable[[], ForeignIngest], stop: threading.Event) -> None:
        self._opened, self._stop = opened, stop

    def list_parts(self) -> list[str]:
        """Return the name of the only partition."""
        return ["ingest"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _Partition:
        """Open the ingest on the one worker that has it, as it fences off earlier writers."""
        del step_id, for_part, resume_state
        return _Partition(self._opened(), self._stop)


def foreign_flow(
    settings: Settings, home: Home, say: Callable[[str], None], stop: threading.Event
) -> Dataflow:
    """Build the ingest flow; it does nothing before bytewax runs it.

    Args:
        settings: Settings with the mappings.
        home: Home with the log, or with its checkpoints.
        say: Called with a line on the progress.
        stop: If set, the flow ends cleanly.

    Raises:
        ConfigurationError: No mapping is set, or one does not match the stream.
        LogError: The log or the topics are invalid.
    """
    if not settings.ingest.topics:
        msg = "ingest must be given a FILE, or foreign topics in ingest.topics; got neither"
        raise ConfigurationError(msg)
    mapper = mapper_of(settings, find_stream(settings.stream))
    deployment = Deployment.open(settings, home, make_topics=True, checkpoints=False)
    check_key(home.root, deployment.stream)
    log = deployment.log
    held: list[int] = []
    if settings.log == "sqlite":
        check_append_times(log, home)

    def opened() -> ForeignIngest:
        if settings.log == "sqlite":
            held.append(lock_shared(home.root))
        deployment.check_kept()
        return ForeignIngest(settings, mapper, log, say)

    def ended() -> None:
        while held:
            os.close(held.pop())

    flow = Dataflow("headwater_ingest")
    taken: Any = op.input("foreign", flow, _Source(opened, stop))
    op.output("end", taken, AtEnd(ended))
    return flow
