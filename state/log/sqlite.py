"""The embedded log: one SQLite database per topic partition, `<root>/<topic>/<partition>.db`."""

import os
import re
import sqlite3
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from itertools import accumulate, count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, NamedTuple

import msgspec

from state.atomic_write import sync
from state.log import (
    MAX_READ_BYTES,
    MOST_PARTITIONS,
    Entry,
    LogError,
    Parts,
    Record,
    UnknownTopicError,
    append_each,
    check_gap,
    check_offset,
    check_same,
    check_values,
)
from state.process_lock import locked
from state.regular_file import NotRegularError, check_regular, read_regular

_FORMAT = 1
_TOPIC_FILE = "topic.json"
_BUSY_S = 60.0
# A step of a trim must end long before a waiting writer gives up.
_TRIM_RECORDS = 50_000
_TRIM_PAGES = 2_000
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,200}")
_SCHEMA = """
PRAGMA page_size = 8192;
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
CREATE TABLE records (
    offset INTEGER PRIMARY KEY, append_time INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL
);
"""
# SQLite keeps values of any type that were inserted by hand.
_RECORD = "offset, CAST(append_time AS INTEGER), CAST(key AS BLOB), CAST(value AS BLOB)"
# Record._make is a Python call per record; this does the same in C.
_record = partial(tuple.__new__, Record)


class _Database(NamedTuple):
    """A connection to the file of a partition.

    Attributes:
        connection: Open connection.
        marks: Result of `_marks` when the file was opened.
        guarded: Whether SQLite's own locks separate writers and this reader.
    """

    connection: sqlite3.Connection
    marks: tuple[object, ...]
    guarded: bool


class _Topic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Content of a topic's `topic.json`."""

    format: int
    partitions: Annotated[
        int, msgspec.Meta(ge=1, le=MOST_PARTITIONS + 1)
    ]  # dead_letters has one more


