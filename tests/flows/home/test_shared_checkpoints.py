"""A machine without the home goes on, scores and audits from the checkpoints in the store."""

import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from flows.__main__ import main
from flows.home.configuration import ConfigurationError, load_settings
from flows.home.home import Home, sharing
from flows.ingest import append_history
from flows.replay import audit, what_if
from flows.scorer import Scorer
from flows.streams.quotes import stream
from flows.streams.quotes_market import START_US, Market
from state.log import EVENTS, OffsetError
from tests.flow_processes import Group, fill

HOURS, MORE_HOURS = 1.0, 1.2
KEY = "0123456789abcdef" * 4
PARTITIONS = range(stream.partitions)


@pytest.fixture(scope="module", autouse=True)
def signing_key():
    """All of it is signed, unless a test says otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADWATER_CHECKPOINT_KEY", KEY)
        yield


def toml(uri):
    return (
        '[training]\ntrainer = "external"\nwait = false\nevery = "20m"\n'
        f'[checkpoints]\nevery = "300ms"\nstore = "{uri}"\n'
    )


def configure(home, uri):
    """Give a home settings with this store."""
    (home.root / "headwater.toml").write_text(f'stream = "quotes"\n{toml(uri)}')


def run(root):
    flow = Group(root, words=("-m", "flows", "run"))
    codes = flow.wait(150)
    return codes[0], flow.output()


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A home whose events have all been read, the store that has its checkpoints; then trimmed."""
    folder = tmp_path_factory.mktemp("first")
    root, store = folder / "home", folder / "store"
    fill(root, toml(store.as_uri()), HOURS)
    code, output = run(root)
    while "lacks the newest checkpoints" in output:
        code, output = run(root)
    assert code == 0, output
    home, log = Home(root), Home(root).log()
    for p in PARTITIONS:
        kept = list(home.checkpoints().newest_first(p, at_boundary=True))[1]
        log.trim(EVENTS, p, kept.offset)
    log.close()
    return home, store


@pytest.fixture
def elsewhere(first, tmp_path):
    """A home with the log alone."""
    home, store = first
    other = Home(tmp_path / "other")
    shutil.copytree(home.root / "log", other.root / "log")
    uri = shutil.copytree(store, tmp_path / "store").as_uri()
    configure(other, uri)
    return other


def ends(home, topic=EVENTS):
    log = home.log()
    found = [log.end(topic, p) for p in PARTITIONS]
    log.close()
    return found


def test_a_flow_goes_on_from_the_store_and_writes_the_same(first, elsewhere, tmp_path):
    here = Home(tmp_path / "here")
    shutil.copytree(first[0].root, here.root)
    configure(here, "")
    for home in (here, elsewhere):
        log = home.log()
        append_history(log, Market(seed=3, rate_per_s=1.2).events(MORE_HOURS), stream.peek())
        log.close()
        code, output = run(home.root)
        assert code == 0, output
    logs = here.log(), elsewhere.log()
    for topic in ("predictions", "outcomes", "metrics"):
        assert sum(ends(here, topic)) > sum(ends(first[0], topic))
        for p in PARTITIONS:
            one, other = (
                [(r.offset, r.value) for r in log.read(topic, p, 0, max_records=10**6)]
                for log in logs
            )
            assert one == other
    for log in logs:
        log.close()


