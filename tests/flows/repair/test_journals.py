"""Journals that earlier versions wrote and none can read: the bytes are theirs."""

import json

import msgspec
import pytest

from flows.__main__ import main
from flows.home.configuration import find_stream, load_settings
from flows.repair.journals import broken_entries
from operators.partition.journal import TOPIC as JOURNAL
from operators.partition.journal import LaterVersionError
from state.log import EVENTS, Entry
from tests.flows.repair.worlds import MARKET, append, held, set_up, tree

FIRST = (
    b'{"type":"configured","offset":0,"settings":{"training.every":"7d","training.window":"90d",'
    b'"training.validation":"3d","training.algorithm":"gbm","training.models":1,"training.seed":1,'
    b'"training.min_rows":2000,"training.margin":-0.002,"training.refit":true,"training.pinned":"",'
    b'"online.rate":0.08,"online.river":null,"residual.rate":0.01,"ensemble.rate":0.005,'
    b'"ensemble.models":["online","offline","residual"],"decision.threshold":0.5,'
    b'"clock.tolerance":"5m","clock.span":"1h","clock.notice":"1s","metrics.every":"1h"},'
    b'"version":2}'
)
"""The first entry of a journal, as the version before wrote it with the default settings."""

IN_PLACE = {
    "training.margin": (b"-0.002", b"null"),
    "training.every": (b'"7d"', b'"8.64e+14s"'),
    "training.window": (b'"90d"', b'"1.23457e+06s"'),
    "training.algorithm": (b'"gbm"', b'"magic"'),
}
ANEW = {
    "decision.threshold": (b"0.5", b"null"),
    "metrics.every": (b'"1h"', b'"1.23457e+06s"'),
    "clock.tolerance": (b'"5m"', b'"1.23457e+06s"'),
    "online.river": (b"null", b'{"class":"os.system"}'),
}


def entry(key, value):
    """The first entry as it was where this setting was bad."""
    good, bad = value
    named = b'"%s":' % key.encode()
    assert named + good in FIRST
    return FIRST.replace(named + good, named + bad)


@pytest.fixture
def home(tmp_path, monkeypatch):
    return set_up(tmp_path, monkeypatch)


def lay(home, value, partition=0, *, noted=False):
    """A home that ran with a journal, whose first entry becomes this.

    Its checkpoints are of an earlier version, which noted nothing of the journal in them; or not.
    """
    append(MARKET)
    assert main(["run"]) == 0
    log, store = home.log(), home.checkpoints()
    log.amend(JOURNAL, partition, 0, value)
    log.close()
    for one in [] if noted else [*store.newest_first(0), *store.newest_first(1)]:
        assert one.journal
        store.save(msgspec.structs.replace(one, journal=""))


def refused(capsys, *words):
    capsys.readouterr()
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return err


def repaired(capsys):
    capsys.readouterr()
    assert main(["doctor", "--repair"]) == 0
    return capsys.readouterr().out


def test_an_entry_that_names_an_unknown_model_is_told_and_starts_a_new_home(home, capsys):
    lay(home, b'{"type":"activated","offset":0,"model":"gbm-gone","boundary":null}')
    told = "activations/0 at offset 0: model 'gbm-gone' is not in topic 'models'"
    capsys.readouterr()
    assert main(["doctor", "--no-h2o"]) == 1
    assert told in capsys.readouterr().out
    said = repaired(capsys)
    assert told in said
    assert "New home" in said
    assert "healthy" in repaired(capsys)
    assert main(["run"]) == 0