class SqliteLog:
    """A log in a directory on a local disk, for any number of threads and processes.

    Each append is one transaction in WAL mode with `synchronous=FULL`: when it returns, it survives
    `kill -9` (for which NORMAL would suffice) and power loss. A partition takes one append at a
    time; others wait for up to a minute, so several `ingest` runs can add to `events`, and each
    append stays whole. Topics that need a single writer number their entries, so that a second
    writer gets a `SequenceConflictError`.

    Every thread opens its own connections, which stay open until `close`. A user without write
    access can read, beside a writer or after a killed one. Moving, deleting or replacing a file in
    use is an error.

    Args:
        root: The directory.
        durable: False: skip the protection from power loss; the newest appends of any partition may
            then be lost.

    Example:
        >>> with TemporaryDirectory() as root:
        ...     log = SqliteLog(Path(root))
        ...     log.create("events", 1)
        ...     log.append("events", 0, [Entry(5, b"JFK", b"{}")])
        ...     log.read("events", 0, 0)
        ...     log.close()
        1
        [Record(offset=0, append_time=5, key=b'JFK', value=b'{}')]
    """

    def __init__(self, root: Path, *, durable: bool = True) -> None:
        self._root = root
        self._synchronous = "FULL" if durable else "NORMAL"
        # Keyed by the system's thread id instead of `threading.local`: in bytewax's threads each
        # call into Python has new thread locals, and would open the files again.
        self._databases: dict[tuple[int, str, int], _Database] = {}

    def create(self, topic: str, partitions: int) -> None:
        """See `Log.create`."""
        if not _NAME.fullmatch(topic):
            message = f"topic must be letters, digits, '.', '_' and '-'; got {topic!r}"
            raise ValueError(message)
        if partitions < 1:
            message = f"partitions must be positive; got {partitions} for topic {topic!r}"
            raise ValueError(message)
        if not self.has(topic):
            self._make(topic, partitions)
        found = self.partitions(topic)
        if found != partitions:
            message = f"partitions must be {found} as made; got {partitions} for topic {topic!r}"
            raise ValueError(message)

    def partitions(self, topic: str) -> int:
        """See `Log.partitions`."""
        path = self._folder(topic) / _TOPIC_FILE
        try:
            with _named(path):
                content = read_regular(path)
        except FileNotFoundError:
            if self.has(topic):
                message = f"topic file must be there; got none in {path}: restore it from a copy"
                raise LogError(message) from None
            message = f"topic must be created first; got {topic!r} in {self._root}"
            raise UnknownTopicError(message) from None
        try:
            made = msgspec.json.decode(content, type=_Topic)
        except msgspec.DecodeError as error:
            message = f"topic file must be readable; got '{error}' in {path}"
            raise LogError(message) from error
        if made.format != _FORMAT:
            message = f"log format must be {_FORMAT}; got {made.format} in {path}"
            raise LogError(message)
        if (beyond := path.with_name(f"{made.partitions}.db")).exists():
            message = (
                f"topic file must count all partitions; got {made.partitions} in {path}, but "
                f"{beyond.name} is there: restore it from a copy"
            )
            raise LogError(message)
        return made.partitions

    def append(
        self, topic: str, partition: int, entries: Sequence[Entry], *, sequence: int | None = None
    ) -> int:
        """See `Log.append`."""
        check_values(topic, partition, entries)
        with self._database(topic, partition) as database, database:
            database.execute("BEGIN IMMEDIATE")
            end, last_time = _tail(database)
            if sequence is not None:
                check_gap(topic, partition, sequence, end)
                check_offset(topic, partition, sequence, _first(database), end)
                stored = _select(database, sequence, len(entries), sys.maxsize)
                check_same(topic, partition, stored, entries)
                entries = entries[len(stored) :]
                end = sequence + len(stored)
            _insert(database, end, last_time, entries)
        return end + len(entries)

    def append_all(self, partition: int, parts: Parts) -> dict[str, int]:
        """See `Log.append_all`."""
        return append_each(self, partition, parts)

    def read(
        self,
        topic: str,
        partition: int,
        offset: int,
        *,
        max_records: int = 1000,
        max_bytes: int = MAX_READ_BYTES,
    ) -> list[Record]:
        """See `Log.read`."""
        with self._database(topic, partition) as database:
            records = _select(database, offset, max_records, max_bytes)
            if not records or records[0].offset != offset:
                check_offset(topic, partition, offset, _first(database), _tail(database)[0])
        # Without this check, a caller that counts records would read some twice.
        held = range(offset, offset + len(records))
        if [record[0] for record in records] != list(held):
            lost = next(n for n, record in zip(held, records, strict=True) if record[0] != n)
            raise self._lacking(topic, partition, lost)
        return records

    def start(self, topic: str, partition: int) -> int:
        """See `Log.start`."""
        with self._database(topic, partition) as database:
            return _first(database)

    def end(self, topic: str, partition: int) -> int:
        """See `Log.end`."""
        with self._database(topic, partition) as database:
            return _tail(database)[0]

    def trim(self, topic: str, partition: int, before: int) -> int:
        """See `Trimmable.trim`."""
        with self._database(topic, partition) as database:
            start, end = _first(database), _tail(database)[0]
            check_offset(topic, partition, max(before, start), start, end)
            before = min(before, end - 1)
            while start < before:
                start = min(start + _TRIM_RECORDS, before)
                database.execute("DELETE FROM records WHERE offset < ?", (start,))
            _give_back(database)
        return start

    def has(self, topic: str) -> bool:
        """Whether a topic's folder exists, complete or not."""
        return self._folder(topic).is_dir()

    def place(self, topic: str, partition: int) -> str:
        """See `LocalLog.place`."""
        return str(self._path(topic, partition))

    def amend(self, topic: str, partition: int, offset: int, value: bytes) -> None:
        """Replace a stored value: for a repair, while no process reads the log.

        Raises:
            LogError: The record does not exist.
        """
        with self._database(topic, partition) as database:
            change = "UPDATE records SET value = ? WHERE offset = ?"
            if not database.execute(change, (value, offset)).rowcount:
                msg = f"record must be there to be amended; got none at {offset} in {topic}"
                raise LogError(msg)

    def copy(self, topic: str, partition: int, to: "SqliteLog", latest: int) -> None:
        """Copy a partition with its offsets; durable when this returns.

        Args:
            topic: Name of a topic that exists in both logs.
            partition: Partition to copy; it is empty in the other log.
            to: The other log.
            latest: Upper bound; later append times are lowered to it.
        """
        offset = self.start(topic, partition)
        while records := self.read(topic, partition, offset):
            entries = [Entry(min(time, latest), key, value) for _, time, key, value in records]
            with to._database(topic, partition) as target, target:  # noqa: SLF001 - its like
                target.execute("BEGIN IMMEDIATE")
                _insert(target, offset, 0, entries)
            offset += len(records)

    def check(self, topic: str, partition: int) -> range:
        """Read the whole file of a partition, and return the range of its offsets.

        Raises:
            LogError: The file is damaged, or a record is missing in the middle.
        """
        with self._database(topic, partition) as database:
            found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
            held = range(_first(database), _tail(database)[0])
            records = database.execute("SELECT count(*) FROM records").fetchone()[0]
        place = self._path(topic, partition)
        if found != "ok":
            message = f"log file must be whole; got '{found}' in {place}"
            raise LogError(message)
        if records != len(held):
            message = f"log must have every offset of {held}; got {records} records in {place}"
            raise LogError(message)
        return held

    def remake(self, topic: str, partitions: int) -> list[int]:
        """Create the lost files of a topic, empty; existing files stay.

        For topics whose records can be derived again.

        Args:
            topic: Name of a topic whose folder exists.
            partitions: Number of partitions at its creation.

        Returns:
            The partitions whose file was lost.
        """
        folder = self._folder(topic)
        with locked(folder):
            lost = [p for p in range(partitions) if _is_lost(self._path(topic, p))]
            described = (folder / _TOPIC_FILE).exists()
            if described and not lost:
                return []
            with TemporaryDirectory(prefix=".new-", dir=self._root) as aside:
                for partition in lost:
                    path = self._path(topic, partition)
                    made = Path(aside) / path.name
                    _make_file(made)
                    for left in ("-wal", "-shm"):  # files of the lost database
                        path.with_name(path.name + left).unlink(missing_ok=True)
                    made.rename(path)
                if not described:
                    _describe(Path(aside), partitions)
                    (Path(aside) / _TOPIC_FILE).rename(folder / _TOPIC_FILE)
            sync(folder)
        return lost

    def close(self) -> None:
        """See `Log.close`; the log must not be used afterwards."""
        while self._databases:
            self._databases.popitem()[1].connection.close()

    def _folder(self, topic: str) -> Path:
        return self._root / topic

    def _path(self, topic: str, partition: int) -> Path:
        return self._folder(topic) / f"{partition}.db"

    def _lacking(self, topic: str, partition: int, offset: int) -> LogError:
        return LogError(
            f"log must hold every offset; got no record {offset} in {topic}/{partition}: it was "
            f"lost from {self._path(topic, partition)}"
        )

    def _make(self, topic: str, partitions: int) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        # Created aside and renamed, so that no process sees an incomplete topic.
        with TemporaryDirectory(prefix=".new-", dir=self._root) as aside:
            folder = Path(aside) / topic
            folder.mkdir()
            for partition in range(partitions):
                _make_file(folder / f"{partition}.db")
            _describe(folder, partitions)
            sync(folder)
            _rename(folder, self._folder(topic))
            sync(self._root)

    @contextmanager
    def _database(self, topic: str, partition: int) -> Iterator[sqlite3.Connection]:
        path = self._path(topic, partition)
        with _named(path):
            place = threading.get_ident(), topic, partition
            database = self._databases.get(place)
            if database is not None and not database.guarded and database.marks != _marks(path):
                self._databases.pop(place).connection.close()  # a writer has changed the file
                database = None
            if database is None:
                database = self._databases[place] = self._open(topic, partition, path)
            _check_in_place(database, path)
            yield database.connection
            _check_in_place(database, path)

    def _open(self, topic: str, partition: int, path: Path) -> _Database:
        partitions = self.partitions(topic)
        if not 0 <= partition < partitions:
            message = f"partition must be in 0 to {partitions - 1}; got {partition} in {topic!r}"
            raise UnknownTopicError(message)
        check_regular(path)
        address = path.absolute().as_uri()
        if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
            connection, guarded = _connect(f"{address}?mode=rw"), True
        else:
            connection, guarded = _connect_to_read(address, path)
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        return _Database(connection, _marks(path, guarded=guarded), guarded)


