"""A machine without the home goes on, scores and audits from the checkpoints in the store."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.configuration import load_settings
from flows.home import Home
from flows.ingest import append_history
from flows.replay import audit, what_if
from flows.scorer import Scorer
from flows.streams.quotes import stream
from flows.streams.quotes_market import START_US, Market
from state.log import EVENTS, OffsetError
from tests.flow_processes import Group, fill

HOURS, MORE_HOURS = 1.0, 1.2
PARTITIONS = range(stream.partitions)


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


def test_what_a_river_classifier_learned_stays_in_the_home(tmp_path):
    root, store = tmp_path / "home", tmp_path / "store"
    river = '[online]\nriver = {class = "tree.HoeffdingTreeClassifier"}\n'
    fill(root, toml(store.as_uri()) + river, 0.2)
    code, output = run(root)
    assert code == 0
    assert "checkpoints stay in the home: of online.river they hold a pickle" in output
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
    requests = what_if({"ensemble.rate": 0.02}, since, **asked)
    assert len(requests) > 100
    assert requests["probability_base"].null_count() == 0
    assert not list(Path(elsewhere.root).glob("checkpoints/*"))
