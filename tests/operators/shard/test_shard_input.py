"""A record is one dead letter or takes part; a bad one changes no other record's answer."""

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from state.outputs.records import DeadLetter
from tests.operators.shard_runs import Run, feed, rides_shard
from tests.rides import HOUR_US, START_US, Asked, numbered, records

RECORDS = records(120)
NOW = RECORDS[60].append_time
GOOD = Asked(
    id="good", time=NOW, city="ber", driver=1, pickup=NOW, arrive=NOW + 1, price=1.5, car="van"
)


def but(**changes):
    """A good event as JSON but for some fields, written raw."""
    fields = msgspec.to_builtins(GOOD)
    text = {name: msgspec.json.encode(value) for name, value in fields.items()} | changes
    return b"{%s}" % b",".join(b'"%s":%s' % (n.encode(), v) for n, v in text.items() if v)


def moved(seconds, **changes):
    return but(time=b"%d" % (NOW + seconds * 10**6), **changes)


DIGITS = b"1" + b"0" * 400
DEEP = b"[" * 100_000
BAD = {
    "empty": (b"", "malformed"),
    "null bytes": (bytes(1000), "malformed"),
    "a null byte behind": (but() + b"\0", "malformed"),
    "a byte order mark": (b"\xef\xbb\xbf" + but(), "malformed"),
    "half an event": (but()[:70], "malformed"),
    "two events": (but() + but(id=b'"b"'), "malformed"),
    "no JSON": (b"id,time\ngood,5", "malformed"),
    "ten megabytes": (b"\xa7garbage" * 1_250_000, "invalid"),
    "ten megabytes of text": (but(car=b'"%s"' % (b"x" * 10**7), id=b'""'), "invalid"),
    "deep lists": (DEEP, "malformed"),
    "deep objects": (b'{"a":' * 100_000, "malformed"),
    "a deep field": (but(car=DEEP), "malformed"),
    "a deep extra field": (but(extra=DEEP), "malformed"),
    "a deep field before the type": (b'{"extra":' + DEEP, "malformed"),
    "closed deep lists": (b"[" * 5_000 + b"]" * 5_000, "malformed"),
    "a number": (b"5", "invalid"),
    "null": (b"null", "invalid"),
    "a list of events": (b"[" + but() + b"]", "invalid"),
    "NaN": (but(price=b"NaN"), "malformed"),
    "Infinity": (but(price=b"-Infinity"), "malformed"),
    "not UTF-8": (but(id=b'"\xff\xfe"'), "malformed"),
    "not UTF-8 in a name": (but()[:-1] + b',"\xff":1}', "malformed"),
    "half a surrogate pair": (but(id=rb'"\ud800"'), "malformed"),
    "the other half": (but(id=rb'"\udc00"'), "malformed"),
    "a surrogate as bytes": (but(id=b'"\xed\xa0\x80"'), "malformed"),
    "another type": (but(type=b'"teleported"'), "unknown_type"),
    "a type in capitals": (but(type=b'"ASKED"'), "unknown_type"),
    "an empty type": (but(type=b'""'), "unknown_type"),
    "no type": (but(type=b""), "unknown_type"),
    "a type that is a number": (but(type=b"7"), "invalid"),
    "no id": (but(id=b""), "invalid"),
    "an empty id": (but(id=b'""'), "invalid"),
    "an endless id": (but(id=b'"%s"' % (b"i" * 201)), "invalid"),
    "a null id": (but(id=b"null"), "invalid"),
    "no time": (but(time=b""), "invalid"),
    "a time in seconds as a float": (but(time=b"1711828800.5"), "invalid"),
    "a time as text": (but(time=b'"2024-03-30"'), "invalid"),
    "a time before 1970": (but(time=b"-1"), "invalid"),
    "a time in nanoseconds": (but(time=b"%d000" % NOW), "invalid"),
    "an endless time": (but(time=DIGITS), "invalid"),
    "a missing field": (but(driver=b""), "invalid"),
    "an extra field": (but(colour=b'"red"'), "invalid"),
    "a field below its range": (but(price=b"-0.01"), "invalid"),
    "a field above its range": (but(price=b"1000001"), "invalid"),
    "a float beyond all": (but(price=b"1e400"), "invalid"),
    "an endless number": (but(price=DIGITS), "invalid"),
    "an endless whole number": (but(driver=DIGITS), "invalid"),
    "a very endless number": (but(driver=b"1" * 100_000), "invalid"),
    "a true number": (but(driver=b"true"), "invalid"),
    "too far ahead": (but(pickup=b"%d" % (NOW + 31 * 60 * 10**6)), "invalid"),
    "a deadline too far off": (but(arrive=b"%d" % (NOW + 3 * HOUR_US)), "invalid"),
    "a time in milliseconds": (but(time=b"%d" % (NOW // 1000)), "invalid"),
    "three hours ahead": (moved(10_800, pickup=b"%d" % NOW, source=b'"odd"'), "clock_skew"),
    "three hours late": (moved(-10_800, pickup=b"1", arrive=b"1"), "late"),
    "a time in seconds": (but(time=b"%d" % (NOW // 10**6), pickup=b"1", arrive=b"1"), "late"),
    "seen before": (RECORDS[50].value, "duplicate"),
    "a pending request again": (RECORDS[58].value, "duplicate"),
}


def scored(run):
    """Predictions and outcomes without what counts bad records too: the offset, and its hash."""
    both = run.values("predictions"), run.values("outcomes")
    without = {"offset": None, "chain": None}
    return [[msgspec.json.decode(value) | without for value in values] for values in both]


def letters(run):
    return [msgspec.json.decode(v, type=DeadLetter) for v in run.values("dead_letters")]


def with_bad(bad):
    """The good records with (place, value) pairs among them, and where those came to lie."""
    entries = [record[1:] for record in RECORDS]
    for place, value in sorted(bad, key=lambda pair: pair[0], reverse=True):
        entries.insert(place, (entries[place][0], b"", value))
    return numbered(entries)


@pytest.fixture(scope="module")
def clean():
    run = feed(Run(rides_shard()), RECORDS)
    return scored(run), len(letters(run))


@pytest.mark.parametrize("name", BAD)
def test_one_bad_record_is_one_dead_letter_and_touches_nothing_else(clean, name):
    value, reason = BAD[name]
    run = feed(Run(rides_shard()), with_bad([(60, value)]))
    (letter,) = [letter for letter in letters(run) if letter.offset == 60]
    assert (letter.reason, letter.partition) == (reason, 0)
    assert (letter.size, letter.raw) == (len(value), value[: 64 * 1024])
    assert letter.detail
    assert len(letter.detail) <= 500
    assert len(letters(run)) == clean[1] + 1
    assert run.shard._counts.dead_letters[reason] >= 1
    assert scored(run) == clean[0]


def test_the_good_event_of_these_tests_is_good(clean):
    run = feed(Run(rides_shard()), with_bad([(60, but())]))
    assert len(letters(run)) == clean[1]
    assert len(scored(run)[0]) == len(clean[0][0]) + 1


never_an_event = st.binary(max_size=300) | st.text(max_size=100).map(str.encode)
bad = st.sampled_from([value for value, _ in BAD.values() if len(value) < 10**6])


@given(
    st.lists(
        st.tuples(st.integers(55, len(RECORDS) - 1), never_an_event | bad), min_size=1, max_size=30
    )
)
@settings(deadline=None, max_examples=60)
def test_any_number_of_bad_records_is_as_many_dead_letters(clean, mixed):
    # A record that is late, ahead or a duplicate at offset 60 need not be so elsewhere.
    timed = {BAD[name][0] for name in ("three hours late", "three hours ahead", "seen before",
                                       "a pending request again", "a time in seconds")}  # fmt: skip
    mixed = [(place, value) for place, value in mixed if value not in timed]
    assume(mixed)
    run = feed(Run(rides_shard()), with_bad(mixed))
    assert len(letters(run)) == clean[1] + len(mixed)
    assert scored(run) == clean[0]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    ),
    st.sampled_from(["id", "time", "city", "driver", "pickup", "arrive", "price", "source"]),
)
@settings(deadline=None, max_examples=60)
def test_any_value_in_any_field_is_taken_or_put_aside(value, name):  # fmt: skip
    record = RECORDS[60]._replace(offset=0, value=but(**{name: msgspec.json.encode(value)}))
    run = feed(Run(rides_shard()), [record])
    assert len(run.values("dead_letters")) + len(run.values("predictions")) == 1


@pytest.mark.parametrize("deeper", [0, 300, 600])
@pytest.mark.parametrize("depth", [150, 500, 900, 5_000])
def test_deep_nesting_gives_the_same_bytes_however_deep_the_caller_is(depth, deeper):
    def down(levels):
        return down(levels - 1) if levels else feed(Run(rides_shard()), numbered(deep))

    deep = [(START_US, b"", b'{"a":' + b"[" * depth + end) for end in (b"", b"]" * depth + b"}")]
    assert down(deeper).values("dead_letters") == down(0).values("dead_letters")


def test_a_deadline_passed_by_a_bad_record_is_not_fired(clean):
    ahead = but(time=b"%d" % (NOW + 5 * HOUR_US), pickup=b"1", arrive=b"1", id=b'"x"')
    run = feed(Run(rides_shard()), with_bad([(60, ahead)])[:61])
    assert run.values("outcomes") == feed(Run(rides_shard()), RECORDS[:60]).values("outcomes")


def test_odd_letters_travel_through_to_the_outcome():
    odd = but(id=rb'"\u0000\"\\ \ud83d\ude00"', car=b'"\xe2\x80\xa8"', arrive=b"%d" % NOW)
    end = numbered([(NOW, b"\xff", odd)] + [(r.append_time, b"", r.value) for r in RECORDS[60:]])
    run = feed(Run(rides_shard()), end)
    outcome = next(o for o in scored(run)[1] if o["offset"] is None and "\0" in o["id"])
    assert (outcome["id"], outcome["car"], outcome["key"]) == ('\0"\\ 😀', "\u2028", r"\xff")
