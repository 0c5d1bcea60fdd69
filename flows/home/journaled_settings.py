"""Check that the settings in the journal are valid."""

from collections.abc import Mapping
from typing import Any

from flows.home.configuration import check_models
from operators.partition.journal import TOPIC, Configured, Journal
from state.log import Log, LogError
from state.settings import HEAL, Settings, recorded


def check_journals(log: Log, today: Settings) -> None:
    """Refuse a log whose journal is unreadable, before the flow starts.

    Raises:
        LogError: An entry of the journal is unreadable, or its settings are invalid.
    """
    for partition in range(log.partitions(TOPIC)):
        for entry in Journal(log, partition).entries:
            if isinstance(entry, Configured):
                usable(today, entry.settings)


def usable(today: Settings, values: Mapping[str, Any]) -> Settings:
    """Settings of a journal entry (see `recorded`), checked: their models can be built.

    Raises:
        LogError: A setting is invalid; the message names it.
    """
    settings = recorded(today, values)
    try:
        check_models(settings)
    except ValueError as error:
        msg = f"settings in the journal must be usable; got '{error}': {HEAL}"
        raise LogError(msg) from error
    return settings
