"""After a failed fit, the decision records the failure and the next fit works."""

import hashlib
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from flows.home.home import Home, create_topics
from flows.runtime.fitter import Fitter
from models.judging.column_profile import read_profile
from models.mojo.model import read_mojo
from models.refit.certificate import LIMIT, verify
from operators.training.training_cuts import TrainingCut
from state.events import DAY_US, Event
from state.features import Category, Field
from state.log import Log
from state.settings import settings_from
from state.storage.artifact_store import ArtifactStore
from state.stream import Label, Stream
from tests.ending import ended_within
from tests.waiting import until

FIRST_US = 1_357_000_000_000_000
END_US = FIRST_US + 10 * DAY_US
CUT = f"0/{END_US}.parquet"


class Asked(Event, frozen=True, kw_only=True):
    carrier: str
    dest: str
    x0: float | None
    x1: float | None


class Told(Event, frozen=True, kw_only=True):
    of: str


STREAM = Stream(
    name="asked",
    events=(Asked, Told),
    request=Asked,
    label=Label(
        on=Told,
        of="of",
        value=lambda told: bool(told.of),
        deadline=lambda asked: asked.time,
        silence=False,
        delay="1h",
    ),
    features=(Category("carrier"), Category("dest"), Field("x0"), Field("x1")),
)


@pytest.fixture
def home(tmp_path, outcomes) -> Home:
    home = Home(tmp_path / "home")
    path = home.snapshots / CUT
    path.parent.mkdir(parents=True)
    outcomes.write_parquet(path, compression="zstd")
    return home


def _cut(home: Home) -> TrainingCut:
    content = (home.snapshots / CUT).read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    return TrainingCut(END_US, CUT, sha256, 4_000, FIRST_US, END_US - 1)


def _log(home: Home) -> Log:
    log = home.log()
    create_topics(log, 1)
    return log


def _fitter(home: Home, url: str, said: list[str], **training: object) -> Fitter:
    settings = settings_from(
        {"h2o": {"url": url}, "training": {"validation": "2d", "min_rows": 500, **training}}
    )
    return Fitter(settings, STREAM, _log(home), home, said.append)


def test_what_the_disk_refuses_is_no_decision_and_tried_until_it_is_taken(
    home, h2o_server, monkeypatch
):
    said: list[str] = []
    monkeypatch.setattr("flows.runtime.fitter._RETRY_S", 0.05)
    (home.root / "artifacts").write_text("a file where the folder must be")
    fitter, cut = _fitter(home, h2o_server.url, said), _cut(home)
    with ThreadPoolExecutor() as pool:
        fit = pool.submit(fitter, cut.boundary, [cut], [])
        until(lambda: said or fit.done())
        assert not fit.done()
        (home.root / "artifacts").unlink()
        decision = fit.result()
    assert re.search("the fit is retried .* because the disk refused it: .*artifacts", said[0])
    assert "promoted" in said[-1]
    assert decision.status == "promoted"
    assert decision.certificate.ok
    assert ArtifactStore(home.root / "artifacts").get(decision.sha256)


def test_a_fit_that_waits_for_the_disk_can_be_abandoned(home, h2o_server):
    said: list[str] = []
    (home.root / "artifacts").write_text("a file where the folder must be")
    fitter, cut = _fitter(home, h2o_server.url, said), _cut(home)
    with ThreadPoolExecutor() as pool:
        fit = pool.submit(fitter, cut.boundary, [cut], [])
        until(lambda: said)
        fitter.abandon()
        assert fit.result(timeout=5).status == "failed"  # nobody publishes it


def test_a_full_disk_on_which_h2o_fails_is_no_decision(home, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=2**20))
    home.h2o.mkdir()
    fitter, cut = _fitter(home, "http://127.0.0.1:1", said), _cut(home)
    with ThreadPoolExecutor() as pool:
        fit = pool.submit(fitter, cut.boundary, [cut], [])
        until(lambda: said)
        fitter.abandon()
        fit.result(timeout=5)
    assert "No space left on device" in said[0]


