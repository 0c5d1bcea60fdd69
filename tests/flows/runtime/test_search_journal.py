"""Proposals are journaled before they are fitted: a killed fit goes on with the same ones."""

import signal
import subprocess
import sys
from contextlib import closing

import msgspec
import pytest

from models.refit.proposals import MissingOptunaError, Proposals
from operators.training.model_registry import ModelRegistry
from state.events import DAY_US
from tests.flows.runtime.test_fitter import END_US, _cut, _fitter, _log, home
from tests.waiting import until

__all__ = ["home"]

SEARCH = {"search": "tpe", "models": 3, "refit": False, "min_rows": 100}
KILLED = """
import sys
from pathlib import Path
from flows.home.home import Home
from flows.runtime.fitter import Fitter
from tests.flows.runtime.test_fitter import _cut, _fitter
from tests.flows.runtime.test_search_journal import SEARCH

home = Home(Path(sys.argv[1]))
fitter = _fitter(home, "", [], **SEARCH | {"models": 300})
fitter(_cut(home).boundary, [_cut(home)], [])
"""


def fitted(home, h2o_server, earlier=(), boundary=END_US, **given):
    fitter = _fitter(home, h2o_server.url, [], **SEARCH | given)
    return fitter(boundary, [_cut(home)], list(earlier))


def test_a_killed_fit_goes_on_with_the_proposals_that_it_had_journaled(home, h2o_server):
    log = _log(home)
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(home.root)])
    until(lambda: process.poll() is not None or log.end("models", 0))
    process.send_signal(signal.SIGKILL)
    process.wait()
    with closing(log):
        journaled = ModelRegistry(log).proposals(END_US)
        assert len(journaled.candidates) == 800
        record = fitted(home, h2o_server)
        assert [one.parameters for one in record.tried[1:]] == journaled.candidates[:3]
        assert record.search == "tpe"
        assert log.end("models", 0) == 1  # the trainer publishes the decision


def test_what_is_journaled_is_fitted_without_optuna(home, h2o_server, monkeypatch):
    fitter = _fitter(home, h2o_server.url, [], **SEARCH)
    first = fitter(END_US, [_cut(home)], [])
    monkeypatch.setitem(sys.modules, "optuna", None)
    again = fitter(END_US, [_cut(home)], [])
    assert (again.model, again.tried) == (first.model, first.tried)
    with pytest.raises(ModuleNotFoundError):
        fitter(END_US - DAY_US, [_cut(home)], [])


def test_later_proposals_rest_on_earlier_fits(home, h2o_server):
    early = fitted(home, h2o_server, boundary=END_US - 2 * DAY_US)
    late = fitted(home, h2o_server, [early])
    with closing(_log(home)) as log:
        registry = ModelRegistry(log)
        assert registry.proposals(END_US).trials == len(early.tried) == 4
    assert late.tried[0].parameters == early.parameters
    assert late.champion == early.model


def test_proposals_for_another_algorithm_are_made_anew(home, h2o_server):
    with closing(_log(home)) as log:
        registry = ModelRegistry(log)
        registry.propose(Proposals(boundary=END_US, algorithm="drf", trials=0, candidates=[{}]))
        record = fitted(home, h2o_server)
        assert ModelRegistry(log).proposals(END_US).algorithm == "gbm"
    assert record.status == "promoted"


def test_automl_searches_by_itself_and_is_judged_as_any_challenger(home, h2o_server):
    early = fitted(home, h2o_server, boundary=END_US - 2 * DAY_US)
    record = fitted(home, h2o_server, [early], algorithm="automl", models=1)
    with closing(_log(home)) as log:
        assert ModelRegistry(log).proposals(END_US) is None
    assert record.champion == early.model
    assert record.champion_metrics is not None
    assert record.certificate.ok
    assert record.search == "grid"


def test_without_optuna_the_flow_does_not_start(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingOptunaError, match=r"pip install 'headwater\[search\]'"):
        _fitter(home, "", [], search="tpe")
    _fitter(home, "", [], search="grid")


def test_a_search_by_the_grid_writes_what_it_always_has(home, h2o_server):
    record = fitted(home, h2o_server, search="grid")
    written = msgspec.to_builtins(record)
    assert "search" not in written
    assert written["tried"][0].keys() == {"parameters", "trees", "log_loss"}
    with closing(_log(home)) as log:
        assert log.end("models", 0) == 0
