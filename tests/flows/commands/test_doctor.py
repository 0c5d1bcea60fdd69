import sqlite3
from importlib.metadata import version

import pytest

from flows.__main__ import main
from flows.commands.doctor import _of_fits
from flows.home.home import Home, create_topics
from state.log import Entry


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADWATER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HEADWATER_CONFIG", raising=False)
    return Home(tmp_path / "home")


@pytest.fixture
def topics(home):
    log = home.log()
    create_topics(log, 2)
    log.append("events", 1, [Entry(n, b"k", b"v" * 1000) for n in range(200)])
    log.close()
    return home.root / "log"


def examined(capsys):
    """The exit code, and the lines by what they are about."""
    code = main(["doctor", "--no-h2o"])
    *lines, last = capsys.readouterr().out.splitlines()
    return code, {line[8:25].strip(): (line[:8].strip(), line[25:]) for line in lines}, last


def problems(capsys):
    code, lines, _ = examined(capsys)
    assert code == 1
    return {name: text for name, (verdict, text) in lines.items() if verdict != "ok"}


def test_a_healthy_home_has_no_problem(topics, capsys):
    code, lines, last = examined(capsys)
    assert code == 0
    assert last == f"{len(lines)} checks, no problems"
    assert {verdict for verdict, _ in lines.values()} == {"ok"}
    assert lines["log events"][1] == "2 partitions, offsets 0 to 0, 0 to 200"
    assert lines["log models"][1] == "1 partition, offsets 0 to 0"
    assert lines["numba"][1] == version("numba")
    assert {"h2o", "Java"}.isdisjoint(lines)


def test_fits_need_h2o_and_its_java(home):
    found = {check.name: check.look for check in _of_fits(home)}
    assert found["h2o"]() == "3.46.0.11"
    assert found["H2O release"]() == "3.46.0.11 exports its models"
    assert '"21.' in found["Java"]()


def test_stores_must_answer(home, topics, tmp_path, capsys):
    models = tmp_path / "models"
    (tmp_path / "headwater.toml").write_text(
        f'artifacts = "{models.as_uri()}"\n[checkpoints]\nstore = "s3x://bucket/x"\n'
    )
    code, lines, _ = examined(capsys)
    assert code == 1
    assert lines["model store"] == ("ok", f"{models.as_uri()} exists and is writable")
    verdict, text = lines["checkpoint store"]
    assert verdict == "problem"
    assert text.startswith("store must be one that pyarrow supports; got 'Unrec")
    assert text.endswith("→ correct the address in the settings, or the access rights")


def test_an_empty_home_is_left_as_it_was(home, capsys):
    code, lines, _ = examined(capsys)
    assert code == 0
    assert lines["log"][1].startswith("none yet")
    assert not home.root.exists()


def test_a_page_of_garbage_is_found(topics, capsys):
    path = topics / "events" / "1.db"
    content = bytearray(path.read_bytes())
    content[3 * 8192 : 3 * 8192 + 100] = b"\xff" * 100
    path.write_bytes(content)
    found = problems(capsys)
    assert list(found) == ["log events"]
    assert str(path) in found["log events"]


def test_pages_in_each_others_place_are_found(topics, capsys):
    path = topics / "events" / "1.db"
    content = path.read_bytes()
    first, second = content[3 * 8192 : 4 * 8192], content[4 * 8192 : 5 * 8192]
    path.write_bytes(content[: 3 * 8192] + second + first + content[5 * 8192 :])
    assert "must be whole; got" in problems(capsys)["log events"]


def test_a_file_that_is_no_database_is_found(topics, capsys):
    (topics / "predictions" / "0.db").write_bytes(b"nothing of the kind" * 1000)
    found = problems(capsys)
    assert list(found) == ["log predictions"]
    assert "not a database" in found["log predictions"]


def test_a_record_missing_in_the_middle_is_found(topics, capsys):
    with sqlite3.connect(topics / "events" / "1.db") as database:
        database.execute("DELETE FROM records WHERE offset = 57")
    database.close()
    found = problems(capsys)
    assert list(found) == ["log events"]
    assert "got 199 records" in found["log events"]


def test_history_that_was_cut_at_its_beginning_is_no_damage(topics, capsys):
    with sqlite3.connect(topics / "events" / "1.db") as database:
        database.execute("DELETE FROM records WHERE offset < 57")
    database.close()
    code, lines, _ = examined(capsys)
    assert code == 0
    assert lines["log events"][1] == "2 partitions, offsets 0 to 0, 57 to 200"


def test_a_missing_topic_and_a_missing_partition_are_found(topics, capsys):
    (topics / "alerts" / "topic.json").unlink()
    (topics / "metrics" / "1.db").unlink()
    assert sorted(problems(capsys)) == ["log alerts", "log metrics"]


LARGE = """
from flows.streams import quotes
from dataclasses import replace
from state.features import Count, Rolling

wide = Rolling(quotes.Trade, ("account",), ("5m", "7d"), (Count("n"),), bucket="5s")
stream = replace(quotes.stream, features=(*quotes.stream.features, wide), dedup="8d")
"""


def test_memory_per_key_is_told_and_warned_of_where_it_is_large(
    home, topics, capsys, tmp_path, monkeypatch
):
    (tmp_path / "headwater.toml").write_text("stream = 'quotes'")
    assert examined(capsys)[1]["memory per key"][0] == "ok"
    (tmp_path / "large_keys.py").write_text(LARGE)
    (tmp_path / "headwater.toml").write_text("stream = 'large_keys:stream'")
    monkeypatch.syspath_prepend(tmp_path)
    code, lines, _ = examined(capsys)
    assert code == 0
    verdict, text = lines["memory per key"]
    assert verdict == "warning"
    assert text.startswith("account: 0.6 to 2,177.9 kB; symbol: ")
    assert "above 100 kB, most of it Rolling(account_n_5m)" in text


def test_settings_that_cannot_be_used_are_found(home, capsys):
    (home.root.parent / "headwater.toml").write_text("strem = 'quotes'")
    found = problems(capsys)
    assert sorted(found) == ["settings", "stream"]
    assert "strem" in found["settings"]


def test_a_stream_that_cannot_be_used_is_found(home, capsys):
    (home.root.parent / "headwater.toml").write_text("stream = 'birds'")
    assert list(problems(capsys)) == ["stream"]


def test_an_urllib3_that_was_replaced_is_told(topics, monkeypatch, capsys):
    del topics
    monkeypatch.setattr("urllib3.__version__", "2.25.904")
    assert "urllib3 must be" in problems(capsys)["urllib3"]
