import io
import json
import sys
from datetime import datetime
from itertools import islice

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.__main__ import main
from flows.home.home import ALL_TOPICS, Home, create_topics
from flows.streams.quotes_market import Market
from models.refit.fit_record import FitRecord, TriedCandidate
from operators.partition.journal import Activated, JournalWriter
from operators.training.model_registry import ModelRegistry
from operators.training.titles import Titles
from state.log import Entry
from state.outputs.records import Metrics
from state.settings import Promotion
from tests.settled import settle

EVENTS = list(islice(Market(seed=3, rate_per_s=1.0).events(1.0), 300))
APRIL_US = 1_364_774_400_000_000
DAY_US = 86_400_000_000


@pytest.fixture
def home(tmp_path, monkeypatch):
    settle(tmp_path, monkeypatch, 'stream = "quotes"\n')
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(EVENTS))
    return Home(tmp_path / "home")


@pytest.fixture
def log(home):
    log = home.log()
    yield log
    log.close()


@pytest.fixture
def filled(log):
    create_topics(log, 2)
    return log


def ended(*argv):
    """The exit code, whether `main` returned it or argparse left with it."""
    try:
        return main(argv)
    except SystemExit as end:
        return end.code


def refused(capsys, *argv):
    """The one line that a refusal puts on stderr."""
    assert ended(*argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("headwater: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err


def prediction(number):
    return {
        "id": f"q{number}",
        "event_time": APRIL_US + number * DAY_US,
        "key": "k",
        "probability": 0.25,
        "online": 0.25,
        "offline": None,
        "residual": None,
        "decision": False,
        "model": None,
        "partition": 0,
        "offset": number,
    }


def predict(log, days):
    for day in range(days):
        value = json.dumps(prediction(day)).encode()
        log.append("predictions", 0, [Entry(APRIL_US + day * DAY_US, b"k", value)])


@pytest.mark.parametrize("verb", ["run", "ingest", "export", "models", "trim", "doctor"])
def test_help_of_every_verb_ends_with_examples(capsys, verb):
    assert ended(verb, "--help") == 0
    help_text, examples = capsys.readouterr().out.split("\nexamples:\n")
    assert help_text.startswith(f"usage: headwater {verb}")
    assert all(f"headwater {verb}" in line for line in examples.splitlines())


def test_help_names_every_verb(capsys):
    assert ended("--help") == 0
    out = capsys.readouterr().out
    assert all(
        f"\n    {verb}" in out for verb in ("run", "ingest", "export", "models", "trim", "doctor")
    )


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "VERB"),
        (["expört"], "invalid choice: 'expört'"),
        (["run", "--until", "tomorrow"], "date must be like 2013-04-01"),
        (["run", "-w", "0"], "whole number from 1; got '0'"),
        (["export", "predictons", "--out", "x.jsonl"], "invalid choice: 'predictons'"),
        (["export", "events"], "--out"),
        (["export", "events", "--out", "x.jsonl", "--from", "31.1."], "date must be like"),
        (["ingest"], "FILE"),
        (["ingest", "nowhere.jsonl"], "got nowhere.jsonl"),
        (["ingest", "."], "FILE must be a file"),
        (["export", "events", "--out", "x.jsonl"], "home must hold a log"),
        (["models"], "home must hold a log"),
        (["replay", "--to=--"], "argument --to: must have a value; got '--'"),
        (["run", "-w--"], "argument --workers: must have a value; got '--'"),
        (["run", "--process", "9" * 30], "argument --process: must be at most 256; got '9999"),
        (["run", "--process=-1"], "argument --process: must be a whole number from 1; got '-1'"),
        (["run", "--process", "0", "--addresses", "host"], "must be like '127.0.0.1:2101;"),
        (["run", "--process", "0", "--addresses", "a:65536"], "127.0.0.1:2102'; got 'a:65536'"),
        (
            ["run", "--process", "2"],
            "--addresses must be given with --process; got process 2",
        ),
        (["run", "--addresses", "a:1;a:1"], "must be another one for each process; got 'a:1;a:1'"),
        (["run", "--process", "1", "--addresses", "127.0.0.1:9"], "must be from 0 to 0, one for"),
        (["run", "--addresses", "127.0.0.1:9"], "process must be from 0 to 0, one for each"),
    ],
)
def test_wrong_arguments_give_one_line_and_leave_nothing(home, capsys, argv, said):
    assert said in refused(capsys, *argv)
    assert not home.root.exists()


