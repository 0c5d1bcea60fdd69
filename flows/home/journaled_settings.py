"""Check that the settings in the journal can be used."""

from collections.abc import Mapping
from typing import Any

from flows.home.configuration import check_models
from operators.partition.journal import TOPIC, Configured, Journal
from state.log import Log, LogError
from state.settings import HEAL, Settings, recorded


def check_journals(log: Log, today: Settings) -> None:
    """Refuse a log whose journal cannot be read, before anything is started.

    Raises:
        LogError: It cannot.
    """
    for partition in range(log.partitions(TOPIC)):
        for entry in Journal(log, partition).entries:
            if isinstance(entry, Configured):
                usable(today, entry.settings)


def usable(today: Settings, values: Mapping[str, Any]) -> Settings:
    """The settings that an entry tells, see `recorded`: a run can take them and make their models.

    Raises:
        LogError: The message names the setting.
    """
    settings = recorded(today, values)
    try:
        check_models(settings)
    except ValueError as error:
        msg = f"settings in the journal must be usable; got '{error}': {HEAL}"
        raise LogError(msg) from error
    return settings