def _connect(address: str) -> sqlite3.Connection:
    return sqlite3.connect(
        address,
        uri=True,
        timeout=_BUSY_S,
        isolation_level=None,
        check_same_thread=False,  # one thread uses it, another may close it
    )


def _connect_to_read(address: str, path: Path) -> tuple[sqlite3.Connection, bool]:
    """A connection for a user without write access, and whether SQLite's locks protect it.

    SQLite separates readers and a writer by the file `-shm`, which a writer creates. Without it
    there is no writer: records left in `-wal` are read through an index in memory; without a
    `-wal`, the file is complete.
    """
    wal, shm = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))
    if wal.exists() and shm.exists():
        return _connect(f"{address}?mode=ro"), True
    if wal.exists() and wal.stat().st_size:
        connection = _connect(f"{address}?mode=ro&vfs=unix-none")
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        return connection, False
    return _connect(f"{address}?mode=ro&immutable=1"), False


def _marks(path: Path, *, guarded: bool = False) -> tuple[object, ...]:
    """Identity of a file; without SQLite's locks, also what a writer would change."""
    at = path.stat()
    if guarded:
        return at.st_dev, at.st_ino
    beside = (path.with_name(path.name + suffix).exists() for suffix in ("-wal", "-shm"))
    return at.st_dev, at.st_ino, at.st_size, at.st_mtime_ns, *beside


