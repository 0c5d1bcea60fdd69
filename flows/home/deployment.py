"""A flow's settings, stream, log and home, opened together: where every command begins."""

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
    """What belongs to one flow; use it in a `with`, or call `close`.

    Args:
        settings: Of the flow.
        stream: That they name.
        log: In the home or in Kafka.
        home: Model files that it lacks come from the store or the log; checkpoints are in their
            store too.
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
            settings: Of the flow.
            home: Where it keeps what it keeps on this machine.
            make_topics: Make the topics in the home, or check that Kafka has them, and note which
                cluster the home belongs to; else the log is opened as it is.
            checkpoints: The checkpoint store is needed; without it, no key is.

        Raises:
            ConfigurationError: The settings or the home cannot be used, or belong to another log.
            LogError: Kafka lacks a topic, or does not answer.
            ValueError: The log was made with another number of partitions.
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
        """The records of the models."""
        return published_models(self.home, self.settings, self.log)

    def check_kept(self, *partitions: int) -> None:
        """Refuse a log whose end was lost, as the checkpoints of this home tell.

        Args:
            partitions: Which; none: all.

        Raises:
            LogError: It was.
        """
        store = replace(self.home, shared=None).checkpoints()
        for partition in partitions or range(self.log.partitions(EVENTS)):
            check_kept(self.settings, self.log, store, partition, compare=False)

    def close(self) -> None:
        """Let go of the log."""
        self.log.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()
