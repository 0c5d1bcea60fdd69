"""`headwater stream` tries a definition on files, and leaves nothing behind."""

import json
import sys

import pytest

from flows.__main__ import main
from flows.home.home import Home
from state.log import Entry

START_US = 1_700_000_000_000_000
MINUTE_US = 60_000_000
DEFINITION = """
from state.events import MINUTE_US, Event
from state.features import Category, Count, Field, Rolling
from state.stream import Label, Stream


class Offered(Event, frozen=True, kw_only=True):
    shop: str
    price: float


class Sold(Event, frozen=True, kw_only=True):
    of: str


class Moved(Event, frozen=True, kw_only=True):
    shop: str


stream = Stream(
    name="offers",
    events=(Offered, Sold, Moved),
    request=Offered,
    label=Label(
        on=Sold,
        of="of",
        value=lambda sold: {value},
        deadline=lambda offered: offered.time + 10 * MINUTE_US,
        silence=False,
        delay="10m",
    ),
    features=(
        Category("shop"),
        Field("price"),
        Rolling(over=Offered, by=("shop",), windows=("1h",), stats=(Count("offered"),)),
    ),
)
"""


def offered(number, **changes):
    time = START_US + number * MINUTE_US
    shop = "east" if number % 2 else "west"
    event = {"type": "offered", "id": f"o{number}", "time": time, "shop": shop, "price": number / 4}
    return event | changes


def sold(number, after_s=30):
    time = START_US + number * MINUTE_US + after_s * 1_000_000
    return {"type": "sold", "id": f"s{number}", "time": time, "of": f"o{number}"}


def taken(*events):
    return "\n".join(json.dumps(event) for event in events)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADWATER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HEADWATER_CONFIG", raising=False)
    monkeypatch.delitem(sys.modules, "offers", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path)
    settings = 'stream = "offers:stream"\n[training]\nevery = "1h"\nmin_rows = 40\n'
    (tmp_path / "headwater.toml").write_text(settings)
    return tmp_path


def write(folder, value="True"):
    (folder / "offers.py").write_text(DEFINITION.replace("{value}", value))


def said(capsys, *argv, code=0):
    try:
        ended = main(["stream", *argv])
    except SystemExit as end:
        ended = end.code
    out, err = capsys.readouterr()
    assert ended == code, err
    return err if code else out


def line(text, heading):
    return next(one for one in text.splitlines() if one.startswith(heading))


def test_without_files_it_tells_the_definition(folder, capsys):
    out = said(capsys)
    assert line(out, "stream") == "stream        offers: event types offered, sold, moved"
    assert line(out, "label") == "label         by sold; by silence 0"
    assert line(out, "features") == "features      3 in 3 columns"
    assert line(out, "memory").startswith("memory        each key of shop: 0.")


def test_it_counts_events_labels_and_dead_letters(folder, capsys):
    events = [offered(n) for n in range(60)] + [offered(75)]
    events += [sold(n) for n in range(0, 60, 4)]
    events.sort(key=lambda event: event["time"])
    bad = {"type": "offered", "id": "x", "time": START_US, "shop": "west"}
    (folder / "events.jsonl").write_text("no event\n" + taken(bad, *events))
    out = said(capsys, "events.jsonl")
    assert line(out, "events").startswith("events        61 offered, 15 sold; 2023-11-14 22:13 to")
    assert "              none of type moved\n" in out
    assert line(out, "dead letters") == "dead letters  2"
    assert "1 invalid: Object missing required field `price`" in out
    assert line(out, "requests") == "requests      61, of which 1 without a label at the end"
    assert line(out, "labels") == "labels        60, 25.00% of them 1; 75.00% by silence"
    assert not (folder / "home").exists()


def test_labels_that_meet_no_request_raise_the_alert_of_a_run(folder, capsys):
    events = [offered(n) for n in range(400)]
    events += [sold(n) | {"of": f"x{n}"} for n in range(0, 400, 2)]
    events.sort(key=lambda event: event["time"])
    (folder / "events.jsonl").write_text(taken(*events))
    assert line(said(capsys, "events.jsonl"), "alert").startswith(
        "alert         labels_by_silence: "
    )


def test_it_counts_the_fits_that_have_rows_enough(folder, capsys):
    # The first comes at 22:13:20. Boundaries are 7.5 minutes apart at first, from half an hour on
    # 15 and from an hour on 30: 22:15, :22:30, :30, :37:30, :45, 23:00, 23:30 and 00:00.
    (folder / "events.jsonl").write_text(taken(*(offered(n) for n in range(120))))
    assert line(said(capsys, "events.jsonl"), "fits").startswith(
        "fits          2 at 8 boundaries, in the end one each 1h, on up to 97 rows; about "
    )


