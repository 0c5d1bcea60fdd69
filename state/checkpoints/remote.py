"""Copies of checkpoints in an object store, for machines without the home that wrote them."""

import logging
import threading
import time
from collections import defaultdict
from pathlib import Path

from state.checkpoints.keys import ADDED_BYTES, CheckpointKeys, unsigned
from state.checkpoints.names import is_checkpoint, surplus
from state.regular_file import read_regular
from state.storage.object_store import ObjectStore

_RETRY_S, _LOOK_S = 5.0, 0.05
_MOST_BYTES = 2**30
_AFTER_S = 2.0
"""Seconds after the process's end for which the remaining files are still copied."""
_log = logging.getLogger("headwater")


class SharedCheckpoints:
    """The checkpoints of one log in a store.

    A background thread copies files to the store and lists it, so that saving a checkpoint never
    waits for the store. If the store cannot be reached, the thread warns once and retries; the home
    holds the files that were not copied yet.

    Args:
        store: Store with a folder for each partition.
        look_every_s: Most seconds between listings for `names`.
        keys: Sign files that are copied to the store, and verify files from it; None: the store is
            trusted and holds unsigned files.
    """

    def __init__(
        self, store: ObjectStore, look_every_s: float, keys: CheckpointKeys | None = None
    ) -> None:
        self._store, self._look_every_s, self._keys = store, look_every_s, keys
        self._folders: dict[int, Path] = {}
        self._saved: dict[int, set[str]] = defaultdict(set)
        self._sizes: dict[int, dict[str, int]] = {}
        self._asked_at: dict[int, float] = {}
        self._due: set[int] = set()
        self._working = False
        self._error: OSError | None = None
        self._ends_at = 0.0
        self._lock = threading.Lock()

    def names(self, partition: int) -> frozenset[str]:
        """The names of a partition's files.

        Raises:
            OSError: The store could not be reached since the start.
        """
        error = self._error
        if partition not in self._sizes and error is None:
            self._asked_at[partition] = time.monotonic()
            self._look(partition)
        elif time.monotonic() - self._asked_at.get(partition, 0.0) > self._look_every_s:
            self._ask(partition)
        if partition not in self._sizes and error is not None:
            raise error
        return frozenset(self._sizes[partition])

    def read(self, partition: int, name: str) -> memoryview | None:
        """The content of a file; None: it no longer exists.

        Raises:
            SignatureError: No key has signed it for this place.
            OSError: The store cannot be reached.
        """
        place = f"{partition}/{name}"
        file = self._store.read(place, _MOST_BYTES)
        if file is None:
            return None
        return unsigned(file) if self._keys is None else self._keys.verified(place, file)

    def copy(self, partition: int, folder: Path, saved: str = "") -> None:
        """Start copying files that the home has and the store lacks.

        Args:
            partition: Partition of `events`.
            folder: The home's folder of this partition.
            saved: Name of the file just written there; the store may hold an older file of that
                name.
        """
        with self._lock:
            self._folders[partition] = folder
            if saved:
                self._saved[partition].add(saved)
                self._saved[partition] -= surplus(self._saved[partition])
        self._ask(partition)

    def clear(self, partition: int) -> None:
        """Delete all files of a partition, as its log is about to be made anew.

        Raises:
            OSError: The store cannot be reached.
        """
        for name in self._store.sizes(str(partition)):
            if is_checkpoint(name):
                self._store.remove(f"{partition}/{name}")

    def tell(self, error: OSError | None) -> None:
        """Warn once when the store cannot be reached, and once when it can be again.

        Args:
            error: The reason why it cannot; None: it can.
        """
        before, self._error = self._error, error
        if error is not None and before is None:
            _log.warning("%s cannot be reached, retrying: %s", self, error)
        elif error is None and before is not None:
            _log.warning("%s can be reached again", self)

    def __str__(self) -> str:
        return str(self._store)

    def _ask(self, partition: int) -> None:
        with self._lock:
            self._asked_at[partition] = time.monotonic()
            self._due.add(partition)
            if not self._working and self._goes_on():
                self._working = True
                # Not a daemon: a process that ends while a daemon thread waits for S3 may hang.
                threading.Thread(target=self._work, name="copy checkpoints").start()

    def _work(self) -> None:
        """Handle due partitions; the thread ends when none is left, or soon after the process."""
        try:
            while (partition := self._next()) is not None:
                try:
                    self._look(partition)
                    self._copy(partition)
                except OSError as error:
                    self.tell(error)
                    self._ask(partition)
                    self._rest()
                else:
                    self.tell(None)
        except BaseException:
            self._working = False
            raise

    def _next(self) -> int | None:
        with self._lock:
            if self._due and self._goes_on():
                return self._due.pop()
            if any(partition in self._folders for partition in self._due):
                _log.warning("%s lacks the newest checkpoints: the next run copies them", self)
            self._working = False
            return None

    def _rest(self) -> None:
        again_at = time.monotonic() + _RETRY_S
        while time.monotonic() < again_at and self._goes_on():
            time.sleep(_LOOK_S)

    def _goes_on(self) -> bool:
        """Whether the process runs, or ended less than `_AFTER_S` ago."""
        if threading.main_thread().is_alive():
            return True
        self._ends_at = self._ends_at or time.monotonic() + _AFTER_S
        return time.monotonic() < self._ends_at

    def _look(self, partition: int) -> None:
        sizes = self._store.sizes(str(partition))
        self._sizes[partition] = {name: size for name, size in sizes.items() if is_checkpoint(name)}

    def _copy(self, partition: int) -> None:
        """Copy files that the store lacks, the newest first; then delete surplus files.

        Files that the home has are kept even if the store has newer ones, which other code may have
        made.
        """
        folder = self._folders.get(partition)
        if folder is None:
            return
        with self._lock:
            saved = self._saved.pop(partition, set())
        here = {path.name: path for path in folder.glob("*.ckpt") if is_checkpoint(path.name)}
        try:
            for name in sorted(here, reverse=True):
                if not self._goes_on():
                    self._ask(partition)
                    return
                self._write(partition, here[name], anew=name in saved)
        except OSError:
            with self._lock:
                self._saved[partition] |= saved
            raise
        there = self._sizes[partition]
        old = (surplus({*there, *here}) - here.keys()) & there.keys()
        for name in old:
            self._store.remove(f"{partition}/{name}")
        self._sizes[partition] = {name: of for name, of in there.items() if name not in old}

    def _write(self, partition: int, path: Path, *, anew: bool) -> None:
        """Copy a file, unless the store has it or the home has deleted it meanwhile.

        Args:
            partition: Partition of `events`.
            path: Path of the file in the home.
            anew: Copy it even if the store has a file of that name and size.
        """
        there = self._sizes[partition]
        try:
            size = path.stat().st_size + (0 if self._keys is None else ADDED_BYTES)
            if not anew and there.get(path.name) == size:
                return
            content = read_regular(path)
        except FileNotFoundError:
            return
        place = f"{partition}/{path.name}"
        if self._keys is not None:
            content = self._keys.signed(place, content)
        self._store.write(place, content)
        self._sizes[partition] = {**there, path.name: len(content)}
