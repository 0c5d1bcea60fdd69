"""No value can be set that could not be kept, shown, read back and meant, at any key."""

import math
import tomllib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

from state.durations import MOST, Duration
from state.log import LogError
from state.settings import (
    Decision,
    Settings,
    Training,
    changed,
    deciding,
    nested,
    recorded,
    settings_from,
)

UNITS = {"ms": 1e3, "s": 1e6, "m": 6e7, "h": 3.6e9, "d": 8.64e10}
RIVER = {"class": "tree.HoeffdingTreeClassifier", "deep": [{"x": 1.0}]}
TOPIC = {"topic": "t", "event": "e", "when": {"x": 1.0}, "fields": {"a": 1.0}}
FULL = {
    "partitions": 2,
    "online": {"river": RIVER},
    "alerts": {"auc": {"below": 0.7}, "log_loss": {"above": 0.9, "window": "7d"}},
    "scoring": {"staleness": "1s"},
    "kafka": {
        "retention": {"metrics": "30d"},
        "options": {"a": 1, "b": 1.0, "c": "x"},
        "schema_registry": "http://registry:8081",
        "schema_registry_options": {"a": 1.0},
    },
    "ingest": {"topics": [TOPIC], "options": {"a": 1.0}},
}
"""A value for each key that has none by default, and for each that holds others."""


def leaves(value, path=()):
    """Every place of a document that holds a value."""
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in parts:
        if isinstance(part, dict | list):
            yield from leaves(part, (*path, key))
        else:
            yield (*path, key), part


def document():
    """All settings as TOML has them, with a value at each key."""
    return msgspec.json.decode(msgspec.json.encode(settings_from(FULL), enc_hook=str))


def put(found, path, value):
    *path, last = path
    for key in path:
        found = found[key]
    found[last] = value


LEAVES = dict(leaves(document()))
NUMBERS = [path for path, value in LEAVES.items() if isinstance(value, int | float)]
TEXTS = [path for path, value in LEAVES.items() if isinstance(value, str)]


def test_the_document_of_these_tests_has_every_key():
    def keys(kind, path=()):
        for field in inspect.type_info(kind).fields:
            if isinstance(field.type, inspect.StructType):
                yield from keys(field.type.cls, (*path, field.encode_name))
            else:
                yield (*path, field.encode_name)

    missing = [key for key in keys(Settings) if not any(leaf[: len(key)] == key for leaf in LEAVES)]
    assert missing == []
    assert settings_from(document()) == settings_from(FULL)


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, 2**63, -(2**63) - 1, 2**64, 1e308]
)
@pytest.mark.parametrize("path", NUMBERS, ids=lambda path: ".".join(map(str, path)))
def test_no_number_can_be_beyond_what_it_means(path, value):
    free = {"river", "options", "schema_registry_options", "when", "fields"}
    if value == 1e308 and free & set(path):
        return  # whoever made it says what it means: a finite number is all that is known here
    given = document()
    put(given, path, value)
    with pytest.raises(ValueError, match=r"must|Expected|out of range"):
        settings_from(given)


@pytest.mark.parametrize("value", ["a\x00b", "\x1b[2J", "a\nb", "\u202eb", "\x9b31m", "x" * 10**6])
@pytest.mark.parametrize("path", TEXTS, ids=lambda path: ".".join(map(str, path)))
def test_no_text_has_control_characters_or_fills_the_memory(path, value):
    given = document()
    put(given, path, value)
    if value == "a\nb" and path[:2] in {
        ("kafka", "options"),
        ("ingest", "options"),
        ("ingest", "topics"),
    }:
        return  # a certificate has lines
    with pytest.raises(ValueError, match=r"text must|Expected|must be"):
        settings_from(given)


@pytest.mark.parametrize(
    "wrong",
    [
        {"a\x1bb": 1},
        {"online": {"river": {"x": {"y\x00": 1}}}},
        {"online": {"river": {"x": tomllib.loads("d = 2020-01-01")["d"]}}},
        {"h2o": {"memory": "2 g"}},
        {"h2o": {"memory": "-1g"}},
        {"h2o": {"memory": "2g -XX:OnOutOfMemoryError=reboot"}},
        {"h2o": {"url": "file:///etc"}},
        {"h2o": {"url": "http://10.0.0.5"}},
        {"h2o": {"url": "http://10.0.0.5:abc"}},
        {"h2o": {"url": "http://10.0.0.5:65536"}},
        {"h2o": {"url": "http://10.0.0.5:54321?a=b"}},
        {"h2o": {"url": "http://[::1"}},
        {"h2o": {"url": "http://me:hidden@10.0.0.5:54321"}},
        {"h2o": {"url": "http://" + "a" * 64 + ":54321"}},
        {"h2o": {"url": "http://\u0663.0.0.1:54321"}},
        {"artifacts": "http://[::1"},
        {"kafka": {"prefix": "a/b"}},
        {"kafka": {"patience": "2d"}},
        {"serve": {"timeout": "25h"}},
        {"serve": {"drain": "25h"}},
        {"training": {"every": "9999999999d"}},
        {"training": {"every": "50001d"}},
        {"training": {"every": "9" * 10_000 + "d"}},
        tomllib.loads("a" + ".a" * 5_000 + " = 1"),
        tomllib.loads("online.river.a" + ".a" * 5_000 + " = 1"),
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_what_has_no_meaning_is_refused_in_a_line(wrong):
    with pytest.raises(ValueError, match=r"must|Expected") as refused:
        settings_from(wrong)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:54321",
        "https://h2o.example.com:443/a/b-c/",
        "http://h2o_1:1",
        "http://10.0.0.5:65535/",
    ],
)
def test_an_address_that_h2os_client_takes_is_taken(url):
    assert settings_from({"h2o": {"url": url}}).h2o.url == url


