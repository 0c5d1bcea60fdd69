"""`headwater rollback`."""

import pytest

from flows.__main__ import main
from flows.home.home import Home, create_topics
from models.refit.fit_record import FitRecord
from operators.training.model_registry import ModelRegistry


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADWATER_HOME", str(tmp_path))
    monkeypatch.delenv("HEADWATER_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    home = Home(tmp_path)
    log = home.log()
    create_topics(log, 1)
    published = ModelRegistry(log)
    for boundary, model in enumerate(["gbm-a", "gbm-b"], 1):
        published.publish(
            FitRecord(
                boundary=boundary, status="promoted", reason="", algorithm="gbm", model=model,
                sha256="0" * 64,
            )
        )  # fmt: skip
    log.close()
    return home


def champion(home):
    log = home.log()
    found = ModelRegistry(log).newest_model()
    log.close()
    return found


def test_without_a_name_it_takes_the_model_that_was_in_use_before(home, capsys):
    assert main(["rollback"]) == 0
    assert capsys.readouterr().out == "gbm-a takes the place of gbm-b\n"
    assert champion(home) == "gbm-a"
    assert main(["rollback"]) == 2
    assert capsys.readouterr().err == (
        "headwater: model must be named, as none was in use before gbm-a; others are gbm-b\n"
    )
    assert main(["rollback", "gbm-b"]) == 0
    assert champion(home) == "gbm-b"


def test_what_was_never_in_use_is_refused_in_one_line(home, capsys):
    assert main(["rollback", "gbm-z"]) == 2
    assert capsys.readouterr().err == (
        "headwater: model must have been in use before gbm-b; got gbm-z, others are gbm-a\n"
    )
    assert champion(home) == "gbm-b"


def test_a_word_of_several_lines_is_refused_in_one(home, capsys):
    assert main(["rollback", "tab\tand\nline" + "x" * 1_000_000]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "got tab\\u0009and\\u000alinexxx" in line
    assert len(line) < 300


def test_a_home_without_a_log_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HEADWATER_HOME", str(tmp_path / "none"))
    assert main(["rollback"]) == 2
    assert "home must hold a log; got none" in capsys.readouterr().err