def test_without_the_store_it_is_told_what_is_missing(elsewhere):
    configure(elsewhere, "")
    code, output = run(elsewhere.root)
    assert code == 2
    assert ", asked for 0: was it cut? (events/" in output.splitlines()[-1]


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("s3x://bucket/checkpoints", "Unrecognized filesystem type in URI: s3x://"),
        ("s3://bucket/x?scheme=http&endpoint_override=127.0.0.1:1", "Failed to connect to 127.0"),
    ],
)
def test_a_store_that_cannot_be_reached_ends_the_run_in_one_line(elsewhere, uri, told):
    configure(elsewhere, uri)
    code, output = run(elsewhere.root)
    assert code == 2
    assert told in output.splitlines()[-1]
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (None, "checkpoints.store must be signed or trusted; got no HEADWATER_CHECKPOINT_KEY in"),
        ("short", "HEADWATER_CHECKPOINT_KEY must be a key of 32 characters or more"),
    ],
)
def test_without_a_key_a_store_is_refused_in_one_line(elsewhere, monkeypatch, capfd, key, told):
    monkeypatch.delenv("HEADWATER_CHECKPOINT_KEY")
    if key is not None:
        monkeypatch.setenv("HEADWATER_CHECKPOINT_KEY", key)
    code, output = run(elsewhere.root)
    assert (code, len(output.splitlines())) == (2, 1)
    assert told in output
    config = elsewhere.root / "headwater.toml"
    with pytest.raises(ConfigurationError, match=re.escape(told)):
        Scorer.open(config, home=elsewhere.root, follow=False)
    with pytest.raises(ConfigurationError, match=re.escape(told)):
        audit(home=elsewhere.root, settings=load_settings(config))
    monkeypatch.setenv("HEADWATER_HOME", str(elsewhere.root))
    monkeypatch.setenv("HEADWATER_CONFIG", str(config))
    for words in (["trim", "--before", "2030-01-01", "--dry-run"], ["serve", "--port", "0"]):
        assert main(words) == 2
        assert told in capfd.readouterr().err
    assert main(["doctor", "--no-h2o"]) == 1
    lines = [line for line in capfd.readouterr().out.splitlines() if "checkpoint" in line[:25]]
    assert [line.split()[0] for line in lines] == ["ok", "problem", "ok"]
    assert told in lines[1]


def test_doctor_tells_of_keys_and_of_what_is_passed_over(elsewhere, monkeypatch, capfd):
    monkeypatch.setenv("HEADWATER_HOME", str(elsewhere.root))
    monkeypatch.setenv("HEADWATER_CONFIG", str(elsewhere.root / "headwater.toml"))

    def examined():
        code = main(["doctor", "--no-h2o"])
        said = capfd.readouterr()
        found = {line[8:25].strip(): line for line in said.out.splitlines()}
        return code, found

    code, lines = examined()
    assert code == 0
    assert lines["checkpoint keys"].endswith("one in HEADWATER_CHECKPOINT_KEY")
    assert re.search(r"^ok .* \d+, 8 of 8 partitions can resume from one$", lines["checkpoints"])
    newest = max((elsewhere.root.parent / "store" / "0").iterdir())
    newest.write_bytes(newest.read_bytes()[:100])
    code, lines = examined()
    assert code == 1
    assert re.search(r"^problem .* got 1 that are passed over", lines["checkpoints"])


def test_a_trusted_store_needs_no_key_and_has_no_signatures(tmp_path, monkeypatch):
    monkeypatch.delenv("HEADWATER_CHECKPOINT_KEY")
    root, store = tmp_path / "home", tmp_path / "store"
    fill(root, toml(store.as_uri()) + "trusted = true\n", 0.1)
    code, output = run(root)
    assert code == 0, output
    copies = list(store.glob("*/*.ckpt"))
    assert copies
    assert all(path.read_bytes().startswith(b"headwater checkpoint 1\n") for path in copies)
    shutil.rmtree(root / "checkpoints")
    with Scorer.open(root / "headwater.toml", home=root, follow=False) as scorer:
        assert [scorer.as_of[p][1] for p in PARTITIONS] == ends(Home(root))


def test_what_was_signed_for_another_place_is_passed_over_and_the_one_before_taken(
    first, elsewhere, caplog
):
    *_, older, newest = sorted((elsewhere.root.parent / "store" / "0").iterdir())
    newest.write_bytes(older.read_bytes())
    with Scorer.open(
        elsewhere.root / "headwater.toml", home=elsewhere.root, follow=False
    ) as scorer:
        as_of = [scorer.as_of[p][1] for p in PARTITIONS]
    assert as_of[1:] == ends(first[0])[1:]
    assert int(older.name[:15]) <= as_of[0] < ends(first[0])[0]
    (line,) = {line for line in caplog.messages if "passed over" in line}
    assert line.startswith(f"checkpoint {newest.as_uri()} is damaged")
    assert "by a key of HEADWATER_CHECKPOINT_KEY and for this place" in line


