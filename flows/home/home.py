"""Where a flow keeps what it keeps on this machine."""

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
    """What signs the checkpoints in the store is not set, or cannot be used."""


_log = logging.getLogger("headwater")

ALL_TOPICS = tuple(TOPICS)
"""The topics of a home, inputs first."""


@dataclass(frozen=True)
class Home:
    """The directory `HEADWATER_HOME`.

    Args:
        root: Made when something is written.
        origins: Where model files are fetched from that are not here yet.
        shared: Where checkpoints are copied to, and come from that are not here.
    """

    root: Path
    origins: tuple[Origin, ...] = ()
    shared: SharedCheckpoints | None = None

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
        return CheckpointStore(self.root / "checkpoints", self.shared)

    def artifacts(self) -> ArtifactStore:
        """The models' files."""
        return ArtifactStore(self.root / "artifacts", self.origins)


def create_topics(log: Log, partitions: int) -> None:
    """Make every topic; where they exist, check that they fit.

    Files that were lost of a topic that follows from others are made anew, for the run to fill. Of
    any other topic they are missed when they are read.

    Raises:
        LogError: A topic that cannot be made again was lost.
        ValueError: The log was made with another number of partitions.
    """
    if isinstance(log, SqliteLog):
        _check_facts(log)
    for topic, wanted in fitting_topics(log, partitions).items():
        if TOPICS[topic].follows and isinstance(log, SqliteLog) and log.has(topic):
            for partition in log.remake(topic, wanted):
                place = log.place(topic, partition)
                _log.warning("%s was lost: the run makes again what was in it", place)
        log.create(topic, wanted)


def _check_facts(log: SqliteLog) -> None:
    """Refuse to make anew what a log must have had, for topics are made one after the other."""
    for i, topic in enumerate(ALL_TOPICS):
        if TOPICS[topic].is_fact and not log.has(topic) and any(map(log.has, ALL_TOPICS[i + 1 :])):
            msg = (
                f"topic must be there, for it cannot be made again; got no {topic!r} in "
                f"{Path(log.place(topic, 0)).parent}: it was lost, restore it from a copy"
            )
            raise LogError(msg)


def fitting_topics(log: Log, partitions: int) -> dict[str, int]:
    """How many partitions each topic of a log may have: all that is wanted, but in an older log."""
    wanted = wanted_topics(partitions)
    try:
        letters = log.partitions(DEAD_LETTERS)
    except UnknownTopicError:
        return wanted
    # One that was made before foreign topics could be ingested serves for all else.
    return wanted | {DEAD_LETTERS: partitions} if letters == partitions else wanted


def wanted_topics(partitions: int) -> dict[str, int]:
    """How many partitions each topic has.

    Args:
        partitions: Of `events`.

    Example:
        >>> wanted_topics(8)["alerts"]
        9
    """
    return {name: topic.partitions(partitions) for name, topic in TOPICS.items()}


def sharing(home: Home, settings: Settings) -> Home:
    """The home; its checkpoints are in `checkpoints.store` too, if that is set.

    Those of a River classifier are not: what it has learned is a pickle, which is read back from
    the home alone that wrote it. The others are signed there, with the keys in
    `HEADWATER_CHECKPOINT_KEY`.

    Raises:
        CheckpointKeyError: There is no key, and `checkpoints.trusted` is not set; or one is short.
    """
    uri, every_s = settings.checkpoints.store, settings.checkpoints.every / 1e6
    if not uri:
        return home
    if settings.online.river:
        _log.warning("checkpoints stay in the home: of online.river they hold a pickle")
        return home
    keys = checkpoint_keys(settings)
    return replace(home, shared=SharedCheckpoints(ObjectStore(uri), every_s, keys))


def checkpoint_keys(settings: Settings) -> CheckpointKeys | None:
    """What signs the checkpoints in `checkpoints.store`; None: it is trusted as it is.

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
    """What a small JSON file of a home says; None if there is none.

    Raises:
        ConfigurationError: It cannot be read as that.
    """
    try:
        return msgspec.json.decode(read_regular(path), type=kind)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        msg = f"note of a home must be readable; got '{error}' in {path}: restore it from a copy"
        raise ConfigurationError(msg) from error


def environment_home() -> Home:
    """The home of this process; errors as for `check_directory`."""
    home = Home.of(os.environ)
    check_directory(home.root)
    return home


def check_directory(root: Path) -> None:
    """Refuse a home whose path leads to something else than a directory.

    Raises:
        ConfigurationError: It is a file, or a link to nothing.
    """
    if root.is_symlink() and not root.exists():
        msg = f"home must be a directory; got a link to nothing, {root.readlink()}, in {root}"
        raise ConfigurationError(msg)
    if root.exists() and not root.is_dir():
        msg = f"home must be a directory; got the file {root}"
        raise ConfigurationError(msg)