@pytest.mark.parametrize("verb", [["run"], ["ingest", "events.jsonl"]])
@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("strem = 'quotes'", "strem"),
        ("[training]\nevery = '0d'", "duration must be positive"),
        ("stream = ", "headwater.toml"),
        ("stream = 'birds'", "'birds'"),
        ("stream = 'no_such_module:stream'", "no_such_module"),
    ],
)
def test_wrong_settings_give_one_line_and_leave_nothing(home, capsys, verb, setting, said):
    (home.root.parent / "headwater.toml").write_text(setting)
    assert said in refused(capsys, *verb)
    assert not home.root.exists()


def test_a_config_that_is_not_there_gives_one_line(home, capsys, monkeypatch):
    monkeypatch.setenv("HEADWATER_CONFIG", "other.toml")
    assert "other.toml" in refused(capsys, "run")


def test_a_broken_file_gives_one_line_that_names_it(home, capsys):
    (home.root.parent / "broken.jsonl.gz").write_bytes(b"this is not gzip")
    assert "broken.jsonl.gz" in refused(capsys, "ingest", "broken.jsonl.gz")


def test_another_number_of_partitions_than_the_log_has_gives_one_line(home, capsys):
    assert main(["ingest", "events.jsonl"]) == 0
    capsys.readouterr()
    (home.root.parent / "headwater.toml").write_text('stream = "quotes"\npartitions = 3\n')
    assert "partitions must be 8 as made; got 3" in refused(capsys, "run")


def test_until_needs_a_home_of_the_demo(home, capsys):
    assert main(["ingest", "events.jsonl"]) == 0
    capsys.readouterr()
    assert "--until" in refused(capsys, "run", "--until", "2014-01-01")


def test_ingest_counts_each_file_and_all(home, log, capsys):
    (home.root.parent / "two.jsonl").write_bytes(b"junk\n" + EVENTS[0] + b"\n")
    assert main(["ingest", "events.jsonl", "two.jsonl"]) == 0
    assert capsys.readouterr().out == (
        "events.jsonl: 300 records\ntwo.jsonl: 2 records\n302 records in all\n"
    )
    assert sum(log.end("events", p) for p in range(8)) == 302


def test_ingest_makes_the_partitions_that_the_settings_name(home, log):
    (home.root.parent / "headwater.toml").write_text('stream = "quotes"\npartitions = 3\n')
    assert main(["ingest", "events.jsonl"]) == 0
    assert log.partitions("events") == 3


