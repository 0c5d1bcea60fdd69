"""Open a flow's settings, stream, log and home together; every command begins here."""

from dataclasses import dataclass, replace
from functools import cached_property
from types import TracebackType
from typing import Self

from flows.home.configuration import find_stream
from flows.home.home import Home, sharing
from flows.home.model_sources import published_models, reaching
from flows.home.open_log import check_cluster, check_kept, find_log, open_log
from operators.training.model_registry import ModelRegistry
from state.log import EVENTS, Trimmable
from state.settings import Settings
from state.stream import Stream


@dataclass(frozen=True)
class Deployment:
    """The parts of one flow; use it in a `with` block, or call `close`.

    Args:
        settings: The flow's settings.
        stream: The stream that the settings name.
        log: The log in the home or in Kafka.
        home: The home. It fetches missing model files from the artifact store or the log, and
            missing checkpoints from the checkpoint store.
    """

    settings: Settings
    stream: Stream
    log: Trimmable
    home: Home

    @classmethod
    def open(
        cls, settings: Settings, home: Home, *, make_topics: bool = False, checkpoints: bool = True
    ) -> Self:
        """Open the log and complete the home.

        Args:
            settings: The flow's settings.
            home: The flow's home directory.
            make_topics: Create the topics in the home (or check that Kafka has them), and note in
                the home which cluster it belongs to; False: open the log without changing it.
            checkpoints: Open the checkpoint store too, which needs its key.

        Raises:
            ConfigurationError: The settings or the home are invalid, or the home belongs to another
                log.
            LogError: Kafka lacks a topic, or does not answer.
            ValueError: The log has another number of partitions.
        """
        if checkpoints:
            home = sharing(home, settings)
        stream = find_stream(settings.stream)
        if make_topics:
            log = open_log(settings, stream, home)
        else:
            log = find_log(settings, home)
            try:
                check_cluster(settings, home)
            except BaseException:
                log.close()
                raise
        return cls(settings, stream, log, reaching(home, settings, log))

    @cached_property
    def registry(self) -> ModelRegistry:
        """The registry of published models."""
        return published_models(self.home, self.settings, self.log)

    def check_kept(self, *partitions: int) -> None:
        """Refuse a log whose end was lost, which this home's checkpoints show.

        Args:
            partitions: Partitions to check; default: all.

        Raises:
            LogError: The log ends before a record that a checkpoint has read.
        """
        store = replace(self.home, shared=None).checkpoints()
        for partition in partitions or range(self.log.partitions(EVENTS)):
            check_kept(self.settings, self.log, store, partition, compare=False)

    def close(self) -> None:
        """Close the log."""
        self.log.close()

    def __enter__(self) -> Self:
        """Return this deployment."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the log."""
        self.close()
