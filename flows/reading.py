"""Topics as frames: `state.read` with the stream and the log that the settings name."""

from datetime import datetime
from pathlib import Path

import polars as pl

from flows.home.configuration import find_stream, load_settings
from flows.home.home import Home, environment_home
from flows.home.open_log import find_log
from models.refit.fit_record import FitRecord
from operators.partition.journal import Activated, Configured, Crossed, Quieted
from operators.training.model_registry import RolledBack
from operators.training.training_cuts import TrainingCut
from state.ingest.positions import Ingested
from state.log import EVENTS
from state.outputs.topic_rows import Declared
from state.reading import scan
from state.topics import ACTIVATIONS, INGESTED, MODELS, OUTCOMES, ROLLBACKS, SNAPSHOTS, TOPICS

_RECORDS: dict[str, Declared] = {
    ACTIVATIONS: (Activated, Crossed, Quieted, Configured),
    INGESTED: Ingested,
    SNAPSHOTS: TrainingCut,
    MODELS: FitRecord,
    ROLLBACKS: RolledBack,
}


def read(
    topic: str,
    *,
    home: Path | str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> pl.LazyFrame:
    """Return a topic as a lazy frame; see `state.read`.

    Args:
        topic: Name of the topic.
        home: The flow's home; None: this process's.
        since: First append time to read; None: from the start.
        until: Append time before which to stop; None: to the end.

    Raises:
        ConfigurationError: The topic needs the stream, which the settings do not name.
        UnknownTopicError: The log lacks the topic.
    """
    where = environment_home() if home is None else Home(Path(home).absolute())
    settings = load_settings()
    return scan(lambda: find_log(settings, where), topic, declared(topic), since=since, until=until)


def declared(topic: str) -> Declared | None:
    """The declaration of a topic's records that `state.outputs.topic_rows.rows_of` needs.

    Raises:
        ConfigurationError: It is the stream, which the settings do not name.
    """
    if topic in {EVENTS, OUTCOMES}:
        return find_stream(load_settings().stream)
    own = TOPICS.get(topic)
    return own.record if own and own.record else _RECORDS.get(topic)