def test_settings_with_a_value_at_every_key_can_be_changed():
    full = settings_from(FULL)
    assert changed(full, {}) == full
    assert changed(full, {"decision": {"threshold": 0.5}}).ingest == full.ingest


def test_a_certificate_may_have_lines():
    options = {"ssl.ca.pem": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"}
    assert settings_from({"kafka": {"options": options}}).kafka.options == options


@given(st.integers(0, MOST))
def test_a_duration_is_shown_as_what_parses_to_it(us):
    assert Duration.parse(str(Duration(us))) == us


@given(
    st.from_regex(r"[0-9]{1,9}(\.[0-9]{1,9})?", fullmatch=True),
    st.sampled_from(["ms", "s", "m", "h", "d"]),
)
def test_what_parses_is_shown_as_what_parses_to_the_same(number, unit):
    try:
        duration = Duration.parse(number + unit)
    except ValueError:
        assert float(number) > 50_000
        return
    assert duration <= MOST
    assert Duration.parse(str(duration)) == duration
    assert abs(duration - float(number) * UNITS[unit]) <= 1


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "training.every": st.integers(1, MOST),
            "clock.tolerance": st.integers(1, MOST),
            "metrics.every": st.integers(1, MOST),
            "decision.threshold": st.floats(0.001, 0.999),
            "training.margin": st.floats(-50, 50),
            "training.seed": st.integers(0, 2**63 - 1),
            "online.river": st.dictionaries(
                st.sampled_from(["a", "b"]),
                st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-9, 9)),
            ),
        },
    )
)
def test_what_a_journal_says_of_settings_is_those_settings(values):
    durations = {"training.every", "clock.tolerance", "metrics.every"}
    texts = {k: str(Duration(v)) if k in durations else v for k, v in values.items()}
    settings = settings_from(nested(texts))
    written = msgspec.json.decode(msgspec.json.encode(deciding(settings)))
    assert recorded(Settings(), written) == settings


@pytest.mark.parametrize(
    "settings",
    [Settings(training=Training(margin=math.nan)), Settings(decision=Decision(threshold=math.inf))],
)
def test_settings_made_without_a_file_are_not_journaled_before_they_are_checked(settings):
    with pytest.raises(ValueError, match="Expected `float`, got `null`"):
        deciding(settings)


def test_settings_that_there_are_no_more_mean_nothing_in_a_journal():
    old = {
        "online.rate": 0.08, "online.river": None, "residual.rate": None, "ensemble.rate": "x",
        "ensemble.models": ["online"], "training.seed": 7,
    }  # fmt: skip
    assert recorded(Settings(), old) == settings_from({"training": {"seed": 7}})


def test_one_river_classifier_is_a_list_of_one():
    tree = {"class": "tree.HoeffdingTreeClassifier"}
    one = settings_from({"online": {"river": tree}})
    assert one == settings_from({"online": {"river": [tree]}})
    assert one.online.river == (tree,)
    assert recorded(Settings(), {"online.river": tree}) == one
    assert deciding(one)["online.river"] == [tree]


def test_what_an_older_version_journaled_and_means_the_same_as_a_bound_goes_on():
    old = {"training.window": "60000d", "training.every": "1200000h", "training.margin": 1e9}
    found = recorded(Settings(), old | {"training.models": 5000}).training
    assert (found.window, found.every, found.margin, found.models) == (MOST, MOST, 50.0, 1000)


@pytest.mark.parametrize(
    "old",
    [{"training.margin": None}, {"decision.threshold": None}, {"training.every": "8.64e+14s"}],
)
def test_what_an_older_version_journaled_and_nobody_can_use_is_told_in_a_line(old):
    with pytest.raises(LogError, match=r"settings in the journal must be usable; got .*--repair"):
        recorded(Settings(), old)
