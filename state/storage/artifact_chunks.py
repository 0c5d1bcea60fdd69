"""Model files in the log, cut into chunks, so that a mirror of the topic has the models too.

A file's chunks are consecutive records before the record that names the file. Their keys say which
chunk of which file they are. Decisions have empty keys.
"""

import threading
from io import BytesIO

from state.log import Entry, Log, Record
from state.storage.artifact_store import MAX_ARTIFACT_BYTES, ArtifactError

MODELS = "models"
"""Name of the topic of published models."""

CHUNK_BYTES = 2**19
"""Half of the default message limit of brokers and MirrorMaker, in bytes."""


def chunks_of(sha256: str, content: bytes, append_time: int) -> list[Entry]:
    """Cut a file into chunks, to be appended together.

    Example:
        >>> [(e.key, len(e.value)) for e in chunks_of("00ff", bytes(CHUNK_BYTES + 1), 0)]
        [(b'00ff/0', 524288), (b'00ff/1', 1)]
    """
    starts = range(0, len(content), CHUNK_BYTES)
    return [
        Entry(append_time, _key(sha256, number), content[start : start + CHUNK_BYTES])
        for number, start in enumerate(starts)
    ]


def is_supplement(topic: str, record: Record) -> bool:
    """Whether a record only supplements a decision: a chunk of a file, or proposals of a search."""
    return topic == MODELS and bool(record.key)


class ArtifactChunks:
    """The files in topic `models`, for any thread; each record is read once.

    Args:
        log: Log with the topic.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._next = 0
        self._places: dict[str, range] = {}

    def keep(self, sha256: str, content: bytes) -> None:
        """Do nothing: chunks are appended with the record that names the file."""

    def find(self, sha256: str) -> bytes | None:
        """Assemble a file, not verified; None if the topic has no chunk of it.

        Raises:
            ArtifactError: It is larger than `MAX_ARTIFACT_BYTES`.
        """
        with self._lock:
            self._look()
            place = self._places.get(sha256)
        if place is None:
            return None
        content = BytesIO()  # returns its bytes without a copy
        while place:
            for record in self._log.read(MODELS, 0, place.start, max_records=len(place)):
                content.write(record.value)
                place = place[1:]
            if content.tell() > MAX_ARTIFACT_BYTES:
                msg = (
                    f"artifact must be at most {MAX_ARTIFACT_BYTES} bytes; "
                    f"got more for {sha256} in {self}"
                )
                raise ArtifactError(msg)
        return content.getvalue()

    def _look(self) -> None:
        while records := self._log.read(MODELS, 0, self._next):
            for record in records:
                self._note(record)
            self._next += len(records)

    def _note(self, record: Record) -> None:
        sha256 = record.key.partition(b"/")[0].decode("ascii", "replace")
        if record.key == _key(sha256, 0):
            self._places[sha256] = range(record.offset, record.offset)
        place = self._places.get(sha256)
        if place is not None and record.key == _key(sha256, record.offset - place.start):
            self._places[sha256] = range(place.start, record.offset + 1)

    def __str__(self) -> str:
        return f"the chunks in topic {MODELS!r}"


def _key(sha256: str, number: int) -> bytes:
    return f"{sha256}/{number}".encode()