def _check_in_place(database: _Database, path: Path) -> None:
    """Refuse a file that is not the one that was opened: no other process would see it.

    Raises:
        LogError: It was moved, deleted or replaced, or changed while it was read without locks.
    """
    try:
        found = _marks(path, guarded=database.guarded)
    except OSError as error:
        message = f"log file must stay where it is while it is in use; got '{error}'"
        raise LogError(message) from error
    if found != database.marks:
        what = "another file" if database.guarded else "a writer: try again"
        message = f"log file must not be replaced or changed while it is read; got {what} in {path}"
        raise LogError(message)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        message = f"log file must be readable and writable; got '{error}' in {path}{_trouble(path)}"
        raise LogError(message) from error
    except NotRegularError as error:
        raise LogError(str(error)) from error


def _trouble(path: Path) -> str:
    """The system's reason why SQLite cannot use a file; empty if there is none."""
    if not path.exists():
        return ": it is lost, restore it from a copy"
    try:
        os.close(os.open(path, os.O_RDONLY))
        if not path.stat().st_size:
            return ": it is empty"
        for suffix in ("", "-wal", "-shm"):
            beside = path.with_name(path.name + suffix)
            if beside.exists():
                os.close(os.open(beside, os.O_RDWR))
    except OSError as error:
        return f": {error.strerror} ({Path(error.filename).name})"
    return ""


def _is_lost(path: Path) -> bool:
    """Whether a file is missing or empty, as after a failed copy."""
    return not path.exists() or (path.is_file() and not path.stat().st_size)


def _make_file(path: Path) -> None:
    with _named(path), closing(sqlite3.connect(path)) as database:
        database.executescript(_SCHEMA)


def _describe(folder: Path, partitions: int) -> None:
    """Write a topic's `topic.json`."""
    (folder / _TOPIC_FILE).write_bytes(msgspec.json.encode(_Topic(_FORMAT, partitions)))
    sync(folder / _TOPIC_FILE)


def _first(database: sqlite3.Connection) -> int:
    row = database.execute("SELECT min(offset) FROM records").fetchone()
    return row[0] or 0


def _tail(database: sqlite3.Connection) -> tuple[int, int]:
    """The next offset and the last append time."""
    last = "SELECT offset, CAST(append_time AS INTEGER) FROM records ORDER BY offset DESC LIMIT 1"
    newest, time = database.execute(last).fetchone() or (-1, 0)
    # A larger offset, which no append makes, would exceed the length of a range.
    return min(newest + 1, sys.maxsize), time


def _give_back(database: sqlite3.Connection) -> None:
    """Return free pages to the system; an old file, which cannot shrink, reuses them."""

    def free() -> int:
        pages: int = database.execute("PRAGMA freelist_count").fetchone()[0]
        return pages

    before = free() + 1
    while 0 < free() < before:
        before = free()
        # A script runs all steps; a cursor would stop after the first page.
        database.executescript(f"PRAGMA incremental_vacuum({_TRIM_PAGES})")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _select(
    database: sqlite3.Connection, offset: int, max_records: int, max_bytes: int
) -> list[Record]:
    query = f"SELECT {_RECORD} FROM records WHERE offset >= ? ORDER BY offset LIMIT ?"  # noqa: S608
    records: list[Record] = []
    room = max_bytes
    with closing(database.execute(query, (offset, max_records))) as rows:
        for record in map(_record, rows):
            room -= len(record[3])
            if room < 0 and records:
                break
            records.append(record)
    return records


def _insert(
    database: sqlite3.Connection, offset: int, last_time: int, entries: Sequence[Entry]
) -> None:
    if not entries:
        return
    times, keys, values = zip(*entries, strict=True)
    lifted = accumulate((last_time, *times), max)
    next(lifted)
    rows = zip(count(offset), lifted, keys, values, strict=False)
    database.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", rows)


def _rename(folder: Path, target: Path) -> None:
    try:
        folder.rename(target)
    except OSError:
        if not target.exists():  # otherwise another process has created it
            raise
