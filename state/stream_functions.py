"""The functions of a stream's definition, and the search for the one that caused an error.

A user's function may raise any error. The search costs nothing until then: the traceback shows the
function and its event. If it does not, because the function is not written in Python or returned an
invalid value, each function of that event is called again.
"""

import inspect
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import PurePath
from reprlib import repr as shortened
from traceback import walk_tb
from types import CodeType, FrameType
from typing import Any, NamedTuple, Protocol, get_args, get_origin

from state.events import Event
from state.features import Counted, Custom, Feature, Hook, Labelled
from state.user_code import USER_CODE_ERRORS, words_of

_LABELS = frozenset({False, True})
_METHODS = ("observe", "values", "forget", "snapshot", "restore")


class StreamFunctionError(Exception):
    """A function of the stream raised an error or returned an invalid value; one line."""


class StreamParts(Protocol):
    """The parts of a `state.stream.Stream` that are needed here."""

    @property
    def label(self) -> Any:
        """The label rule."""

    @property
    def request(self) -> type[Event]:
        """The type of requests."""

    @property
    def events(self) -> tuple[type[Event], ...]:
        """All event types."""

    @property
    def features(self) -> tuple[Feature, ...]:
        """The features, in order."""

    @property
    def titles(self) -> tuple[str, ...]:
        """The features' names in messages."""


class StreamFunction(NamedTuple):
    """A function in a definition.

    Attributes:
        title: Place of the function, such as `label.value`.
        call: The function.
        over: Types of its argument; empty: it takes none.
        use: Called with its result; raises an error if that is invalid.
        needs_request: Whether it takes the request as a second argument.
    """

    title: str
    call: Callable[..., Any]
    over: tuple[Counted, ...]
    use: Callable[[Any], object]
    needs_request: bool = False


def functions_of(stream: StreamParts) -> Iterator[StreamFunction]:
    """All functions of a definition, except the methods of its hooks."""
    label = stream.label
    needs_request = callable(label.value) and label.needs_request
    yield StreamFunction(
        "label.value", label.value, (label.on,), _LABELS.__contains__, needs_request
    )
    yield StreamFunction("label.deadline", label.deadline, (stream.request,), int)
    for feature, title in zip(stream.features, stream.titles, strict=True):
        if isinstance(feature, Custom):
            yield StreamFunction(f"make of {title}", feature.make, (), id)
            continue
        over: Any = getattr(feature, "over", stream.request)
        events = tuple(over) if isinstance(over, Mapping) else (over,)
        yield from _functions_in(feature, title, events)


def _functions_in(declared: Any, title: str, over: tuple[Counted, ...]) -> Iterator[StreamFunction]:
    """The functions in the fields of a declaration, and in the declarations nested in it."""
    for field in fields(declared):
        value = getattr(declared, field.name)
        if isinstance(value, tuple):
            for part in filter(is_dataclass, value):
                name = getattr(part, "name", "")
                yield from _functions_in(part, f"{type(part).__name__}({name!r}) in {title}", over)
        elif callable(value) and not isinstance(value, type):
            use = partial(_number, is_text_taken=_is_text_taken(field.type))
            yield StreamFunction(f"{field.name} of {title}", value, over, use)


def _is_text_taken(declared: Any) -> bool:
    """Whether functions in a field of this type may return a text."""
    functions = [kind for kind in get_args(declared) if get_origin(kind) is Callable]
    return any(str in get_args(get_args(kind)[1]) for kind in functions)


def _number(value: Any, *, is_text_taken: bool = False) -> None:
    if not (is_text_taken and (value is None or isinstance(value, str))):
        struct.pack("d", value)


def misfit(function: StreamFunction) -> str:
    """Describe why a function cannot be called as it will be; empty: it can."""
    if not callable(function.call):
        return f"{function.title} must be a function; got {shortened(function.call)}"
    many = len(function.over[:1]) + function.needs_request
    try:
        inspect.signature(function.call).bind(*[None] * many)
    except TypeError as error:
        takes = ("no argument", "one argument", "two arguments")[many]
        return f"{function.title} must take {takes}; got a function with '{error}'"
    except ValueError:  # code not written in Python may lack a signature
        return ""
    return ""


def raise_blamed(
    stream: StreamParts, error: BaseException, where: str, hooks: Iterable[Hook] = ()
) -> None:
    """Raise a StreamFunctionError if a function of the stream caused an error.

    Args:
        stream: Stream whose functions ran.
        error: The error, with its traceback.
        where: Place of the record, for the message.
        hooks: The hooks that ran.

    Raises:
        StreamFunctionError: The message names function, event and record.
    """
    told = None if isinstance(error, StreamFunctionError) else _blamed(stream, error, where, hooks)
    if told is not None:
        raise told from error