@pytest.mark.parametrize("key", [*IN_PLACE, *ANEW])
def test_run_and_serve_end_in_one_line_that_names_the_repair(home, capsys, key):
    lay(home, entry(key, (IN_PLACE | ANEW)[key]))
    for words in (["run"], ["serve", "--port", "0"]):
        assert "`headwater doctor --repair`" in refused(capsys, *words)
    assert main(["doctor", "--no-h2o"]) == 1
    assert (
        f"problem journal          journal must be readable; got activations/0 at offset 0: {key}"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize("key", IN_PLACE)
def test_what_decides_no_output_is_mended_in_place(home, capsys, key):
    lay(home, entry(key, IN_PLACE[key]))
    before = tree(home.root)
    output = {topic: held(home, topic) for topic in ("predictions", "outcomes", EVENTS)}
    said = repaired(capsys)
    assert (
        f"activations/0 at offset 0: {key} = {IN_PLACE[key][1].decode()}: no output depends" in said
    )
    assert {name for name, content in tree(home.root).items() if before.get(name) != content} <= {
        "log/activations/0.db"
    }
    (_, _, value), *_ = held(home, JOURNAL)[0]
    mended = json.loads(value)
    assert mended["settings"].pop(key) not in {
        None, "8.64e+14s", "1.23457e+06s", "magic",
    }  # fmt: skip
    expected = json.loads(FIRST)
    del expected["settings"][key]
    assert mended == expected
    assert main(["run"]) == 0
    assert {topic: held(home, topic) for topic in output} == output
    assert "is healthy" in repaired(capsys)


def test_a_journal_that_was_altered_is_refused(home, capsys):
    lay(home, FIRST.replace(b'"online.rate":0.08', b'"online.rate":0.09'), noted=True)
    capsys.readouterr()
    assert main(["run"]) == 2
    assert "headwater: journal must hold the entries that were obeyed" in capsys.readouterr().err


def test_a_journal_that_is_mended_is_what_was_obeyed(home, capsys):
    lay(home, entry("training.every", IN_PLACE["training.every"]), noted=True)
    assert "`headwater doctor --repair`" in refused(capsys, "run")
    assert "mended in place" in repaired(capsys)
    assert main(["run"]) == 0


@pytest.mark.parametrize("key", ANEW)
def test_what_decides_output_starts_a_new_home_with_all_events(home, capsys, key):
    lay(home, entry(key, ANEW[key]))
    events, predictions = held(home), held(home, "predictions")
    said = repaired(capsys)
    assert f"activations/0 at offset 0: {key} = {ANEW[key][1].decode()}: " in said
    assert held(home) == events
    assert held(home, JOURNAL) == [[], []]
    assert main(["run"]) == 0
    assert held(home, "predictions") == predictions  # the settings are today's, and were good
    assert not (home.root / "left-out-1.jsonl").exists()


@pytest.mark.parametrize("garbage", [b"{", b"\xff", b'{"type":"none"}', b"[" * 5000, b""])
def test_an_entry_that_is_none_starts_a_new_home(home, capsys, garbage):
    lay(home, garbage, partition=1)
    assert "see `headwater doctor --repair`" in refused(capsys, "run")
    assert "activations/1 at offset 0" in repaired(capsys)
    assert held(home, JOURNAL) == [[], []]


def test_an_entry_of_a_later_version_is_no_damage(home, capsys):
    lay(home, FIRST.replace(b'"version":2', b'"version":9'))
    before = tree(home.root)
    assert "must be of version 5 or older; got 9" in refused(capsys, "doctor", "--repair")
    assert tree(home.root) == before
    settings = load_settings()
    log = home.log()
    with pytest.raises(LaterVersionError):
        broken_entries(log, find_stream(settings.stream), settings)
    log.close()


def test_a_time_between_boundaries_is_only_replaced_where_none_has_been_crossed(home, capsys):
    lay(home, entry("training.every", (b'"7d"', b'"1.2e+06s"')))  # 14 days: many were
    assert "output depends on it, so all outputs are derived again" in repaired(capsys)


@pytest.mark.parametrize("every", ["1.7e+308s", "1e+999s", "0e+00s", "1e-07s", "nans"])
def test_a_time_between_boundaries_may_be_any_text(home, capsys, every):
    lay(home, entry("training.every", (b'"7d"', b'"%s"' % every.encode())))
    assert main(["doctor", "--no-h2o"]) == 1
    assert f'activations/0 at offset 0: training.every = "{every}"' in repaired(capsys)
    assert main(["run"]) == 0


def test_a_setting_that_is_a_value_and_a_table_at_once_starts_a_new_home(home, capsys):
    lay(home, FIRST.replace(b'"settings":{', b'"settings":{"online":5,'))
    said = refused(capsys, "run")
    assert "online must be a table or a value; got both, the one in 'online.river'" in said
    assert "activations/0 at offset 0: online = 5: " in repaired(capsys)
    assert main(["run"]) == 0


def test_all_bad_entries_of_all_partitions_are_mended_at_once(home, capsys):
    lay(home, entry("training.margin", IN_PLACE["training.margin"]))
    log = home.log()
    both = entry("training.margin", IN_PLACE["training.margin"]).replace(b'"90d"', b'"9e+99s"')
    log.append(JOURNAL, 1, [Entry(0, b"", both)])
    log.close()
    said = repaired(capsys)
    assert said.count("no output depends on it") == 3
    assert "is healthy" in repaired(capsys)