def damaged(home, partition, *, at_boundary):
    """Copies from the store that this home has now with a valid digest, and no state inside."""
    own = home.checkpoints()
    copies = sharing(home, load_settings(home.root / "headwater.toml")).checkpoints()
    found = list(copies.newest_first(partition, at_boundary=at_boundary))
    return [own.save(replace(one, foreign=False, shard=b"\x90")) for one in found[:2]]


def test_what_holds_no_state_is_passed_over_by_scorer_and_run(first, elsewhere, caplog):
    for path in damaged(elsewhere, 0, at_boundary=False):
        before = path
    with Scorer.open(
        elsewhere.root / "headwater.toml", home=elsewhere.root, follow=False
    ) as scorer:
        assert [scorer.as_of[p][1] for p in PARTITIONS][1:] == ends(first[0])[1:]
    assert f"checkpoint {before} is damaged" in caplog.text
    code, output = run(elsewhere.root)
    assert code == 0, output
    assert f"checkpoint {before} is damaged" in output
    assert "Traceback" not in output


def test_what_holds_no_state_is_no_beginning_for_a_replay_and_none_for_trim(
    elsewhere, caplog, monkeypatch, capfd
):
    settings = load_settings(elsewhere.root / "headwater.toml")
    copies = sharing(elsewhere, settings).checkpoints()
    second = list(copies.newest_first(0, at_boundary=True))[1]
    elsewhere.checkpoints().save(replace(second, foreign=False, at_boundary=False))
    paths = damaged(elsewhere, 0, at_boundary=True)
    since = datetime.fromtimestamp(START_US / 1e6, UTC) + timedelta(minutes=45)
    asked = {"home": elsewhere.root, "settings": settings}
    assert audit(since, **asked)["identical"].sum() > 100  # from a periodic one at the same place
    with pytest.raises(ValueError, match="replay must begin at a checkpoint or at offset 0"):
        what_if({"decision.threshold": 0.02}, since, **asked)
    said = [line for line in caplog.messages if "passed over" in line]
    assert {line.split()[1] for line in said} == {str(path) for path in paths}
    monkeypatch.setenv("HEADWATER_HOME", str(elsewhere.root))
    monkeypatch.setenv("HEADWATER_CONFIG", str(elsewhere.root / "headwater.toml"))
    assert main(["trim", "--before", "2030-01-01", "--dry-run"]) == 0
    assert "records would be deleted" in capfd.readouterr().out


def test_what_a_river_classifier_learned_stays_in_the_home(tmp_path):
    root, store = tmp_path / "home", tmp_path / "store"
    river = '[online]\nriver = {class = "tree.HoeffdingTreeClassifier"}\n'
    fill(root, toml(store.as_uri()) + river, 0.2)
    code, output = run(root)
    assert code == 0
    assert "checkpoints stay in the home: those with online.river hold a pickle" in output
    assert not store.exists()
    configure(Home(root), store.as_uri())
    log = Home(root).log()
    append_history(log, Market(seed=3, rate_per_s=1.2).events(0.4), stream.peek())
    log.close()
    code, output = run(root)
    assert code == 0, output
    assert len(list(store.iterdir())) == stream.partitions


def test_a_scorer_begins_where_the_flow_was(first, elsewhere):
    config = elsewhere.root / "headwater.toml"
    with Scorer.open(config, home=elsewhere.root, follow=False) as scorer:
        assert [scorer.as_of[p][1] for p in PARTITIONS] == ends(first[0])
    configure(elsewhere, "")
    with pytest.raises(OffsetError):
        Scorer.open(config, home=elsewhere.root, follow=False)


def test_history_is_replayed_from_the_store(elsewhere):
    since = datetime.fromtimestamp(START_US / 1e6, UTC) + timedelta(minutes=45)
    settings = load_settings(elsewhere.root / "headwater.toml")
    asked = {"home": elsewhere.root, "settings": settings}
    checked = audit(since, **asked)
    assert checked["identical"].sum() > 100
    assert checked["different"].sum() == 0
    requests = what_if({"decision.threshold": 0.02}, since, **asked)
    assert len(requests) > 100
    assert requests["probability_base"].null_count() == 0
    assert not list(Path(elsewhere.root).glob("checkpoints/*"))