def _blamed(
    stream: StreamParts, error: BaseException, where: str, hooks: Iterable[Hook]
) -> StreamFunctionError | None:
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    codes = _codes(stream)
    for place, frame in enumerate(frames):
        if frame.f_code in codes:
            title, (found, *_) = codes[frame.f_code], [*_events_in(stream, [frame]), None]
            event = found or next(_events_in(stream, frames[place::-1]), None)
            return _raised(title, error, _line_of(error, frame.f_code), event, where)
    seen = [*_events_in(stream, frames[::-1])]
    for event in seen:
        for function in (*functions_of(stream), *_values_of(stream, hooks)):
            others = [one for one in seen if type(one) is stream.request and one is not event]
            taken = (event, *others[: function.needs_request])
            known = type(event) in function.over and len(taken) == 1 + function.needs_request
            if known and (told := _wrong(function, taken, where)):
                return told
    return None


def _values_of(stream: StreamParts, hooks: Iterable[Hook]) -> Iterator[StreamFunction]:
    """The values of hooks for a request, one function per column."""
    for hook in hooks:
        for place, column in enumerate(hook.columns):
            values = partial(_value_at, hook, place)
            title = f"value {column!r} of hook {type(hook).__name__}"
            yield StreamFunction(title, values, (stream.request,), _number)


def _value_at(hook: Hook, place: int, request: Event) -> Any:
    return hook.values(request)[place]


def _codes(stream: StreamParts) -> dict[CodeType, str]:
    """The code object of each Python function, with its title."""
    found = {code: one.title for one in functions_of(stream) for code in _codes_of(one.call)}
    for event in stream.events:
        found |= dict.fromkeys(
            _codes_of(getattr(event, "__post_init__", None)), f"__post_init__ of {event.__name__}"
        )
    for feature in stream.features:
        if isinstance(feature, Custom):
            hook = type(feature.make())
            for name in _METHODS:
                codes = _codes_of(getattr(hook, name, None))
                found |= dict.fromkeys(codes, f"{name} of hook {hook.__name__}")
    return found


def _codes_of(call: Any) -> list[CodeType]:
    """The code objects that run first when a function or object is called."""
    while isinstance(call, partial):
        call = call.func
    called = (call, vars(type(call)).get("__call__"))
    codes = [getattr(one, "__code__", None) for one in called]
    return [code for code in codes if code is not None]


def _events_in(stream: StreamParts, frames: list[FrameType]) -> Iterator[Any]:
    """The events among the local variables of frames."""
    kinds = (*stream.events, Labelled)
    for frame in frames:
        yield from (value for value in frame.f_locals.values() if isinstance(value, kinds))


def _wrong(
    function: StreamFunction, taken: tuple[Any, ...], where: str
) -> StreamFunctionError | None:
    """Describe why a function's value for an event (and request) is invalid; None: it is valid."""
    event = taken[0]
    try:
        value = function.call(*taken)
    except USER_CODE_ERRORS as error:
        return _raised(function.title, error, "", event, where)
    try:
        function.use(value)
    except (struct.error, TypeError, ValueError, OverflowError):
        got = f"got {shortened(value)} for {_named(event)} {where}"
        hint = ": NaN says that a reading is missing" if value is None else ""
        msg = f"{function.title} must return {_wanted(function)}; {got}{hint}"
        return StreamFunctionError(msg)
    return None


def _wanted(function: StreamFunction) -> str:
    return "true or false" if function.title == "label.value" else "a number"


def _raised(
    title: str, error: BaseException, line: str, event: Any, where: str
) -> StreamFunctionError:
    cause = f"{type(error).__name__} {words_of(error)[:200]!r}"
    of = f" for {_named(event)}" if event is not None else ""
    return StreamFunctionError(f"{title} must not raise; got {cause}{line}{of} {where}")


def _line_of(error: BaseException, code: CodeType) -> str:
    """File and line of the user's code that raised the error."""
    numbers = [line for frame, line in walk_tb(error.__traceback__) if frame.f_code is code]
    return f" ({PurePath(code.co_filename).name} line {numbers[-1]})" if numbers else ""


def _named(event: Any) -> str:
    if isinstance(event, Labelled):
        return f"the label of {_named(event.request)}"
    assert isinstance(event, Event)
    return f"{type(event).__struct_config__.tag} {event.id!r}"
