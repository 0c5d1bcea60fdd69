"""Copies of checkpoints in a store, for machines that do not have the home that wrote them."""

import logging
import threading
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

from state.checkpoint_names import is_checkpoint, surplus
from state.object_store import ObjectStore

_RETRY_S, _LOOK_S = 5.0, 0.05
_log = logging.getLogger("headwater")


class SharedCheckpoints:
    """The checkpoints of one log in a store.

    A thread of its own copies them there and looks what has come: whoever saves a checkpoint or
    follows a log never waits for the store. While it cannot be reached that is tried again, after
    one warning; a home has what is not copied yet.

    Args:
        store: Holds a folder for each partition.
        look_every_s: How old what `names` says may be.
    """

    def __init__(self, store: ObjectStore, look_every_s: float) -> None:
        self._store, self._look_every_s = store, look_every_s
        self._folders: dict[int, Path] = {}
        self._dropped: dict[int, set[str]] = defaultdict(set)
        self._names: dict[int, frozenset[str]] = {}
        self._looked_at: dict[int, float] = {}
        self._due: set[int] = set()
        self._working = False
        self._reachable = True
        self._changed = threading.Condition()

    def names(self, partition: int) -> frozenset[str]:
        """The files of a partition.

        Raises:
            OSError: The store cannot be reached, and never could.
        """
        if partition not in self._names:
            self._look(partition)
        elif time.monotonic() - self._looked_at[partition] > self._look_every_s:
            self._ask(partition)
        return self._names[partition]

    def read(self, partition: int, name: str) -> bytes | None:
        """A file as it came, not verified; None: it is not there any more.

        Raises:
            OSError: The store cannot be reached.
        """
        return self._store.read(f"{partition}/{name}")

    def copy(self, partition: int, folder: Path) -> None:
        """Have copied what the store lacks of a home's folder."""
        self._folders[partition] = folder
        self._ask(partition)

    def drop(self, partition: int, name: str) -> None:
        """Have a file removed; one that is saved later by the same name is copied all the same."""
        with self._changed:
            self._dropped[partition].add(name)
            self._names[partition] = self._names.get(partition, frozenset()) - {name}
        self._ask(partition)

    def flush(self, within_s: float) -> bool:
        """Wait until all is done that was asked for; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._working, within_s)

    def __str__(self) -> str:
        return str(self._store)

    def _ask(self, partition: int) -> None:
        with self._changed:
            self._due.add(partition)
            if not self._working and _goes_on():
                self._working = True
                # No daemon: a process that ends while it waits for S3 might never come to its end.
                threading.Thread(target=self._work, name="copy checkpoints").start()

    def _work(self) -> None:
        """See to what is due; the thread ends with the last of it, or as soon as the process."""
        while (partition := self._next()) is not None:
            try:
                self._remove(partition)
                self._look(partition)
                self._copy(partition)
            except OSError as error:
                self._fails(partition, error)
            else:
                self._tell(None)

    def _next(self) -> int | None:
        with self._changed:
            if self._due and _goes_on():
                return self._due.pop()
            self._working = False
            self._changed.notify_all()
            return None

    def _fails(self, partition: int, error: OSError) -> None:
        self._tell(error)
        with self._changed:
            self._due.add(partition)
        again_at = time.monotonic() + _RETRY_S
        while time.monotonic() < again_at and _goes_on():
            time.sleep(_LOOK_S)

    def _tell(self, error: OSError | None) -> None:
        """Once that the store cannot be reached, and once that it can."""
        if error is not None and self._reachable:
            _log.warning("%s must be reached; it is tried again: %s", self, error)
        elif error is None and not self._reachable:
            _log.warning("%s is reached again", self)
        self._reachable = error is None

    def _remove(self, partition: int) -> None:
        for name in tuple(self._dropped[partition]):
            self._store.remove(f"{partition}/{name}")
            self._dropped[partition].discard(name)

    def _look(self, partition: int) -> None:
        found = filter(is_checkpoint, self._store.names(str(partition)))
        with self._changed:
            self._names[partition] = frozenset(found) - self._dropped[partition]
            self._looked_at[partition] = time.monotonic()

    def _copy(self, partition: int) -> None:
        """Write what the home has and the store lacks, then remove what is too old there."""
        folder = self._folders.get(partition)
        if folder is None:
            return
        here = frozenset(filter(is_checkpoint, (path.name for path in folder.glob("*.ckpt"))))
        there = self._names[partition]
        old = surplus(there | here)
        for name in sorted(here - there - old):
            with suppress(FileNotFoundError):  # later ones took its place
                self._store.write(f"{partition}/{name}", (folder / name).read_bytes())
                self._names[partition] |= {name}
        for name in there & old:
            self._store.remove(f"{partition}/{name}")
            self._names[partition] -= {name}


def _goes_on() -> bool:
    """Whether the process does not wait for its threads yet."""
    return threading.main_thread().is_alive()
