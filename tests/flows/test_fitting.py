"""What a fit's failure does: the decision says so, and the next fit is none the worse for it."""

import hashlib
from pathlib import Path

import pytest

from flows.fitting import Fitter
from flows.home import Home
from models.artifacts import ArtifactStore
from operators.snapshots import Committed
from state.events import DAY_US, Event
from state.features import Category, Field
from state.settings import settings_from
from state.stream import Label, Stream

FIRST_US = 1_357_000_000_000_000


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
    path = home.snapshots / "0" / "cut.parquet"
    path.parent.mkdir(parents=True)
    outcomes.write_parquet(path, compression="zstd")
    return home


def _cut(home: Home) -> Committed:
    content = (home.snapshots / "0/cut.parquet").read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    end = FIRST_US + 10 * DAY_US
    return Committed(end, "0/cut.parquet", sha256, 4_000, FIRST_US, end - 1)


def _fitter(home: Home, url: str, said: list[str]) -> Fitter:
    settings = settings_from(
        {"h2o": {"url": url}, "training": {"validation": "2d", "min_rows": 500}}
    )
    return Fitter(settings, STREAM, home, said.append)


def test_an_artifact_that_cannot_be_written_fails_the_fit_and_not_the_flow(home, h2o_server):
    said: list[str] = []
    (home.root / "artifacts").write_text("a file where the folder must be")
    fitter = _fitter(home, h2o_server.url, said)
    cut = _cut(home)
    decision = fitter(cut.boundary, [cut], [])
    assert decision.status == "failed"
    assert "artifacts" in decision.reason
    assert "failed" in said[0]

    (home.root / "artifacts").unlink()
    again = fitter(cut.boundary, [cut], [decision])
    assert again.status == "promoted"
    assert again.certificate.ok
    assert ArtifactStore(home.root / "artifacts").get(again.sha256)


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


def test_an_h2o_that_exports_nothing_is_refused_before_the_flow_starts(home, monkeypatch):
    monkeypatch.setattr("h2o.__version__", "3.46.0.12")
    with pytest.raises(Exception, match=r"licence.*pip install 'h2o==3\.46\.0\.11'"):
        _fitter(home, "", [])
