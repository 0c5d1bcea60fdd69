"""Ids that events of two types have: the run takes the later event for a duplicate."""

from state.events import Event
from state.plurals import counted

_MOST_BYTES = 2**26
_BYTES = 200  # of an entry without the letters of its id


class SharedIds:
    """Follows the ids of events; of very many only the first, in 64 MiB."""

    def __init__(self) -> None:
        self._kinds: dict[str, type[Event]] = {}
        self._shared: dict[str, tuple[str, str]] = {}
        self._bytes = 0

    def see(self, event: Event) -> None:
        """Take in the next event, of whatever type; the same one may come again."""
        kind = self._kinds.get(event.id)
        is_full = self._bytes > _MOST_BYTES
        if kind is None and not is_full:
            self._kinds[event.id] = type(event)
            self._bytes += _BYTES + len(event.id)
        elif kind not in {None, type(event)} and (not is_full or not self._shared):
            names = str(kind.__struct_config__.tag), str(event.__struct_config__.tag)
            if self._shared.setdefault(event.id, names) is names:
                self._bytes += _BYTES

    @property
    def warning(self) -> str:
        """One line with the number of such ids and the first; empty: there is none."""
        if not self._shared:
            return ""
        first, (one, other) = next(iter(self._shared.items()))
        ids = counted(len(self._shared), "id is that", "ids are those")
        return (
            f"{ids} of events of two types, such as {first!r} of {one} and {other}: an id must be "
            "unique in the stream, whatever the type. The run takes the later event for a "
            "duplicate; a prefix for each type keeps them apart"
        )
