import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from flows.home.home import Home
from flows.reports.export import export
from flows.streams.quotes_market import Market

REPOSITORY = Path(__file__).parents[3]
MINUTE_US = 60_000_000
START_US = 1_700_000_000_000_000
SHOP = """
from state.events import MINUTE_US, Event
from state.features import Category, Count, Field, Rolling
from state.stream import Label, Stream


class Asked(Event, frozen=True, kw_only=True):
    shop: str
    price: float


class Bought(Event, frozen=True, kw_only=True):
    shop: str
    asked: str


def bought(event):
    return {value}


stream = Stream(
    name="shop",
    events=(Asked, Bought),
    request=Asked,
    label=Label(
        on=Bought,
        of="asked",
        value=bought,
        deadline=lambda asked: asked.time + 10 * MINUTE_US,
        silence=False,
        delay="10m",
    ),
    features=(
        Field("price"),
        Category("shop"),
        Rolling(over=Asked, by=("shop",), windows=("1h",), stats=(Count("asked"),)),
    ),
    key="shop",
    partitions=2,
)
"""
# Without H2O a run takes seconds.
SETTINGS = 'stream = "{stream}"\n[training]\ntrainer = "external"\nwait = false\n'


def shop_events():
    """400 questions a minute apart in five shops, half of them followed by a purchase."""
    drawn = random.Random(5)
    events, bought = [], {}
    for n in range(400):
        time, shop = START_US + n * MINUTE_US, f"shop{n % 5}"
        asked = {"type": "asked", "id": f"a{n}", "time": time, "shop": shop}
        events.append({**asked, "price": round(drawn.random(), 3)})
        bought[f"a{n}"] = drawn.random() < 0.5
        if bought[f"a{n}"]:
            later = {"type": "bought", "id": f"b{n}", "time": time + 1000, "shop": shop}
            events.append({**later, "asked": f"a{n}"})
    return [json.dumps(event) for event in events], bought


LINES, BOUGHT = shop_events()


@pytest.fixture
def shop(tmp_path):
    write_stream(tmp_path, "shop:stream", SHOP.format(value=True))
    (tmp_path / "first.jsonl").write_text("\n".join(LINES[:300]) + "\nno event\n")
    (tmp_path / "second.jsonl").write_text("\n".join(LINES[300:]))
    return tmp_path


def write_stream(folder, name, source=""):
    (folder / "shop.py").write_text(source)
    (folder / "headwater.toml").write_text(SETTINGS.format(stream=name))


def started(folder, *argv, home="home"):
    environment = {
        **{name: value for name, value in os.environ.items() if name != "HEADWATER_CONFIG"},
        "HEADWATER_HOME": str(folder / home),
        "PYTHONPATH": str(REPOSITORY),
        "RUST_BACKTRACE": "0",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "flows", *argv],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def headwater(folder, *argv, home="home", code=0):
    with started(folder, *argv, home=home) as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    return out + err


def exported(folder, topic, home="home"):
    log, path = Home(folder / home).log(), folder / f"{home}-{topic}.jsonl"
    export(log, topic, path)
    log.close()
    return path.read_bytes()


def test_a_stream_of_ones_own_goes_from_files_to_outcomes_and_round_again(shop):
    headwater(shop, "ingest", "first.jsonl", "second.jsonl")
    assert "Up to date" in headwater(shop, "run", "-w", "2")
    outcomes = [json.loads(line) for line in exported(shop, "outcomes").splitlines()]
    ended = {f"a{n}" for n in range(389)}  # the last minutes still wait for silence
    labels = {one["id"]: bool(one["label"]) for one in outcomes}
    assert ended <= labels.keys()
    assert labels == {name: BOUGHT[name] for name in labels}
    assert len(exported(shop, "dead_letters").splitlines()) == 1
    predictions = exported(shop, "predictions")
    assert {json.loads(line)["id"] for line in predictions.splitlines()} == BOUGHT.keys()

    headwater(shop, "export", "events", "--out", "events.jsonl")
    headwater(shop, "ingest", "events.jsonl", home="other")
    headwater(shop, "run", home="other")
    assert exported(shop, "predictions", home="other") == predictions


def test_what_is_ingested_keeps_the_demo_out(tmp_path):
    write_stream(tmp_path, "quotes")
    events = islice(Market(seed=3, rate_per_s=1.0).events(1.0), 50)
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(events))
    headwater(tmp_path, "ingest", "events.jsonl")
    assert "50 events read" in headwater(tmp_path, "run")


def test_following_says_once_that_it_waits_and_takes_what_comes_until_it_is_stopped(shop):
    headwater(shop, "ingest", "first.jsonl")
    log = Home(shop / "home").log()
    with started(shop, "run", "--follow") as process:
        said = [next(line for line in process.stderr if "waiting for new events" in line)]
        headwater(shop, "ingest", "second.jsonl")
        while sum(log.end("predictions", p) for p in (0, 1)) < 400:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        said += process.stderr
        assert process.wait(timeout=60) == 0
    log.close()
    assert sum("waiting" in line for line in said) == 1
    assert said[-1] == "Stopped at 2023-11-15 04:52; run again to resume.\n"
    assert "Traceback" not in "".join(said)
    assert "Up to date" in headwater(shop, "run")


def test_output_that_was_tampered_with_stops_a_run_with_one_line_at_its_end(shop):
    headwater(shop, "ingest", "first.jsonl")
    headwater(shop, "run")
    shutil.rmtree(shop / "home" / "checkpoints")
    with sqlite3.connect(shop / "home" / "log" / "predictions" / "0.db") as database:
        database.execute("UPDATE records SET value = X'78' WHERE offset = 7")
    database.close()
    said = headwater(shop, "run", code=2)
    assert said.splitlines()[-1].startswith("headwater: value must equal the stored b'x'")
    assert "predictions/0 at sequence 7" in said.splitlines()[-1]
    assert "Traceback" not in said