def test_a_model_that_java_scores_is_kept_with_its_rows_and_judged_as_champion(home, h2o_server):
    fitter = _fitter(home, h2o_server.url, [], algorithm="xgboost", refit=False)
    cut = _cut(home)
    first = fitter(cut.boundary, [cut], [])
    assert (first.status, first.algorithm) == ("promoted", "xgboost")
    artifacts = home.artifacts()
    mojo = read_mojo(artifacts.get(first.sha256))
    assert mojo.algorithm == "xgboost"
    assert verify(mojo, artifacts.get(first.rows_sha256)) <= LIMIT
    profile = read_profile(artifacts.get(first.profile_sha256))
    assert profile.rows == 4_000  # those that judge, too
    assert [one.name for one in profile.columns] == ["carrier", "dest", "x0", "x1"]
    assert sum(one.importance for one in profile.columns) == pytest.approx(1.0)

    early = msgspec.structs.replace(first.window, end=cut.boundary - DAY_US)
    second = fitter(cut.boundary, [cut], [msgspec.structs.replace(first, window=early)])
    assert second.champion == first.model
    assert second.champion_metrics == second.metrics


def test_what_one_fit_leaves_in_an_h2o_of_its_own_is_gone_with_the_next(home):
    training = {"validation": "2d", "min_rows": 500}
    settings = settings_from({"h2o": {"memory": "600m"}, "training": training})
    fitter, cut = Fitter(settings, STREAM, _log(home), home, str), _cut(home)
    assert fitter(cut.boundary, [cut], []).status == "promoted"
    server = fitter.server()
    ast = "(assign left (rep_len 1 3))"
    server.request("POST /99/Rapids", ast=ast, session_id=server.session)
    assert fitter(cut.boundary, [cut], []).status == "promoted"
    assert fitter.server() is server
    assert not server.request("GET /3/Frames")["frames"]
    fitter.close()


def test_an_algorithm_that_cannot_be_served_is_refused_before_the_flow_starts(home):
    with pytest.raises(ValueError, match=r"algorithm must be .*; got 'isolationforest'"):
        _fitter(home, "", [], algorithm="isolationforest")


@pytest.mark.parametrize("window", ["1h", "30m"])
def test_a_window_in_which_no_label_would_come_is_refused_before_the_flow_starts(home, window):
    with pytest.raises(ValueError, match=rf"longer than a label may take, 1h .*; got {window}"):
        _fitter(home, "", [], window=window)


def test_boundaries_skipped_one_after_the_other_are_told_once(home):
    said: list[str] = []
    fitter, cut = _fitter(home, "http://127.0.0.1:1", said, min_rows=10_000), _cut(home)
    records = []
    for boundary in (cut.boundary - DAY_US, cut.boundary):
        records.append(fitter(boundary, [cut], records.copy()))
    assert [record.status for record in records] == ["skipped", "skipped"]
    assert len(said) == 1


def test_a_snapshot_that_is_gone_fails_the_fit(home, h2o_server):
    cut = _cut(home)
    Path(home.snapshots / cut.path).unlink()
    decision = _fitter(home, h2o_server.url, [])(cut.boundary, [cut], [])
    assert decision.status == "failed"
    assert cut.path in decision.reason


def test_a_snapshot_that_is_damaged_fails_the_fit(home, h2o_server):
    cut = _cut(home)
    Path(home.snapshots / cut.path).write_bytes(b"PAR1 and then nothing PAR1")
    decision = _fitter(home, h2o_server.url, [])(cut.boundary, [cut], [])
    assert decision.status == "failed"


def test_an_h2o_that_cannot_be_reached_fails_the_fit(home):
    cut = _cut(home)
    decision = _fitter(home, "http://127.0.0.1:1", [])(cut.boundary, [cut], [])
    assert decision.status == "failed"
    assert "127.0.0.1:1" in decision.reason


