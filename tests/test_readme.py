"""The READMEs' example runs, and their tables of settings, topics and words are complete."""

import re
import sys
from typing import Any, get_args

import msgspec
import pytest

from flows.__main__ import main
from flows.home.configuration import find_stream, load_settings
from flows.home.home import ALL_TOPICS, environment_home
from models.refit.fit_record import FitRecord, Status
from operators.partition.journal import Activated, Configured, Crossed, Quieted
from operators.shard.messages import Records
from operators.shard.shard import Shard
from operators.training.training_cuts import TrainingCut
from state.outputs.records import Alert, DeadLetter, DeadLetterReason, Metrics, Prediction
from state.settings import Risk, Settings
from tests.documents import section, table


def block(language: str) -> str:
    """The one code block of the own stream's section in a language."""
    text = section("Bring your own stream")
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return found


def rows(title: str, heading: str) -> dict[str, list[str]]:
    """The rows of a section's table by their first cell, without its backticks."""
    return {first.strip("`"): rest for first, rest in table(title, heading).items()}


def flat(settings: msgspec.Struct, path: str = "") -> dict[str, Any]:
    """Every setting by its path."""
    found: dict[str, Any] = {}
    for name, value in msgspec.structs.asdict(settings).items():
        is_table = isinstance(value, msgspec.Struct)
        found |= flat(value, f"{path}{name}.") if is_table else {f"{path}{name}": value}
    return found


def as_toml(value: Any) -> str:
    if value is None:
        return "unset"
    shown = msgspec.json.encode(value, enc_hook=str).decode()
    return f"`{shown.replace(',', ', ')}`"


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The own stream's files in an empty working directory, ingested."""
    (tmp_path / "jobs.py").write_text(block("python"), "utf-8")
    (tmp_path / "headwater.toml").write_text(block("toml"), "utf-8")
    (tmp_path / "jobs.jsonl").write_text(block("json"), "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADWATER_CONFIG", raising=False)
    monkeypatch.delenv("HEADWATER_HOME", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert main(["ingest", "jobs.jsonl"]) == 0
    yield environment_home().log()
    sys.modules.pop("jobs")


def test_the_example_predicts_learns_and_buries_as_the_text_says(example):
    settings = load_settings()
    stream = find_stream(settings.stream)
    found: dict[str, list[Any]] = {"predictions": [], "outcomes": [], "dead_letters": []}
    for partition in range(stream.partitions):
        shard = Shard(stream, settings, partition)
        emitted = shard.apply(Records(example.read("events", partition, 0)))
        for topic, values in found.items():
            _, entries = emitted.entries.get(topic, (0, []))
            values.extend(msgspec.json.decode(entry.value) for entry in entries)
    example.close()
    assert [made["id"] for made in found["predictions"]] == ["j1", "j2"]
    assert {made["id"]: made["label"] for made in found["outcomes"]} == {"j1": 0, "j2": 1}
    (letter,) = found["dead_letters"]
    assert (letter["reason"], letter["offset"]) == ("invalid", 4)  # l2 is the fifth line
    assert "$.busy" in letter["detail"]


def test_the_settings_are_all_listed_with_their_defaults():
    listed = {key: default for key, (default, _) in rows("Settings", "key").items()}
    assert listed == {key: as_toml(value) for key, value in flat(Settings(risk=Risk())).items()}


def test_the_topics_are_all_listed_with_their_fields():
    listed = rows("Topics", "topic")
    assert listed.keys() == set(ALL_TOPICS)
    records = {
        "predictions": Prediction,
        "metrics": Metrics,
        "alerts": Alert,
        "dead_letters": DeadLetter,
        "snapshots": TrainingCut,
        "models": FitRecord,
    }
    for topic, record in records.items():
        fields = re.findall(r"`(\w+)`", listed[topic][1])
        assert fields == list(record.__struct_fields__), topic
    fields = re.findall(r"`(\w+)`", listed["activations"][1])
    kinds = (Activated, Crossed, Quieted, Configured)
    assert set(fields) == {field for kind in kinds for field in kind.__struct_fields__}


def test_the_reasons_of_dead_letters_are_all_explained():
    assert list(rows("Dead letters", "reason")) == list(get_args(DeadLetterReason))


def test_the_decisions_on_a_fit_are_all_explained():
    assert list(rows("Reports and alerts", "decision")) == list(get_args(Status))


def test_the_alerts_are_all_named():
    lines = section("Reports and alerts").splitlines()
    (line,) = [line for line in lines if line.startswith("**`alerts`**")]
    kinds = {field.name: field.type for field in msgspec.structs.fields(Alert)}["kind"]
    assert re.findall(r"`(\w+)`", line)[1:] == list(get_args(kinds))
