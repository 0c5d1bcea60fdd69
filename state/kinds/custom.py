"""`Custom`: a stateful feature of the user's own."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from reprlib import repr as shortened
from typing import Any

from state.durations import Duration
from state.kinds.kind import Column, Compiled, Hook, Kind, Scope, StreamError
from state.user_code import USER_CODE_ERRORS, words_of

_NEEDED = ("columns", "observes", "observe", "values", "forget", "snapshot", "restore")


@dataclass(frozen=True)
class Custom(Kind):
    """A stateful feature of your own, a hook that `make` returns.

    Args:
        make: Called once for each shard; returns the hook.
        forget: Age at which the hook must forget a key.
    """

    make: Callable[[], Hook]
    forget: str = "7d"

    def __post_init__(self) -> None:
        """Check that it gives hooks.

        Raises:
            StreamError: It gives none, or raises.
        """
        super().__post_init__()
        if not callable(self.make):
            return  # the stream says so
        try:
            hook: Any = self.make()
        except USER_CODE_ERRORS as error:
            said = f"{type(error).__name__} {words_of(error)!r:.200}"
            msg = f"make must give a hook; got {said} in Custom"
            raise StreamError(msg) from error
        lacking = [name for name in _NEEDED if not hasattr(hook, name)]
        if lacking:
            msg = f"make must give a hook; got {shortened(hook)} without {lacking[0]} in Custom"
            raise StreamError(msg)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The hook's columns."""
        return tuple(Column(name) for name in self.make().columns)

    @property
    def title(self) -> str:
        """One name for all hooks, as only the hook knows its columns."""
        return "Custom(custom)"

    def durations(self) -> Iterator[str]:
        """The age."""
        yield self.forget

    def compiled(self, scope: Scope) -> Compiled:
        """A fresh hook."""
        hook = self.make()
        return Compiled(all_given=_values_of(hook), hook=(hook, Duration.parse(self.forget)))


def _values_of(hook: Hook) -> Callable[[Any], Sequence[float]]:
    """The values of a hook, checked for their number: a missing one would keep an old value."""
    values_of, columns = hook.values, hook.columns

    def values(request: Any) -> Sequence[float]:
        found = values_of(request)
        if len(found) != len(columns):
            msg = (
                f"hook {type(hook).__name__} must give a value for each of its columns, "
                f"{', '.join(columns)}; got {shortened(found)}"
            )
            raise StreamError(msg)
        return found

    return values
