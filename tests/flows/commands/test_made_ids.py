"""`--id` makes ids where a file has none, or has those of other events."""

import json
from datetime import UTC, datetime

import polars as pl
import pytest

from flows.__main__ import main
from flows.home.home import Home
from state.events import HOUR_US, Event
from state.features import Field
from state.stream import Label, Stream
from tests.settled import events_of, settle


class Transfer(Event, frozen=True, kw_only=True):
    amount: float


class Verdict(Event, frozen=True, kw_only=True):
    transfer: str
    fraud: bool


stream = Stream(
    name="transfers",
    events=(Transfer, Verdict),
    request=Transfer,
    label=Label(
        on=Verdict,
        of="transfer",
        value=lambda verdict: verdict.fraud,
        deadline=lambda transfer: transfer.time + HOUR_US,
        silence=False,
        delay="1h",
    ),
    features=(Field("amount"),),
)
AT = datetime(2026, 11, 21, tzinfo=UTC)
TRANSFERS = pl.DataFrame({"transfer": [70, 71], "amount": [1.5, 2.5], "time": [AT, AT]})
VERDICTS = pl.DataFrame({"transfer": [70, 71], "fraud": [True, False], "time": [AT, AT]})


@pytest.fixture
def home(tmp_path, monkeypatch):
    settle(tmp_path, monkeypatch, 'stream = "tests.flows.commands.test_made_ids:stream"\n')
    return Home(tmp_path / "home")


def written(tmp_path, form):
    for name, frame in {"asked": TRANSFERS, "told": VERDICTS}.items():
        path = tmp_path / f"{name}.{form}"
        if form == "jsonl":
            rows = [
                row | {"time": int(AT.timestamp() * 1e6), "type": kind}
                for row in frame.to_dicts()
                for kind in ["transfer" if name == "asked" else "verdict"]
            ]
            path.write_text("\n".join(map(json.dumps, rows)))
        else:
            getattr(frame, f"write_{form}")(path)


@pytest.mark.parametrize("form", ["csv", "parquet", "jsonl"])
def test_a_table_of_labels_may_have_no_ids_but_those_of_its_requests(home, tmp_path, form):
    written(tmp_path, form)
    files = [f"asked.{form}", f"told.{form}"]
    ids = ["--id", f"asked.{form}={{transfer}}", "--id", f"told.{form}=v{{transfer}}-{{row}}"]
    assert main(["ingest", *ids, *files]) == 0
    assert [(event["id"], event.get("transfer")) for event in events_of(home)] == [
        ("70", None),
        ("71", None),
        ("v70-1", "70"),
        ("v71-2", "71"),
    ]
    assert main(["run"]) == 0
    log = home.log()
    labels = [json.loads(one.value) for one in log.read("outcomes", 0, 0, max_records=9)]
    log.close()
    assert [(one["id"], one["label"]) for one in labels] == [("70", 1), ("71", 0)]


def test_stream_makes_the_ids_that_ingest_makes(home, capsys, tmp_path):
    written(tmp_path, "csv")
    ids = ["--id", "asked.csv={transfer}", "--id", "{file}-{row}"]
    assert main(["stream", *ids, "asked.csv", "told.csv"]) == 0
    assert "labels        2, 50.00% of them 1" in capsys.readouterr().out


def test_a_record_without_a_value_of_its_id_is_refused_by_the_run(home, capsys, tmp_path):
    (tmp_path / "asked.csv").write_text("nr,amount,time\n7,1.5,2026-11-21\n,2.5,2026-11-21\n")
    assert main(["ingest", "--id", "t{nr}", "--type", "transfer", "asked.csv"]) == 0
    assert "1 invalid: Object missing required field `id`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (["{row}"], "--id must differ by file; got '{row}' for 2 files: add {file}"),
        (["other.csv={row}"], "--id must name a FILE of the command line; got 'other.csv'"),
        (["asked.csv=a{row}", "asked.csv=b{row}"], "--id must give a file one text"),
        (["v"], "a column must stand in braces"),
        (["v{}"], "a column must stand in braces"),
        (["v{transfer:03}"], "a name in braces must stand alone"),
        (["v{transfer"], "--id must be a text with names in braces; got 'v{transfer'"),
        (["v{transfr}"], "--id must name columns of the file; got 'transfr' in asked.csv"),
    ],
)
def test_a_wrong_text_is_refused_in_one_line(home, capsys, tmp_path, ids, said):
    written(tmp_path, "csv")
    options = [word for text in ids for word in ("--id", text)]
    for verb in ("ingest", "stream"):
        assert main([verb, *options, "asked.csv", "told.csv"]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1
    assert not home.root.exists()