def test_the_first_values_stand_in_a_table_that_lines_up(folder, capsys):
    events = [offered(0, price=1234.5), offered(2, shop="a shop with a long name"), offered(4)]
    (folder / "events.jsonl").write_text(taken(*events, {"type": "moved"}))
    *_, heads, shop, price, count = said(capsys, "events.jsonl", "--requests", "2").splitlines()
    assert heads == "values of            o0                    o2"
    assert shop == "shop               west  a shop with a long …"
    assert price == "price            1234.5                   0.5"
    assert count == "shop_offered_1h       0                     0"


def test_a_stream_can_be_named_before_the_files(folder, capsys):
    (folder / "headwater.toml").unlink()
    (folder / "events.jsonl").write_text(taken(offered(0)))
    assert "events        1 offered;" in said(capsys, "offers:stream", "events.jsonl")


def test_a_function_that_raises_is_told_with_its_event(folder, capsys):
    write(folder, value="sold.off")
    (folder / "events.jsonl").write_text(taken(offered(0), sold(0)))
    assert said(capsys, "events.jsonl", code=2) == (
        "headwater: label.value must not raise; got AttributeError \"'Sold' object has no "
        "attribute 'off'\" (offers.py line 27) for sold 's0' in events/0 at offset 1\n"
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nothing.jsonl",), "FILE must be a file that is there; got nothing.jsonl"),
        (("nowhere:stream",), "stream must be importable; got 'nowhere:stream': No module"),
        (("--requests", "0"), "argument --requests: must be a whole number from 1; got '0'"),
    ],
)
def test_a_mistake_is_one_line(folder, capsys, words, told):
    err = said(capsys, *words, code=2)
    assert err.startswith(f"headwater: {told}")
    assert err.count("\n") == 1


def test_the_schemas_are_one_json_object(folder, capsys):
    found = json.loads(said(capsys, "--schema"))
    assert found["schemas"].keys() == found["asyncapi"]["channels"].keys()
    assert found["schemas"]["events"]["$defs"].keys() == {"Offered", "Sold", "Moved"}
    assert found["asyncapi"]["info"]["title"] == "Headwater: offers"
    assert said(capsys, "--schema", "offers.py", code=2).startswith("headwater: --schema must go")


def test_labels_that_would_go_to_another_partition_are_told_by_every_verb(folder, capsys):
    (folder / "offers.py").write_text(
        DEFINITION.replace("{value}", "True")
        .replace("    of: str", "    of: str\n    shop: str")
        .replace('name="offers",', 'name="offers",\n    key="shop",\n    partitions=4,')
    )
    asked = [offered(n) for n in range(40)]
    told = [sold(n) | {"shop": "south" if n % 8 == 0 else "west"} for n in range(0, 40, 2)]
    (folder / "asked.jsonl").write_text(taken(*asked))
    (folder / "told.jsonl").write_text(taken(*told))
    warning = (
        "5 of 20 Sold events go to another partition than their request and would label nothing: "
        "Sold 's0' with shop 'south' goes to partition"
    )
    out = said(capsys, "asked.jsonl", "told.jsonl")
    assert line(out, "astray").removeprefix("astray").strip().startswith(warning)
    assert main(["ingest", "told.jsonl", "asked.jsonl"]) == 0
    assert capsys.readouterr().err.startswith(warning)
    assert main(["doctor", "--no-h2o"]) == 0
    (found,) = [one for one in capsys.readouterr().out.splitlines() if "label routing" in one]
    assert found.startswith("warning")
    assert warning in found


def test_tables_without_types_are_told_apart_by_their_columns(folder, capsys):
    for name, events in {
        "asked.csv": [offered(n, note="x") for n in range(20)],
        "told.csv": [sold(n) for n in range(0, 20, 2)],
    }.items():
        columns = [column for column in events[0] if column != "type"]
        rows = [columns, *([str(event[column]) for column in columns] for event in events)]
        (folder / name).write_text("\n".join(map(",".join, rows)))
    out = said(capsys, "asked.csv", "told.csv")
    assert "20 offered, 10 sold" in line(out, "events")
    assert "asked.csv: skipped columns that no event has: note" in out
    assert "told.csv: rows are 'sold' by their columns" in out
    assert main(["ingest", "asked.csv", "told.csv"]) == 0
    said_once = capsys.readouterr().out
    assert "asked.csv: rows are 'offered' by their columns\n" in said_once
    assert "told.csv: rows are 'sold' by their columns\n" in said_once


