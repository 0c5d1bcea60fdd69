"""The topics of a flow in one table: who writes each, and what is known of it elsewhere."""

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
        name: Its name, without the prefix of Kafka's.
        writer: Which process writes it; of each partition there is one.
        record: What its records are; None: the stream declares them, or the layer that writes them.
        beside: Who writes the partition that it has beyond those of `events`; None: it has none.
        single: It has one partition, however many `events` have.
        follows: A run makes again what is lost of it.
        is_fact: It cannot be made again, and a flow cannot start without it.
        trimmable: `headwater trim` may drop its oldest records.
        is_end: Nothing is made from it again, so that Kafka may drop its records by their age.
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
        """How many partitions it has, for so many of `events`."""
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
"""By name; inputs first."""
