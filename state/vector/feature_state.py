"""The feature vector: a stream's declarations, compiled once to closures and kernels.

Observing an event changes state; reading never does. A forgotten key reads like a new one.
"""

import msgspec

from state.events import Event
from state.features import Counted, Feature, Hook, Labelled
from state.restored import check
from state.stream import Stream
from state.user_code import USER_CODE_ERRORS, words_of
from state.vector.arena import Arena, Directory
from state.vector.levels import Levels
from state.vector.observer import Observe, StepTable, observer
from state.vector.reader import BlockTable, ComputedColumn, DirectColumns, Number, Read, reader


class FeatureState:
    """All feature state of one shard.

    Args:
        stream: Stream that declares the features.

    Attributes:
        levels: Levels of each categorical column, by column number.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._arena = Arena()
        self._directories: dict[tuple[str, ...], Directory] = {}
        self._hooks: list[tuple[Hook, int]] = []
        self._steps: list[StepTable] = []
        self._blocks: list[BlockTable] = []
        self._given: list[DirectColumns] = []
        self._follows: list[ComputedColumn] = []
        self._fixed: dict[int, tuple[str, ...]] = {}
        self.levels: dict[int, Levels] = {
            i: Levels() for i, column in enumerate(stream.columns) if column.categorical
        }
        place = 0
        for feature in stream.features:
            place += self._declare(feature, place)
        self._observers = {over: self._observer(over) for over in (*stream.events, Labelled)}
        self.read = self._reader(lambda levels: levels.number)

    @property
    def hooks(self) -> list[Hook]:
        """The user's own features."""
        return [hook for hook, _ in self._hooks]

    def observe(self, event: Event | Labelled) -> None:
        """Update every feature that counts an accepted event or a label."""
        self._observers[type(event)](event)

    def reader(self, unseen: list[tuple[Levels, str]]) -> Read:
        """Make a `read` that changes no state, not even the levels; make one for each thread.

        A new level reads as the number that `read` would give it.

        Args:
            unseen: List to which new levels are appended, by name; the caller empties it.
        """
        return self._reader(lambda levels: levels.peeking(unseen))

    def forget(self, now: int) -> None:
        """Free what no feature can read any more at event time `now` (µs)."""
        self._arena.forget(now)
        for hook, age in self._hooks:
            hook.forget(now - age)

    @property
    def turn_us(self) -> int:
        """Interval at which `forget_in_turn` must be called (µs of event time)."""
        return self._arena.turn_us

    def forget_in_turn(self, since: int, until: int, now: int) -> None:
        """Free unreadable state of features with many keys, short-lived keys more often.

        No feature value depends on the time of this call.

        Args:
            since: Event time (µs) of the previous call.
            until: Event time (µs) of this call.
            now: See `forget`.
        """
        self._arena.forget_in_turn(since, until, now)

    @property
    def layout(self) -> str:
        """Description of `snapshot`'s layout; a snapshot with another layout cannot be restored.

        The code of the user's functions is not part of it.
        """
        return repr([
            (b.kind, b.by, b.sizes, b.forget_us, b.read, b.stats, [dict(s.fixed) for s in b.steps])
            for b, _ in self._blocks
        ])  # fmt: skip

    def snapshot(self) -> bytes:
        """Encode the whole state."""
        return msgspec.msgpack.encode(
            (
                self._arena.snapshot(),
                [levels.names for levels in self.levels.values()],
                [hook.snapshot() for hook, _ in self._hooks],
            )
        )

    def restore(self, state: bytes) -> None:
        """Restore a `snapshot` of the same stream.

        Raises:
            ValueError: A part is invalid for the kernels, or a hook refuses its state.
            msgspec.DecodeError: The bytes have another form.
        """
        arena, names, hooks = msgspec.msgpack.decode(
            state, type=tuple[bytes, list[list[str]], list[bytes]]
        )
        self._arena.restore(arena)
        for block, table in self._blocks:
            if block.check is not None:
                block.check(self._arena.pool, table.addresses())
        for (place, levels), known in zip(self.levels.items(), names, strict=True):
            levels.restore(known)
            fixed = self._fixed.get(place, tuple(known))
            check(fixed == tuple(known), f"levels of column {place} must be {fixed}", known)
        for (hook, _), part in zip(self._hooks, hooks, strict=True):
            try:
                hook.restore(part)
            except USER_CODE_ERRORS as error:
                got = f"{type(error).__name__} {words_of(error)!r}"
                msg = f"hook {type(hook).__name__} must take its state; got {got}"
                raise ValueError(msg) from error

    def _declare(self, feature: Feature, place: int) -> int:
        """Add a feature whose first column is `place`, and return its number of columns."""
        columns = feature.columns
        made = feature.compiled(self._stream.scope(place))
        levels = tuple(self.levels.get(place + i) for i in range(len(columns)))
        if made.given is not None:
            self._given.append(DirectColumns(place, made.given, levels))
        if made.all_given is not None:
            self._given.append(DirectColumns(place, made.all_given, levels, several=True))
        for block in made.blocks:
            table = self._arena.table(block.sizes, block.forget_us, self._directory(block.by))
            self._blocks.append(BlockTable(block, table))
            self._steps += [StepTable(step, table) for step in block.steps]
        how = made.cut or made.derived
        if how is not None:
            self._follows.append(ComputedColumn(place, how))
        if made.hook is not None:
            self._hooks.append(made.hook)
        if feature.levels:
            self.levels[place].restore(list(feature.levels))
            self._fixed[place] = feature.levels
        return len(columns)

    def _directory(self, by: tuple[str, ...]) -> Directory:
        if by not in self._directories:
            self._directories[by] = self._arena.directory()
        return self._directories[by]

    def _observer(self, over: Counted) -> Observe:
        steps = [one for one in self._steps if one.step.over is over]
        hooks = [hook.observe for hook, _ in self._hooks if over in hook.observes]
        return observer(self._arena, steps, hooks)

    def _reader(self, number: Number) -> Read:
        return reader(self._arena, self._blocks, self._given, self._follows, number)
