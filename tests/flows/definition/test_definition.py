"""A definition as data: what changes it, and what does not."""

from dataclasses import replace

import msgspec
import pytest

from flows.definition.definition import change_between, definition_of
from state.events import Event
from state.features import Category, Count, Custom, Ewma, Field, Mean, Rolling
from tests.rides import Asked, Ended, Rain, Streak, stream


def changes(**given):
    """The reported change of a definition, as lists of declarations and functions."""
    before, now = definition_of(stream), definition_of(replace(stream, **given))
    change = change_between(before, now)
    return change.declared, change.functions


def test_the_same_definition_has_not_changed():
    assert changes() == ([], [])


def test_what_is_declared_is_named():
    assert changes(lateness="6m") == (["lateness changed"], [])
    delayed = replace(stream.label, delay="3h")
    assert changes(label=delayed) == (["label rule changed"], [])
    assert changes(features=(*stream.features, Field("driver")))[0] == [
        "feature Field(driver) added"
    ]
    assert changes(features=stream.features[1:], crosses=())[0] == [
        f"feature {stream.titles[0]} removed",
        *(["crosses changed"] if stream.crosses else []),
    ]
    swapped = (stream.features[1], stream.features[0], *stream.features[2:])
    assert changes(features=swapped) == (["order of features changed"], [])


def test_a_number_of_a_feature_is_part_of_it():
    one, other = (
        replace(stream, crosses=(), features=(Ewma("e", Rain, (), "wind", rate, 0.0, "1d"),))
        for rate in (0.1, 0.2)
    )
    change = change_between(definition_of(one), definition_of(other))
    assert change.declared == ["feature Ewma(e) changed"]


def test_the_source_of_a_function_is_part_of_it():
    label = replace(stream.label, value=lambda event: event.late > 6)
    assert changes(label=label) == ([], ["label.value"])


def test_comments_and_layout_of_a_function_are_not():
    label = replace(
        stream.label,
        value=lambda event: (
            event.late > 5  # minutes
        ),
    )
    assert changes(label=label) == ([], [])


LIMIT = 5


def late(event):
    """Whether the event is late."""
    return event.late > LIMIT


def test_what_a_function_uses_is_part_of_it(monkeypatch):
    of = replace(stream, label=replace(stream.label, value=lambda event: not late(event)))
    before = definition_of(of)
    assert change_between(before, definition_of(of)).functions == []
    monkeypatch.setitem(globals(), "LIMIT", 6)
    assert change_between(before, definition_of(of)).functions == ["label.value"]


def test_functions_on_one_line_are_told_apart():
    one, other = (lambda _: 1.0), (lambda _: 2.0)
    first, second = (
        replace(stream, crosses=(), features=(Rolling(Ended, (), ("1h",), (Mean("m", of),)),))
        for of in (one, other)
    )
    (source,) = [definition_of(first).functions[name] for name in definition_of(first).functions
                 if name.startswith("of of")]  # fmt: skip
    assert source == "lambda _: 1.0"
    changed = change_between(definition_of(first), definition_of(second)).functions
    assert changed == ["of of Mean('m') in Rolling(all_m_1h)"]


def test_the_source_of_a_hook_is_part_of_it():
    def hooked(make):
        return definition_of(replace(stream, crosses=(), features=(Custom(make),)))

    class Other(Streak):
        def forget(self, _):
            self.streaks.clear()

    name = f"make of {replace(stream, crosses=(), features=(Custom(Streak),)).titles[0]}"
    assert "since_ride" in hooked(Streak).functions[name]
    assert change_between(hooked(Streak), hooked(Other)).functions == [name]


def events_of(**kinds):
    """The stream with other event types in place of its own."""

    def declared(kind, fields):
        name = kind.__name__
        options = {"frozen": True, "kw_only": True, "tag": name.lower()}
        return msgspec.defstruct(name, fields, bases=(Event,), **options)

    return {name: declared(*given) for name, given in kinds.items()}


WIND = ("wind", float)
FELL = ("fell", float | None, None)


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ([WIND], [WIND, FELL], []),
        ([WIND, FELL], [WIND], ["field fell of event rain removed"]),
        ([WIND], [("wind", int)], ["field wind of event rain changed"]),
        ([WIND], [("wind", float, 0.0)], ["field wind of event rain changed"]),
        ([], [WIND], ["required field wind of event rain added"]),
        ([WIND], None, ["event rain removed"]),
        (None, [WIND], []),
    ],
)
def test_events_may_only_be_added_to(before, now, told):
    def of(fields):
        rain = [] if fields is None else [*events_of(Rain=(Rain, fields)).values()]
        features = (Category("city"), Rolling(Ended, ("city",), ("1h",), (Count(),)))
        events = (Asked, Ended, *rain)
        return definition_of(replace(stream, events=events, features=features, crosses=()))

    assert change_between(of(before), of(now)).declared == told


def test_what_has_no_source_never_changes():
    scope = {}
    exec("def value(event): return True", scope)
    label = replace(stream.label, value=scope["value"])
    text = definition_of(replace(stream, label=label)).functions["label.value"]
    assert text == "value: source unknown"
