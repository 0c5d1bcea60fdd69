"""A home may have any name that a file system allows: it gets its models all the same."""

import re

import pytest

from flows.__main__ import main
from flows.home.home import Home, create_topics
from flows.runtime.fitter import Fitter
from models.h2o.server import H2OServer, work_dir_for
from state.settings import settings_from
from tests.flows.runtime.test_fitter import CUT, STREAM, _cut

ODD = "My Documents {größe} [1] #%20 日本 'a' \"b\" c\\\\d ;,&*?~$HOME"


HIDDEN = ".local/share/.headwater"


@pytest.fixture(params=[ODD, HIDDEN, pytest.param("plain", marks=pytest.mark.long)])
def home(request, tmp_path, monkeypatch):
    home = Home(tmp_path / request.param / "var")
    home.root.mkdir(parents=True)
    monkeypatch.setenv("HEADWATER_HOME", str(home.root))
    monkeypatch.chdir(home.root)
    return home


def test_a_fit_is_made_by_an_h2o_of_its_own_in_a_home_of_any_name(home, outcomes):
    path = home.snapshots / CUT
    path.parent.mkdir(parents=True)
    outcomes.write_parquet(path, compression="zstd")
    settings = settings_from(
        {"h2o": {"memory": "600m"}, "training": {"validation": "2d", "min_rows": 500}}
    )
    log, said = home.log(), []
    create_topics(log, 1)
    fitter = Fitter(settings, STREAM, log, home, said.append)
    cut = _cut(home)
    try:
        record = fitter(cut.boundary, [cut], [])
    finally:
        fitter.close()
        log.close()
    assert record.status == "promoted", record.reason
    assert record.certificate.ok


def test_doctor_fits_as_a_run_does_and_leaves_nothing(home, capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"H2O fit +fitted a trial model on \d+ rows in", out)
    assert not list(home.root.iterdir())


def test_doctor_fits_in_an_h2o_of_others_or_tells_that_it_cannot_read_the_home(
    home, h2o_server, capsys
):
    (home.root / "headwater.toml").write_text(f'[h2o]\nurl = "{h2o_server.url}"\n')
    can_read = str(home.root).isascii()
    assert main(["doctor"]) == (0 if can_read else 1)
    said = "fitted a trial model on" if can_read else "training files must have ASCII paths"
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("name", ["a b", "größe", "{x}", "a#b", "%20", "[1]"])
def test_h2o_lives_elsewhere_where_a_uri_cannot_hold_its_folder(tmp_path, name):
    plain = tmp_path / "plain"
    assert work_dir_for(plain) == plain
    assert work_dir_for(tmp_path / name) != tmp_path / name
    assert H2OServer(work_dir=tmp_path / name).work_dir == work_dir_for(tmp_path / name)
