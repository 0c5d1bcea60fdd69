"""Check that the settings in the journal can be used."""

from operators.journal import TOPIC, Configured, Journal
from state.log import Log
from state.settings import Settings, recorded


def check_journals(log: Log, today: Settings) -> None:
    """Refuse a log whose journal cannot be read, before anything is started.

    Raises:
        LogError: It cannot.
    """
    for partition in range(log.partitions(TOPIC)):
        for entry in Journal(log, partition).entries:
            if isinstance(entry, Configured):
                recorded(today, entry.settings)
