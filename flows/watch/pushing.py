"""Push points to a database, each at its event time, from where the last push ended."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from flows.errors.user_errors import USER_ERRORS
from flows.home.deployment import Deployment
from flows.terminal.json_lines import tell
from flows.watch.beside import beside
from flows.watch.points import PUSHED, Point, points_of
from flows.watch.sinks import Sink, SinkError
from state.atomic_write import write_atomically
from state.log import ReadableLog
from state.regular_file import read_regular

_MOST_RECORDS = 500
_ENDS_IN_S = 30.0


class _Cursor(msgspec.Struct):
    """The next offset of each partition, by topic.

    Attributes:
        place: Database that has all before.
        next: Offsets by topic and partition.
    """

    place: str
    next: dict[str, list[int]] = {}


class Pusher:
    """Sends the records of the topics that a database has not got yet.

    The cursor moves only when the database has the points: what it missed while it was away comes
    later, and points that it may have got twice are the same. Its file is made anew for another
    database, or where the log is another one.

    Args:
        log: Log of the flow.
        stream: Name of its stream.
        sink: The database.
        file: File of the cursor.
    """

    def __init__(self, log: ReadableLog, stream: str, sink: Sink, file: Path) -> None:
        self._log, self._stream, self._sink, self._file = log, stream, sink, file
        self._cursor = self._read()

    def push(self) -> int:
        """Send some of what is new; return the number of records sent, 0 at the end.

        Raises:
            SinkError: The database has not got them.
            LogError: The log cannot be read.
        """
        points: list[Point] = []
        following, sent = {}, 0
        for topic in PUSHED:
            offsets = self._offsets(topic)
            for partition, offset in enumerate(offsets):
                room = _MOST_RECORDS - sent
                records = self._log.read(topic, partition, offset, max_records=room) if room else []
                for record in records:
                    points += points_of(self._stream, topic, partition, record)
                offsets[partition] += len(records)
                sent += len(records)
            following[topic] = offsets
        if sent:
            self._sink.send(points)
            self._cursor = _Cursor(self._sink.place, following)
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._file, msgspec.json.encode(self._cursor))
        return sent

    def _offsets(self, topic: str) -> list[int]:
        """Next offset of each partition, or its first offset if that is later."""
        log, known = self._log, self._cursor.next.get(topic, [])
        offsets = []
        for partition in range(log.partitions(topic)):
            at = known[partition] if partition < len(known) else 0
            if at > log.end(topic, partition):
                at = 0  # another log in its place
            offsets.append(max(at, log.start(topic, partition)))
        return offsets

    def _read(self) -> _Cursor:
        try:
            cursor = msgspec.json.decode(read_regular(self._file), type=_Cursor)
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _Cursor(self._sink.place)
        return cursor if cursor.place == self._sink.place else _Cursor(self._sink.place)


class Pushing:
    """Pushes in a thread every few seconds until the block ends.

    Args:
        opened: Opens the log; called again after an error.
        sink: The database.
        file: File of the cursor.
        every_s: Seconds between two pushes at the end of the log.
        say: Told in one line when the points cannot be sent, and when they can again.
    """

    def __init__(
        self,
        opened: Callable[[], Deployment],
        sink: Sink,
        file: Path,
        every_s: float,
        say: Callable[[str], object],
    ) -> None:
        self._opened, self._sink, self._file = opened, sink, file
        self._every_s, self._say = every_s, say
        self._stop = threading.Event()
        self._trouble = False

    def going_on(self) -> AbstractContextManager[None]:
        """Push until the block ends."""
        return beside(self._push_on, self._stop, "pushing", _ENDS_IN_S)

    def _push_on(self) -> None:
        while not self._stop.is_set():
            try:
                deployment = self._opened()
                try:
                    stream = deployment.stream.name
                    pusher = Pusher(deployment.log, stream, self._sink, self._file)
                    while not self._stop.is_set():
                        pause = 0.0 if pusher.push() else self._every_s
                        self._tell("")
                        self._stop.wait(pause)
                finally:
                    deployment.close()
            except (SinkError, *USER_ERRORS) as error:
                self._tell(str(error))
                self._stop.wait(self._every_s)

    def _tell(self, trouble: str) -> None:
        if bool(trouble) != self._trouble:
            place = self._sink.place
            line = f"Points wait: {trouble}" if trouble else f"Points go to {place} again."
            tell("points_wait" if trouble else "points_go", line, self._say, place=place)
        self._trouble = bool(trouble)