def test_a_mistake_in_a_streams_definition_is_one_line(shop):
    write_stream(shop, "shop:stream", SHOP.format(value=True).replace('by=("shop",)', 'by=("x",)'))
    said = headwater(shop, "ingest", "first.jsonl", code=2)
    assert said.startswith("headwater: feature Rolling(")
    assert said.count("\n") == 1


def test_until_needs_a_stream_that_brings_a_history(shop):
    said = headwater(shop, "run", "--until", "2024-01-02", code=2)
    assert said == "headwater: --until must go with a built-in stream; got stream 'shop'\n"


def test_a_function_of_the_stream_that_raises_is_one_line(shop):
    write_stream(shop, "shop:stream", SHOP.format(value="1 / 0"))
    told = headwater(shop, "ingest", "first.jsonl", code=2)
    assert re.fullmatch(
        r"headwater: label\.value must not raise; got ZeroDivisionError 'division by zero' "
        r"\(shop\.py line 18\) for bought 'b\d+' before anything was appended\n",
        told,
    )
    write_stream(shop, "shop:stream", SHOP.format(value="True"))
    headwater(shop, "ingest", "first.jsonl")
    write_stream(shop, "shop:stream", SHOP.format(value="1 / 0"))
    said = headwater(shop, "run", code=2)
    assert re.fullmatch(
        r"headwater: label\.value must not raise; got ZeroDivisionError 'division by zero' "
        r"\(shop\.py line 18\) for bought 'b\d+' in events/[01] at offset \d+",
        said.splitlines()[-1],
    )
    assert "Traceback" not in said


def test_a_module_that_cannot_be_imported_is_one_line(shop):
    write_stream(shop, "shop:stream", "import json\n\nprices = json.loads('{')\n")
    said = headwater(shop, "ingest", "first.jsonl", code=2)
    assert said.startswith("headwater: stream must be importable; got 'shop:stream': JSONDecode")
    assert said.endswith("in shop.py line 3\n")
    assert said.count("\n") == 1


def test_a_changed_definition_is_one_line_that_names_the_change(shop):
    headwater(shop, "ingest", "first.jsonl")
    headwater(shop, "run")
    source = SHOP.format(value=True)
    write_stream(shop, "shop:stream", source.replace('        Field("price"),\n', ""))
    headwater(shop, "ingest", "second.jsonl")
    before = {path: path.read_bytes() for path in (shop / "home" / "checkpoints").rglob("*.ckpt")}
    line = headwater(shop, "run", code=2).splitlines()[-1]
    assert line.startswith(
        "headwater: definition of stream 'shop' must be the one that the home was begun with; "
        f"got feature Field(price) removed in {shop / 'home'}: put it back, or begin a new home"
    )
    assert "Traceback" not in line
    assert before == {path: path.read_bytes() for path in before}
    checked = headwater(shop, "doctor", "--no-h2o", code=1)
    assert "got feature Field(price) removed" in checked
    write_stream(shop, "shop:stream", source)
    assert "Up to date" in headwater(shop, "run")


def test_events_are_not_sent_where_another_key_would_send_them(shop):
    headwater(shop, "ingest", "first.jsonl")
    headwater(shop, "run")
    source = SHOP.format(value=True)
    write_stream(
        shop, "shop:stream", source.replace('key="shop"', 'key={Asked: "shop", Bought: "id"}')
    )
    headwater(shop, "export", "events", "--out", "before.jsonl")
    line = headwater(shop, "ingest", "second.jsonl", code=2)
    assert "got key changed in" in line
    headwater(shop, "export", "events", "--out", "after.jsonl")
    assert (shop / "after.jsonl").read_bytes() == (shop / "before.jsonl").read_bytes() != b""
    write_stream(shop, "shop:stream", source)
    headwater(shop, "ingest", "second.jsonl")
    assert "Up to date" in headwater(shop, "run")


def test_a_function_may_change_if_what_is_written_stays_the_same(shop):
    headwater(shop, "ingest", "first.jsonl")
    headwater(shop, "run")
    headwater(shop, "ingest", "second.jsonl")
    write_stream(shop, "shop:stream", SHOP.format(value="event.asked is None"))
    said = headwater(shop, "run", code=2)
    line = said.splitlines()[-1]
    assert "got source of label.value changed in" in line
    assert "to resume" not in said
    assert re.search(
        r", which changes (outcomes|predictions)/[01] .*at sequence \d+, byte \d+: put it", line
    )
    write_stream(shop, "shop:stream", SHOP.format(value="event.asked is not None"))
    said = headwater(shop, "run")
    assert "Definition changed (source of label.value changed): all output is derived again" in said
    assert "Up to date" in said
    assert "Definition changed" not in headwater(shop, "run")
    assert "identical" in headwater(shop, "replay")


def test_a_file_that_is_ingested_twice_leaves_duplicates_that_none_can_retry(shop):
    for _ in range(2):
        headwater(shop, "ingest", "first.jsonl")
        headwater(shop, "run")
    lines = (shop / "first.jsonl").read_text().splitlines()
    good = sum(line.startswith("{") for line in lines)
    assert re.search(rf"\n duplicate +events +{good} +0 *\n", headwater(shop, "dead-letters"))
    letters = headwater(shop, "status").partition("dead letters ")[2].partition("\n")[0]
    bad = len(lines) - good
    assert sum(map(int, re.findall(r"\d+", letters))) == good + 2 * bad