def test_an_h2o_that_cannot_start_fails_the_fit_with_the_end_of_its_log(home):
    settings = settings_from({"h2o": {"memory": "1k"}, "training": {"min_rows": 500}})
    cut = _cut(home)
    decision = Fitter(settings, STREAM, _log(home), home, str)(cut.boundary, [cut], [])
    assert decision.status == "failed"
    assert "Too small maximum heap" in decision.reason


def test_too_few_rows_are_skipped_before_any_h2o_is_asked(home):
    cut = _cut(home)
    settings = settings_from({"h2o": {"url": "http://127.0.0.1:1"}})
    fitter = Fitter(settings, STREAM, _log(home), home, str)
    decision = fitter(cut.boundary - 9 * DAY_US, [cut], [])
    assert decision.status == "skipped"
    assert decision.reason.startswith("rows must be at least 2000; got 3")


def _long(home: Home, said: list[str]) -> Fitter:
    """Its fits take minutes."""
    training = {"validation": "2d", "min_rows": 500, "models": 1_000}
    settings = settings_from({"h2o": {"memory": "600m"}, "training": training})
    return Fitter(settings, STREAM, _log(home), home, said.append)


def _starting(fitter: Fitter, home: Home) -> bool:
    return bool(list(home.h2o.glob("*/flatfile")))


def _at_work(fitter: Fitter, home: Home) -> bool:
    return fitter._server is not None and bool(fitter._server.session)


@pytest.mark.parametrize("moment", [_starting, _at_work])
def test_a_fit_that_is_abandoned_ends_at_once_and_leaves_nothing_of_h2o(home, moment):
    said: list[str] = []
    fitter, cut, ended = _long(home, said), _cut(home), []
    thread = threading.Thread(target=lambda: ended.append(fitter(cut.boundary, [cut], [])))
    thread.start()
    while not moment(fitter, home):
        thread.join(0.01)
        assert thread.is_alive()
    fitter.abandon()
    thread.join(5)
    assert not thread.is_alive()
    assert ended[0].status == "failed"
    assert not said
    assert not list(home.h2o.iterdir())


FAILING = """
import sys, threading, time
from concurrent.futures import wait
from pathlib import Path
import msgspec
from flows.home.home import Home, create_topics
from operators.training.model_registry import ModelRegistry
from operators.training.trainer import Trainer
from state.log import Entry
from tests.flows.runtime.test_fitter import _at_work, _cut, _long

home = Home(Path(sys.argv[1]))
log = home.log()
create_topics(log, 1)
log.append("snapshots", 0, [Entry(1, b"", msgspec.json.encode(_cut(home)))])
fitter = _long(home, [])
trainer = Trainer(log, ModelRegistry(log), fitter, threading.Event())
while not _at_work(fitter, home):
    assert trainer.poll()
    wait([trainer._running], 0.05)
print(fitter._server.pid, time.time(), flush=True)
raise ZeroDivisionError
"""


def test_a_program_that_fails_in_the_middle_of_a_fit_ends_at_once(home):
    words = [sys.executable, "-c", FAILING, str(home.root)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    supervisor, failed_at = ended.stdout.split()
    assert time.time() - float(failed_at) < 5
    assert ended.stderr.splitlines()[-1] == "ZeroDivisionError"
    assert ended.returncode == 1
    assert ended_within(int(supervisor), 10)
    assert not list(home.h2o.iterdir())


def test_an_h2o_that_exports_nothing_is_refused_before_the_flow_starts(home, monkeypatch):
    monkeypatch.setattr("flows.runtime.fitter.installed_version", lambda: "3.46.0.12")
    with pytest.raises(Exception, match=r"licence.*pip install 'h2o==3\.46\.0\.11'"):
        _fitter(home, "", [])
