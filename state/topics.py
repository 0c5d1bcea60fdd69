"""The table of a flow's topics: their writers and properties."""

from typing import Literal, NamedTuple

import msgspec

from state.log import EVENTS
from state.outputs.records import Alert, DeadLetter, Metrics, Prediction
from state.storage import artifact_chunks

INGESTED = "ingested"
ACTIVATIONS = "activations"
SNAPSHOTS = "snapshots"
PREDICTIONS = "predictions"
OUTCOMES = "outcomes"
METRICS = "metrics"
ALERTS = "alerts"
DEAD_LETTERS = "dead_letters"
MODELS = artifact_chunks.MODELS
ROLLBACKS = "rollbacks"

Writer = Literal["ingest", "shard", "trainer", "operator"]


class Topic(NamedTuple):
    """One of Headwater's topics.

    Attributes:
        name: Name without Kafka's prefix.
        writer: Process that writes it; each partition has one writer.
        record: Type of its records; None: the stream or the writing layer declares it.
        beside: Writer of its one partition beyond those of `events`; None: there is no such
            partition.
        single: Whether it has one partition, however many `events` has.
        follows: Whether a run derives lost records again.
        is_fact: Whether it cannot be derived again; without it a flow cannot start.
        trimmable: Whether `headwater trim` may delete its oldest records.
        is_end: Whether nothing is derived from it, so that Kafka may delete records by age.
    """

    name: str
    writer: Writer
    record: type[msgspec.Struct] | None = None
    beside: Writer | None = None
    single: bool = False
    follows: bool = False
    is_fact: bool = False
    trimmable: bool = False
    is_end: bool = False

    def partitions(self, of_events: int) -> int:
        """Number of its partitions, given the number of `events`."""
        return 1 if self.single else of_events + (self.beside is not None)


_ALL = (
    Topic(EVENTS, "ingest", is_fact=True, trimmable=True),
    Topic(INGESTED, "ingest"),
    Topic(ACTIVATIONS, "shard", is_fact=True),
    Topic(SNAPSHOTS, "shard", follows=True),
    Topic(PREDICTIONS, "shard", Prediction, follows=True, trimmable=True, is_end=True),
    Topic(OUTCOMES, "shard", follows=True, trimmable=True),
    Topic(METRICS, "shard", Metrics, follows=True, trimmable=True, is_end=True),
    Topic(ALERTS, "shard", Alert, beside="trainer", follows=True, trimmable=True, is_end=True),
    Topic(DEAD_LETTERS, "shard", DeadLetter, beside="ingest", follows=True, trimmable=True),
    Topic(MODELS, "trainer", single=True, is_fact=True),
    Topic(ROLLBACKS, "operator", single=True),
)

TOPICS = {topic.name: topic for topic in _ALL}
"""All topics by name; inputs first."""
