"""The machine under a flow: the disk of the home, and the health of an H2O cluster."""

import os
import shutil
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

import msgspec

from flows.watch.sample import Disk

_PARTS = ("log", "snapshots", "artifacts", "checkpoints", "branches", "audits", "tmp")
_MEASURED_EVERY_S = 60.0
_ASKED_EVERY_S = 15.0
_ANSWERS_IN_S = 2.0


class DiskGauge:
    """Measures the disk at each look, and the parts of the home once a minute.

    Args:
        root: The home's directory.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._parts: dict[str, int] = {}
        self._measured = float("-inf")

    def measure(self, now: float) -> Disk | None:
        """The figures; None while there is no home.

        Args:
            now: Unix time.
        """
        try:
            usage = shutil.disk_usage(self._root)
        except OSError:
            return None
        if not 0 <= now - self._measured < _MEASURED_EVERY_S:
            self._measured = now
            there = [name for name in _PARTS if (self._root / name).is_dir()]
            self._parts = {name: size_of(self._root / name) for name in there}
        return Disk(usage.free, usage.total, self._parts)


def size_of(folder: Path) -> int:
    """Bytes that the files below a folder take on the disk; what vanishes meanwhile is left out.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "file").write_bytes(b"x" * 5000)
        ...     size_of(Path(folder)) % 512, size_of(Path(folder)) >= 5000
        (0, True)
    """
    total = 0
    for above, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(above, name)).st_blocks * 512  # noqa: PTH118 - speed
    return total


class _Cloud(msgspec.Struct):
    """The field of H2O's answer that is needed."""

    cloud_healthy: bool


class H2OProbe:
    """Asks the cluster of `h2o.url` now and then whether it is healthy.

    Args:
        url: Address of the cluster; empty: there is none.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._asked = float("-inf")
        self._healthy: bool | None = None

    def is_healthy(self, now: float) -> bool | None:
        """True if the cluster answers that it is healthy; None: there is no cluster to ask.

        Args:
            now: Unix time.
        """
        if self._url and not 0 <= now - self._asked < _ASKED_EVERY_S:
            self._asked = now
            self._healthy = self._ask()
        return self._healthy

    def _ask(self) -> bool:
        try:
            with urlopen(f"{self._url.rstrip('/')}/3/Cloud", timeout=_ANSWERS_IN_S) as answer:  # noqa: S310 - the operator's own
                return msgspec.json.decode(answer.read(2**20), type=_Cloud).cloud_healthy
        except (OSError, HTTPException, ValueError, RecursionError):  # also msgspec's
            return False