def test_columns_get_other_names_by_an_option_of_both_verbs(folder, capsys):
    rows = ["number,made at,shop,price"] + [f"o{n},{START_US + n},east,{n}" for n in range(9)]
    (folder / "asked.csv").write_text("\n".join(rows))
    names = ["--rename", "number=id", "--rename", "made at=time"]
    assert "9 offered" in line(said(capsys, *names, "asked.csv"), "events")
    assert main(["ingest", *names, "asked.csv"]) == 0
    assert "asked.csv: 9 records" in capsys.readouterr().out
    assert "--rename OLD=NEW gives columns other names" in said(capsys, "asked.csv", code=2)


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        (["number"], "must be OLD=NEW; got 'number'"),
        (["=id"], "must be OLD=NEW; got '=id'"),
        (["a=number"], "--rename must lead to a field of an event, one of id, of, price, shop"),
        (["a=id", "a=time"], "--rename must give each column one name"),
    ],
)
def test_a_wrong_name_is_refused(folder, capsys, names, wrong):
    (folder / "asked.csv").write_text("id,time\n")
    options = [word for name in names for word in ("--rename", name)]
    assert wrong in said(capsys, *options, "asked.csv", code=2)


def labelled(folder, change):
    """400 offers, those of even number sold: the label."""
    events = [change(n, offered(n)) for n in range(400)] + [sold(n) for n in range(0, 400, 2)]
    events.sort(key=lambda event: event["time"])
    (folder / "events.jsonl").write_text(taken(*events))


def shop_of_no_meaning(number, event):
    return event | {"shop": f"s{number % 7}"}


@pytest.mark.parametrize(
    ("change", "column"),
    [
        (lambda n, event: event | {"shop": "sold" if n % 2 == 0 else f"s{n % 3}"}, "shop"),
        (lambda n, event: shop_of_no_meaning(n, event) | {"price": n % 2 + n / 1e4}, "price"),
        (lambda n, event: shop_of_no_meaning(n, event) | {"price": -(n % 2)}, "price"),
    ],
)
def test_a_field_that_is_known_only_with_the_label_is_told(folder, capsys, change, column):
    labelled(folder, change)
    told = line(said(capsys, "events.jsonl"), "leak?")
    assert told.startswith(f"leak?         {column} alone tells the label (AUC 1.0000): ")


def test_a_field_that_is_filled_only_with_the_label_is_told(folder, capsys):
    definition = (folder / "offers.py").read_text().replace("price: float", "price: float | None")
    (folder / "offers.py").write_text(definition)
    labelled(
        folder,
        lambda n, event: shop_of_no_meaning(n, event) | {"price": n / 4 if n % 2 else None},
    )
    assert "price alone tells the label (AUC 1.0000)" in said(capsys, "events.jsonl")


def test_honest_fields_are_no_leak(folder, capsys):
    # Each shop's name comes once: the label of its row says nothing on the next.
    labelled(folder, lambda n, event: event | {"shop": f"s{n}", "price": (n * 7919) % 401})
    assert "leak?" not in said(capsys, "events.jsonl")


@pytest.mark.parametrize(
    ("silence", "value", "advice"),
    [
        ("None", "True", "if a request without a Sold means 0, silence=False says so"),
        ("False", "False", "where all are 0: does Label.value tell them apart?"),
    ],
)
def test_labels_that_are_all_the_same_are_told(folder, capsys, silence, value, advice):
    definition = DEFINITION.replace("{value}", value).replace("silence=False", f"silence={silence}")
    (folder / "offers.py").write_text(definition)
    labelled(folder, lambda _, event: event)
    assert advice in said(capsys, "events.jsonl")


def test_doctor_finds_a_label_by_key_that_another_program_wrote_elsewhere(folder, capsys):
    (folder / "offers.py").write_text(
        DEFINITION.replace("{value}", "True")
        .replace("    of: str", "    shop: str")
        .replace('of="of"', 'by=("shop",)')
        .replace('name="offers",', 'name="offers",\n    key="shop",\n    partitions=4,')
    )
    label = {"type": "sold", "id": "s1", "time": START_US + MINUTE_US, "shop": "west"}
    (folder / "events.jsonl").write_text(taken(offered(0), label))
    assert main(["ingest", "events.jsonl"]) == 0
    log = Home(folder / "home").log()
    (home_of,) = [n for n in range(4) if log.end("events", n)]
    said_to_be = []
    for partition in (home_of, (home_of + 1) % 4):
        value = taken(label | {"id": f"direct-{partition}"}).encode()
        log.append("events", partition, [Entry(label["time"], b"", value)])
        capsys.readouterr()
        assert main(["doctor", "--no-h2o"]) == 0
        lines = capsys.readouterr().out.splitlines()
        said_to_be += [one for one in lines if "label routing" in one]
    log.close()
    told = "2 of 2 label events have the key of a request, in its partition, as far as read"
    assert said_to_be[0].endswith(told)
    assert said_to_be[0].startswith("ok")
    assert said_to_be[1].startswith("warning")
    assert "1 of 3 Sold events goes to another partition than its request" in said_to_be[1]
