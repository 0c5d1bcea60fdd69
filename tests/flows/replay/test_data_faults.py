"""Faults of columns are told the same after a crash and in an audit; readers show them."""

import json
import shutil

import pytest

from flows.__main__ import main
from flows.home.home import Home, create_topics
from flows.replay import audit
from models.refit.fit_record import FitRecord
from operators.shard.shard import TOPICS
from operators.training.model_registry import ModelRegistry
from state.events import HOUR_US, MINUTE_US
from state.log import EVENTS, Entry
from state.settings import settings_from
from tests.flows.replay.conftest import run
from tests.flows.replay.test_changing_settings import cut_off
from tests.golden_log import GOLDEN
from tests.operators.shard.columns_world import FIRST_US, TRAINED, Fault, trained_profile, trips

TOML = """
stream = "tests.golden.trips:stream"
partitions = 1
training = { trainer = "external", wait = false, every = "6h" }
metrics = { every = "30m" }
columns = { season = "3h" }
reading = { batch = 200 }
"""
SETTINGS = settings_from({
    "stream": "tests.golden.trips:stream",
    "partitions": 1,
    "training": {"trainer": "external", "wait": False, "every": "6h"},
    "metrics": {"every": "30m"},
    "columns": {"season": "3h"},
    "reading": {"batch": 200},
})  # fmt: skip
FAULT = Fault(FIRST_US + TRAINED + 45 * MINUTE_US, {"distance": lambda distance: distance * 20})
RECORDS = trips(FIRST_US + TRAINED + 3 * HOUR_US, FAULT)
ENTRIES = [Entry(*record[1:]) for record in RECORDS]
FIRST = sum(record.append_time < FIRST_US + TRAINED for record in RECORDS)


def appended(home, entries):
    log = home.log()
    log.append(EVENTS, 0, entries)
    log.close()


def begun(root, profile):
    """A home whose first hours were processed, and whose model was published after them."""
    home = Home(root)
    log = home.log()
    create_topics(log, 1)
    log.close()
    appended(home, ENTRIES[:FIRST])
    run(SETTINGS, home)
    files = {
        "sha256": home.artifacts().put((GOLDEN / "1/gbm-1.zip").read_bytes()),
        "profile_sha256": home.artifacts().put(profile.encode()),
    }
    log = home.log()
    ModelRegistry(log).publish(
        FitRecord(boundary=FIRST_US + TRAINED, status="promoted", reason="", algorithm="gbm",
                  model="gbm-1", **files)
    )  # fmt: skip
    log.close()
    return home


def written(home):
    log = home.log()
    found = {topic: [r.value for r in log.read(topic, 0, 0, max_records=10**6)] for topic in TOPICS}
    log.close()
    return found


def told(home):
    return [
        one for one in map(json.loads, written(home)["alerts"]) if one["kind"] == "data_quality"
    ]


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    return trained_profile(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory, profile):
    home = begun(tmp_path_factory.mktemp("whole"), profile)
    appended(home, ENTRIES[FIRST:])
    run(SETTINGS, home)
    return home


def test_the_flow_tells_them(whole):
    first = next(one for one in told(whole) if one["message"].startswith("distance"))
    assert FAULT.begin < first["time"] <= FAULT.begin + HOUR_US


def test_a_flow_that_was_cut_off_tells_the_same(whole, tmp_path, profile):
    home = begun(tmp_path / "cut", profile)
    appended(home, ENTRIES[FIRST:])
    cut_off(SETTINGS, home, messages=4, partitions=1)
    run(SETTINGS, home)
    assert written(home) == written(whole)


def test_the_log_alone_brings_them_back(whole, tmp_path):
    before, home = written(whole), Home(tmp_path / "again")
    shutil.copytree(whole.root, home.root)
    shutil.rmtree(home.root / "checkpoints")
    run(SETTINGS, home)
    assert written(home) == before


def test_an_audit_finds_no_difference(whole):
    frame = audit(home=whole.root, settings=SETTINGS)
    assert frame["different"].sum() == 0
    assert frame["identical"].sum() == sum(map(len, written(whole).values()))


@pytest.fixture
def home(whole, tmp_path, monkeypatch):
    monkeypatch.setenv("HEADWATER_HOME", str(whole.root))
    monkeypatch.delenv("HEADWATER_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "headwater.toml").write_text(TOML)
    return tmp_path


def test_the_status_names_the_column(home, capsys):
    assert main(["status"]) == 0
    assert "column distance: out of the range of training since 2024-01-01 04:" in (
        capsys.readouterr().out
    )


def test_columns_are_listed_the_worst_first(home, capsys):
    assert main(["columns"]) == 0
    compared, fault, heading, first, *_ = capsys.readouterr().out.splitlines()
    assert compared.startswith("Compared with the training window of gbm-1, 2024-01-01 00:00 to ")
    assert heading.split()[:2] == ["column", "nulls"]
    assert first.split()[0] == "distance"
    assert fault.startswith("distance: out of the range of training since ")
    assert main(["columns", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["columns"][0]["column"] == "distance"
    assert found["columns"][0]["state"]["psi"] > 0.1


def test_columns_say_why_nothing_is_compared(home, capsys):
    settings = (home / "headwater.toml").read_text()
    (home / "headwater.toml").write_text(settings.replace('season = "3h"', 'season = "7d"'))
    assert main(["columns"]) == 0
    assert " is shorter than columns.season, 7d." in capsys.readouterr().out


def test_the_report_has_them(home, capsys):
    assert main(["report"]) == 0
    page = (home / "report.html").read_text()
    assert "Are the columns as they were in training?" in page
    assert "out of the range of training" in page.split("Are the columns as they were")[1]
