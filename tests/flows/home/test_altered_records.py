"""A record of the log that was altered and that Headwater reads back: one line with its place."""

from pathlib import Path

import pytest
from rich.console import Console

from flows.home.home import Home, create_topics
from flows.intake.retry_dead_letters import letters_of
from flows.reports.status import status_of
from flows.runtime.summary import print_summary
from operators.training.model_registry import ModelRegistry
from operators.training.training_cuts import cuts_of
from state.ingest.positions import LETTERS, positions_of
from state.log import Entry, LogError
from state.topics import INGESTED, ROLLBACKS

ALTERED = [b"", b"\xff\xfe", b"null", b"{}", b"[" * 100_000]
READERS = {
    "models": lambda log, _: ModelRegistry(log).records(),
    ROLLBACKS: lambda log, _: ModelRegistry(log).rollbacks(),
    "snapshots": lambda log, _: list(cuts_of(log, 0)),
    INGESTED: lambda log, _: positions_of(log),
    LETTERS: lambda log, _: list(letters_of(log)),
    "outcomes": lambda log, _: _summed_up(log),
    "predictions": lambda log, store: status_of(log, store, ("events",), now=0.0),
}


def _summed_up(log):
    print_summary(Console(quiet=True), log, [], Home(Path()))


@pytest.mark.parametrize("value", ALTERED)
@pytest.mark.parametrize("topic", READERS)
def test_an_altered_record_is_told_with_its_place(tmp_path, topic, value):
    home = Home(tmp_path)
    log = home.log()
    create_topics(log, 1)
    log.append(topic, 0, [Entry(5, b"", value)])
    with pytest.raises(LogError, match=f"must be as it was written; got .* in {topic}/0 at "):
        READERS[topic](log, home.checkpoints())
    log.close()
