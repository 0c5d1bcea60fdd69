"""Ids that events of two types have: the run takes the later event for a duplicate."""

from state.admission.label_routing import MOST_IDS
from state.events import Event


class SharedIds:
    """Follows the ids of events; of very many only the first."""

    def __init__(self) -> None:
        self._kinds: dict[str, type[Event]] = {}
        self._shared: dict[str, tuple[str, str]] = {}

    def see(self, event: Event) -> None:
        """Take in the next event, of whatever type."""
        if len(self._kinds) < MOST_IDS:
            kind = self._kinds.setdefault(event.id, type(event))
            if kind is not type(event):
                names = str(kind.__struct_config__.tag), str(event.__struct_config__.tag)
                self._shared.setdefault(event.id, names)

    @property
    def warning(self) -> str:
        """One line with the number of such ids and the first; empty: there is none."""
        if not self._shared:
            return ""
        first, (one, other) = next(iter(self._shared.items()))
        return (
            f"{len(self._shared):,} ids are those of events of two types, such as {first!r} of "
            f"{one} and {other}: an id must be unique in the stream, whatever the type. The run "
            "takes the later event for a duplicate; a prefix for each type keeps them apart"
        )