def test_ingest_takes_standard_input(home, log, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n".join(EVENTS))))
    assert main(["ingest", "-"]) == 0
    assert capsys.readouterr().out == "-: 300 records\n"
    assert sum(log.end("events", p) for p in range(8)) == 300


def test_events_exported_come_back_as_the_same_records(home, log, capsys, monkeypatch, tmp_path):
    assert main(["ingest", "events.jsonl"]) == 0
    assert main(["export", "events", "--out", "out.jsonl.zst"]) == 0
    assert capsys.readouterr().out.endswith("out.jsonl.zst: 300 records\n")
    monkeypatch.setenv("HEADWATER_HOME", str(tmp_path / "other"))
    assert main(["ingest", "out.jsonl.zst"]) == 0
    other = Home(tmp_path / "other").log()
    for partition in range(8):
        assert other.read("events", partition, 0) == log.read("events", partition, 0)
    other.close()


def test_predictions_become_the_columns_of_parquet(filled, tmp_path):
    predict(filled, 3)
    assert main(["export", "predictions", "--out", "p.parquet"]) == 0
    rows = pq.read_table(tmp_path / "p.parquet").to_pylist()
    days = [datetime(2013, 4, day) for day in (1, 2, 3)]  # noqa: DTZ001 - as Parquet has it
    assert rows == [
        {**prediction(n), "append_time": day, "event_time": day, "trust": None, "chain": ""}
        for n, day in enumerate(days)
    ]


def test_outcomes_become_parquet_with_the_columns_of_the_stream(filled, tmp_path):
    assert main(["export", "outcomes", "--out", "o.parquet"]) == 0
    names = pq.read_schema(tmp_path / "o.parquet").names
    first = ["append_time", *prediction(0), "label", "label_time"]
    assert names[: len(first)] == first
    assert "spread" in names


@pytest.mark.parametrize("topic", ALL_TOPICS)
def test_every_topic_may_be_parquet(filled, tmp_path, topic):
    assert main(["export", topic, "--out", "x.parquet"]) == 0
    schema = pq.read_schema(tmp_path / "x.parquet")
    assert {"partition", "append_time"} <= set(schema.names)
    assert not [field for field in schema if pa.types.is_nested(field.type)]


def test_models_become_flat_columns_of_parquet(filled, tmp_path):
    decide(filled)
    assert main(["export", "models", "--out", "m.parquet"]) == 0
    table = pq.read_table(tmp_path / "m.parquet")
    assert table["status"].to_pylist() == ["promoted", "skipped"]
    assert table["window_rows"].to_pylist() == [None, None]
    assert table["parameters"].to_pylist() == ["{}", "{}"]
    assert table["boundary"].cast(pa.int64()).to_pylist() == [
        APRIL_US // 1000,
        (APRIL_US + DAY_US) // 1000,
    ]


def test_the_journal_becomes_parquet_with_a_type_for_each_kind_of_entry(filled, tmp_path):
    decide(filled)
    assert main(["export", "activations", "--out", "a.parquet"]) == 0
    (row,) = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert (row["type"], row["partition"], row["offset"]) == ("activated", 1, 1_234)


def test_records_of_another_stream_give_one_line(filled, capsys):
    predict(filled, 1)
    filled.append("outcomes", 1, [Entry(0, b"", b'{"id":"a","wingspan":1}')])
    said = refused(capsys, "export", "outcomes", "--out", "o.parquet")
    assert "wingspan" in said
    assert "outcomes/1 at offset 0" in said


@pytest.mark.parametrize("out", ["x.csv", "x"])
def test_other_suffixes_give_one_line(filled, capsys, out, tmp_path):
    assert ".jsonl" in refused(capsys, "export", "events", "--out", out)
    assert not (tmp_path / out).exists()


def test_a_folder_that_is_not_there_gives_one_line(filled, capsys):
    assert "nowhere" in refused(capsys, "export", "events", "--out", "nowhere/x.jsonl")


@pytest.mark.parametrize(
    ("bounds", "days"),
    [
        (["--from", "2013-04-02"], [1, 2, 3]),
        (["--from", "2013-04-02t00:00:00z"], [1, 2, 3]),
        (["--to", "2013-04-02"], [0]),
        (["--from", "2013-04-01T12:00", "--to", "2013-04-03"], [1]),
        (["--to", "2013-04-02T02:00+02:00"], [0]),
    ],
)
def test_export_takes_what_was_appended_in_a_span(filled, tmp_path, bounds, days):
    predict(filled, 4)
    assert main(["export", "predictions", "--out", "p.jsonl", *bounds]) == 0
    lines = (tmp_path / "p.jsonl").read_text().splitlines()
    assert [json.loads(line)["offset"] for line in lines] == days


def decide(log):
    """Two boundaries, and the first's model in use in the second of two partitions."""
    published = ModelRegistry(log)
    published.publish(
        FitRecord(boundary=APRIL_US, status="promoted", reason="better", algorithm="gbm", model="m")
    )
    published.publish(
        FitRecord(boundary=APRIL_US + DAY_US, status="skipped", reason="few", algorithm="gbm")
    )
    JournalWriter(log, 1).write(Activated(1_234, "m", APRIL_US), APRIL_US)


def test_models_lists_decisions_and_what_each_partition_uses(filled, capsys):
    decide(filled)
    assert main(["models"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "Boundaries: 2, models promoted: 1" in lines
    assert "2013-04-01 00:00 promoted m - - -" in lines
    assert "2013-04-02 00:00 skipped - - - -" in lines
    assert lines[lines.index("Why there was no model:") + 1] == "2013-04-02 00:00 few"
    assert lines[-3:] == [
        "0 - 0 - - - - -", "1 m 1,234 - - - - -", "champion m, compared with no other model"
    ]  # fmt: skip


def test_models_says_how_the_champion_was_found(filled, capsys):
    tried = [TriedCandidate(parameters={"ntrees": n}, trees=n, log_loss=1 / n) for n in (8, 9)]
    ModelRegistry(filled).publish(
        FitRecord(
            boundary=APRIL_US, status="promoted", reason="better", algorithm="gbm", model="m",
            tried=tried,
        )
    )  # fmt: skip
    assert main(["models"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "m: Its parameters were drawn from the grid: the best of 2 candidates on all rows."
    )


def test_models_as_json_holds_the_records(filled, capsys):
    decide(filled)
    assert main(["models", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["in_use"] == [
        {"partition": p, "model": model, "offset": offset, "older": None, "shares": {}}
        | {"champion": None, "better": None, "worse": None, "compared": 0, "gain": None}
        for p, model, offset in ((0, None, 0), (1, "m", 1234))
    ]
    assert (told["champion"], told["contest"]) == ("m", None)
    assert [one["status"] for one in told["decisions"]] == ["promoted", "skipped"]


def contested(log, better, worse, champion):
    """Metrics of all partitions with this evidence between m2 and m."""
    for partition in range(log.partitions("metrics")):
        metrics = Metrics(
            APRIL_US + 2 * DAY_US, 0, 0, 0, {}, 0, "m2", {}, {}, {}, older="m", champion=champion,
            better=better, worse=worse, compared=50, gain=0.0123,
        )  # fmt: skip
        log.append("metrics", partition, [Entry(0, b"", msgspec.json.encode(metrics))])


def test_models_tells_who_has_the_title_and_how_it_stands(filled, capsys):
    published = ModelRegistry(filled)
    for boundary, model in ((APRIL_US, "m"), (APRIL_US + DAY_US, "m2")):
        published.publish(
            FitRecord(boundary=boundary, status="promoted", reason="", algorithm="gbm", model=model)
        )

    def told():
        assert main(["models"]) == 0
        return " ".join(capsys.readouterr().out.split())

    contested(filled, 3.25, 0.5, "m")
    assert told().endswith(
        "champion m; challenger m2: evidence of 3.25 that it is better, 0.5 that it is worse, by "
        "100 labels; log-loss lower by .0123"
    )
    contested(filled, 30.0, 0.5, "m")
    published.publish(Titles(filled, published, Promotion(), live=True).decide())
    contested(filled, 0.25, 4.0, "m2")
    said = told()
    assert "Boundaries: 2, models promoted: 2" in said
    assert (
        "2013-04-03 00:00 proven m2 better than m, by evidence of 30 after 100 labels; log-loss"
        in said
    )
    assert "champion m2; challenger m: evidence of 4 that it is better, 0.25 that it" in said


@pytest.mark.parametrize("verb", [["run"], ["ingest", "events.jsonl"], ["status"], ["replay"]])
def test_a_home_that_is_no_folder_is_refused(home, capsys, verb):
    home.root.symlink_to("nowhere")
    assert f"got a link to nothing, nowhere, in {home.root}" in refused(capsys, *verb)
    home.root.unlink()
    home.root.touch()
    assert f"got the file {home.root}" in refused(capsys, *verb)
