"""The home: the directory in which a flow keeps its files on this machine."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import msgspec

from flows.home.configuration import ConfigurationError
from state.checkpoints.keys import VARIABLE, CheckpointKeys
from state.checkpoints.remote import SharedCheckpoints
from state.checkpoints.store import CheckpointStore
from state.log import Log, LogError, UnknownTopicError
from state.log.sqlite import SqliteLog
from state.regular_file import read_regular
from state.settings import Settings
from state.storage.artifact_store import ArtifactStore, Origin
from state.storage.object_store import ObjectStore
from state.topics import DEAD_LETTERS, TOPICS

T = TypeVar("T")


class CheckpointKeyError(ConfigurationError):
    """The key that signs checkpoints in the store is missing or invalid."""


_log = logging.getLogger("headwater")

ALL_TOPICS = tuple(TOPICS)
"""Names of all topics, inputs first."""


@dataclass(frozen=True)
class Home:
    """The directory `HEADWATER_HOME`.

    Args:
        root: Path of the directory; created by the first write.
        origins: Sources of model files that are missing here.
        shared: Store to which checkpoints are copied, and from which missing ones are fetched.
    """

    root: Path
    origins: tuple[Origin, ...] = ()
    shared: SharedCheckpoints | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Home":
        """The home that `HEADWATER_HOME` names; default: `./var`."""
        return cls(Path(environment.get("HEADWATER_HOME", "var")).absolute())

    @property
    def snapshots(self) -> Path:
        """Directory of the Parquet training cuts."""
        return self.root / "snapshots"

    @property
    def h2o(self) -> Path:
        """Directory of H2O's temporary folders."""
        return self.root / "tmp"

    def log(self) -> SqliteLog:
        """The embedded log; `create_topics` creates its topics."""
        return SqliteLog(self.root / "log")

    def checkpoints(self) -> CheckpointStore:
        """The store of the shards' checkpoints."""
        return CheckpointStore(self.root / "checkpoints", self.shared)

    def artifacts(self) -> ArtifactStore:
        """The store of the models' files."""
        return ArtifactStore(self.root / "artifacts", self.origins)


def create_topics(log: Log, partitions: int) -> None:
    """Create every topic, or check the partition count of a topic that exists.

    Lost files of a derived topic are created empty, for the run to fill again. Lost files of any
    other topic raise an error when the topic is read.

    Raises:
        LogError: A topic was lost that cannot be derived again.
        ValueError: The log has another number of partitions.
    """
    if isinstance(log, SqliteLog):
        _check_facts(log)
    for topic, wanted in fitting_topics(log, partitions).items():
        if TOPICS[topic].follows and isinstance(log, SqliteLog) and log.has(topic):
            for partition in log.remake(topic, wanted):
                place = log.place(topic, partition)
                _log.warning("%s was lost: the run writes its records again", place)
        log.create(topic, wanted)


def _check_facts(log: SqliteLog) -> None:
    """Refuse to recreate a topic that was lost: one that is created after it exists."""
    for i, topic in enumerate(ALL_TOPICS):
        if TOPICS[topic].is_fact and not log.has(topic) and any(map(log.has, ALL_TOPICS[i + 1 :])):
            msg = (
                f"topic must exist, because it cannot be derived again; got no {topic!r} in "
                f"{Path(log.place(topic, 0)).parent}: it was lost, restore it from a copy"
            )
            raise LogError(msg)


def fitting_topics(log: Log, partitions: int) -> dict[str, int]:
    """Partition count of each topic; `dead_letters` of an older log may have one less."""
    wanted = wanted_topics(partitions)
    try:
        letters = log.partitions(DEAD_LETTERS)
    except UnknownTopicError:
        return wanted
    # An older log lacks the partition for foreign topics' dead letters; all else works without it.
    return wanted | {DEAD_LETTERS: partitions} if letters == partitions else wanted


def wanted_topics(partitions: int) -> dict[str, int]:
    """Partition count of each topic in a new log.

    Args:
        partitions: Number of partitions of `events`.

    Example:
        >>> wanted_topics(8)["alerts"]
        9
    """
    return {name: topic.partitions(partitions) for name, topic in TOPICS.items()}


def sharing(home: Home, settings: Settings) -> Home:
    """Add the checkpoint store to a home, if `checkpoints.store` is set.

    Checkpoints with a River classifier stay in the home: they hold a pickle, which only the home
    that wrote it may load. All others are signed with the keys in `HEADWATER_CHECKPOINT_KEY`.

    Raises:
        CheckpointKeyError: A key is missing (and `checkpoints.trusted` is not set) or too short.
    """
    uri, every_s = settings.checkpoints.store, settings.checkpoints.every / 1e6
    if not uri:
        return home
    if settings.online.river:
        _log.warning("checkpoints stay in the home: those with online.river hold a pickle")
        return home
    keys = checkpoint_keys(settings)
    return replace(home, shared=SharedCheckpoints(ObjectStore(uri), every_s, keys))


def checkpoint_keys(settings: Settings) -> CheckpointKeys | None:
    """Keys that sign the checkpoints in `checkpoints.store`; None: `checkpoints.trusted` is set.

    Raises:
        CheckpointKeyError: As for `sharing`.
    """
    text = os.environ.get(VARIABLE, "")
    if text:
        try:
            return CheckpointKeys.parse(text)
        except ValueError as error:
            raise CheckpointKeyError(str(error)) from None
    if settings.checkpoints.trusted:
        return None
    msg = (
        f"checkpoints.store must be signed or trusted; got no {VARIABLE} in the environment for "
        f"{ObjectStore(settings.checkpoints.store)}: `openssl rand -hex 32` makes a key for all "
        "machines, or checkpoints.trusted = true says that nobody else can write there"
    )
    raise CheckpointKeyError(msg)


def read_note(path: Path, kind: type[T]) -> T | None:
    """Read a small JSON file of a home; None: it does not exist.

    Raises:
        ConfigurationError: The file is not JSON of that type.
    """
    try:
        return msgspec.json.decode(read_regular(path), type=kind)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        msg = f"note of a home must be readable; got '{error}' in {path}: restore it from a copy"
        raise ConfigurationError(msg) from error


def environment_home() -> Home:
    """The home of this process; raises as `check_directory` does."""
    home = Home.of(os.environ)
    check_directory(home.root)
    return home


def check_directory(root: Path) -> None:
    """Refuse a home whose path is not a directory.

    Raises:
        ConfigurationError: The path is a file, or a link whose target is missing.
    """
    if root.is_symlink() and not root.exists():
        msg = f"home must be a directory; got a link to nothing, {root.readlink()}, in {root}"
        raise ConfigurationError(msg)
    if root.exists() and not root.is_dir():
        msg = f"home must be a directory; got the file {root}"
        raise ConfigurationError(msg)
