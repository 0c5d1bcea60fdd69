"""Where a flow keeps what it keeps on this machine."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from operators.shard import TOPICS
from state.artifacts import ArtifactStore
from state.checkpoints import CheckpointStore
from state.log import Log
from state.sqlite_log import SqliteLog

ALL_TOPICS = ("events", "activations", "snapshots", *TOPICS, "models")
"""The topics of a home, inputs first."""


@dataclass(frozen=True)
class Home:
    """The directory `HEADWATER_HOME`.

    Args:
        root: Made when something is written.
    """

    root: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Home":
        """The home that the environment names, `./var` if none."""
        return cls(Path(environment.get("HEADWATER_HOME", "var")).absolute())

    @property
    def snapshots(self) -> Path:
        """Directory of the Parquet cuts."""
        return self.root / "snapshots"

    @property
    def h2o(self) -> Path:
        """Where H2O's temporary folders are made and removed."""
        return self.root / "tmp"

    def log(self) -> SqliteLog:
        """The embedded log; topics are made by `create_topics`."""
        return SqliteLog(self.root / "log")

    def checkpoints(self) -> CheckpointStore:
        """The shards' checkpoints."""
        return CheckpointStore(self.root / "checkpoints")

    def artifacts(self) -> ArtifactStore:
        """The models' files."""
        return ArtifactStore(self.root / "artifacts")


def create_topics(log: Log, partitions: int) -> None:
    """Make every topic; where they exist, check that they fit.

    Raises:
        ValueError: The log was made with another number of partitions.
    """
    for topic, wanted in wanted_topics(partitions).items():
        log.create(topic, wanted)


def wanted_topics(partitions: int) -> dict[str, int]:
    """How many partitions each topic has.

    Args:
        partitions: Of `events`.

    Example:
        >>> wanted_topics(8)["alerts"]
        9
    """
    counts = dict.fromkeys(ALL_TOPICS, partitions)
    # The last partition of alerts is training's.
    return counts | {"alerts": partitions + 1, "models": 1}


def environment_home() -> Home:
    """The home of this process."""
    return Home.of(os.environ)
