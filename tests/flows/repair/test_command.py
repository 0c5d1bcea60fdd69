"""`headwater doctor --repair` as people call it."""

import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys

import pytest

from flows.__main__ import main
from flows.home.configuration import find_stream, load_settings
from flows.home.file_lock import lock_partition, lock_shared
from flows.home.home import Home
from flows.home.wall_clock import latest_time
from flows.repair.new_home import make
from flows.repair.repair import examine
from flows.runtime.partitions import Partitions
from flows.scorer import Scorer
from flows.streams.quotes_market import START_US
from operators.partition.journal import TOPIC as JOURNAL
from operators.partition.recovery import checkpoint_of
from operators.shard.messages import Records
from state.ingest.positions import LETTERS, IngestWriter, Sourced, positions_of
from state.log import EVENTS, Entry
from state.outputs.records import DeadLetter
from state.storage.object_store import ObjectStore
from state.topics import INGESTED
from tests.flows.repair.worlds import (
    FUTURE_US,
    MARKET,
    REPOSITORY,
    SETTINGS,
    append,
    held,
    poison,
    run_headwater,
    set_up,
    trade,
    tree,
)
from tests.waiting import until


@pytest.fixture
def home(tmp_path, monkeypatch):
    return set_up(tmp_path, monkeypatch)


def repaired(capsys, *words):
    capsys.readouterr()
    assert main(["doctor", "--repair", *words]) == 0
    return capsys.readouterr().out


def refused(capsys, *words):
    capsys.readouterr()
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_a_healthy_home_is_left_as_it_is(home, capsys):
    append(MARKET)
    assert main(["run"]) == 0
    before = tree(home.root)
    assert "is healthy (journal, append times): nothing was changed" in repaired(capsys)
    assert tree(home.root) == before


def test_a_poisoned_home_is_refused_and_a_new_one_gives_what_a_clean_one_would(
    home, capsys, tmp_path, monkeypatch
):
    poison()
    for words in (["run"], ["serve", "--port", "0"], ["ingest", "none.jsonl"],
                  ["dead-letters", "--again"]):  # fmt: skip
        assert "`headwater doctor --repair`" in refused(capsys, *words)
    assert main(["doctor", "--no-h2o"]) == 1
    assert "problem append times" in capsys.readouterr().out
    said = repaired(capsys)
    assert "id 'fast', appended 2099-01-01 00:00, event time 2099-01-01 00:00: left out" in said
    assert main(["run"]) == 0
    healed = {topic: held(home, topic) for topic in (EVENTS, "predictions", "outcomes")}

    (tmp_path / "clean").mkdir()
    clean = set_up(tmp_path / "clean", monkeypatch)
    append(MARKET)
    assert main(["run"]) == 0
    values = [[one[1:] for one in of] for of in healed["predictions"]]
    assert values == [[one[1:] for one in of] for of in held(clean, "predictions")]
    assert [[v for *_, v in of] for of in healed[EVENTS]] == [
        [v for *_, v in of] for of in held(clean)
    ]
    assert healed["outcomes"] != [[], []]


def test_append_times_rise_and_lie_at_the_events_again(home, capsys):
    poison()
    repaired(capsys)
    for of in held(home):
        times = [json.loads(value)["time"] for *_, value in of]
        stamps = [stamp for stamp, *_ in of]
        assert stamps == sorted(stamps)
        assert max(stamps) <= max(times) < FUTURE_US
        assert all(
            abs(stamp - time) < 60_000_000 for stamp, time in zip(stamps, times, strict=True)
        )


def test_the_old_home_is_kept_whole_and_what_was_left_out_too(home, capsys):
    poison()
    before = tree(home.root / "log")
    repaired(capsys)
    old = home.root / "before-repair-1"
    assert tree(old / "log") == before
    line = json.loads((home.root / "left-out-1.jsonl").read_text())
    assert line == {"append_time": FUTURE_US, "event": json.loads(trade("fast", FUTURE_US))}
    assert main(["ingest", str(home.root / "left-out-1.jsonl")]) == 0
    assert main(["run"]) == 0
    letters = [json.loads(value)["reason"] for of in held(home, LETTERS) for *_, value in of]
    assert letters == ["clock_skew"]
    assert "is healthy" in repaired(capsys)


def test_a_dry_run_changes_nothing(home, capsys):
    poison()
    before = tree(home.root)
    said = repaired(capsys, "--dry-run")
    assert "id 'fast'" in said
    assert "without --dry-run this starts a new home" in said
    assert tree(home.root) == before
    assert "must go with --repair" in refused(capsys, "doctor", "--dry-run")


def test_an_envelope_that_lied_is_named_and_left_out_and_its_neighbours_stay(home, capsys):
    append(MARKET[:100])
    log = home.log()
    liar = trade("liar", json.loads(MARKET[100])["time"])
    log.append(EVENTS, 0, [Entry(2**63 - 1, b"S01", liar)])
    for partition in (0, 1):
        log.append(EVENTS, partition, [Entry(2**63 - 1, b"S01", v) for v in MARKET[101:110]])
    log.close()
    for words in (["status"], ["dead-letters"], ["clocks"], ["models"]):
        assert main(words) == 0
    said = repaired(capsys)
    assert "id 'liar', appended 9223372036854775807 µs, event time 2024-01-01" in said
    assert said.count("left out") == 2  # and the file of what was
    values = [value for of in held(home) for *_, value in of]
    assert sorted(values) == sorted(MARKET[:100] + 2 * MARKET[101:110])


def test_a_home_of_which_nothing_is_left_goes_on(home, capsys):
    append([trade("only", FUTURE_US)], now=FUTURE_US)
    assert "id 'only'" in repaired(capsys)
    append(MARKET)
    assert main(["run"]) == 0
    assert sum(map(len, held(home, "predictions"))) > 0


def test_a_declared_history_beyond_the_clock_is_healthy(home, capsys, tmp_path):
    (tmp_path / "made-up.jsonl").write_bytes(trade("a", FUTURE_US))
    assert main(["ingest", "made-up.jsonl", "--now", "2099-02-01"]) == 0
    assert main(["run"]) == 0
    assert "is healthy" in repaired(capsys)
    assert sum(map(len, held(home, LETTERS))) == 0


def test_an_undeclared_history_beyond_the_clock_is_quarantined_with_a_word(home, capsys, tmp_path):
    (tmp_path / "made-up.jsonl").write_bytes(
        b"\n".join(trade(f"t{i}", FUTURE_US + i) for i in range(20))
    )
    assert main(["ingest", "made-up.jsonl"]) == 0
    assert "20 records with a time after " in (said := capsys.readouterr().err)
    assert "--now TIME" in said
    assert main(["run"]) == 0
    reasons = [json.loads(value)["reason"] for of in held(home, LETTERS) for *_, value in of]
    assert reasons == ["clock_skew"] * 20
    alerts = [json.loads(value)["kind"] for of in held(home, "alerts") for *_, value in of]
    assert alerts == ["clock_ahead"]
    assert main(["ingest", "made-up.jsonl", "--now", "2099-02-01"]) == 0
    assert main(["run"]) == 0
    assert sum(map(len, held(home, LETTERS))) == 20


def test_it_waits_for_nobody_who_is_at_work(home, capsys, tmp_path):
    poison()
    before = tree(home.root / "log")
    shared = lock_shared(home.root)
    assert "must be idle to be repaired" in refused(capsys, "doctor", "--repair")
    run = run_headwater("doctor", "--repair")
    assert (run.returncode, run.stderr.count("\n")) == (2, 1)
    os.close(shared)
    flow = lock_partition(home.root, 1)
    run = run_headwater("doctor", "--repair")  # locks of one process do not shut itself out
    assert run.returncode == 2
    assert "events/1 is already processed by pid" in run.stderr
    os.close(flow)
    assert tree(home.root / "log") == before


def test_a_scorer_keeps_a_repair_away_until_it_is_closed(home, capsys):
    append(MARKET)
    assert main(["run"]) == 0
    with Scorer.open(follow=False):
        append([trade("fast", FUTURE_US)], now=FUTURE_US)
        assert "must be idle" in refused(capsys, "doctor", "--repair")
    assert "id 'fast'" in repaired(capsys)


def test_how_far_ingest_is_survives(home, capsys):
    log = home.log()
    intake = IngestWriter(log, "m")
    peek = [(b"S01", v) for v in MARKET[:50]]
    batch = [Sourced("crm/0", i, 5 + i, one) for i, one in enumerate(peek)]
    letter = DeadLetter("invalid", "no", 0, 50, 3, b"raw", "crm", 7)
    intake.append([*batch, Sourced("crm/0", 50, 60, letter)])
    intake.append([Sourced("dead_letters/0/invalid", 3, 61, peek[0]),
                   Sourced("dead_letters/2/invalid", 0, 61, peek[1])])  # fmt: skip
    intake.settle()
    log.append(EVENTS, 1, [Entry(FUTURE_US, b"S01", trade("fast", FUTURE_US))])
    letters = log.read(LETTERS, 2, 0)
    log.close()
    repaired(capsys)
    log = home.log()
    assert positions_of(log) == {"crm/0": 51, "dead_letters/2/invalid": 1}
    assert log.read(LETTERS, 2, 0) == letters
    assert IngestWriter(log, "m").position("crm/0") == 51
    assert log.end(INGESTED, 0) == 1
    log.close()


def test_letters_of_ingest_keep_their_offsets_where_the_first_were_trimmed(home, capsys):
    log = home.log()
    log.append(LETTERS, 2, [Entry(FUTURE_US + i, b"", b"%d" % i) for i in range(9)])
    log.trim(LETTERS, 2, 4)
    log.append(EVENTS, 1, [Entry(FUTURE_US, b"S01", trade("fast", FUTURE_US))])
    log.close()
    repaired(capsys)
    log = home.log()
    letters = log.read(LETTERS, 2, 4)
    assert [(r.offset, r.value) for r in letters] == [(i, b"%d" % i) for i in range(4, 9)]
    assert max(r.append_time for r in letters) < FUTURE_US
    log.close()


@pytest.fixture
def decided(home):
    """A poisoned home whose new one is made but not in its place."""
    append(MARKET[:20])
    assert main(["run"]) == 0
    append([trade("fast", FUTURE_US)], now=FUTURE_US)
    append(MARKET[20:], now=FUTURE_US)
    settings = load_settings()
    stream, log = find_stream(settings.stream), home.log()
    found = examine(log, home, stream, settings)
    make(home, log, stream.peek(), found.poisoned, latest_time(home))
    log.close()
    return home


def moves(home):
    """The moves that the note still lists, in order."""
    ready = json.loads((home.root / ".repair" / "ready").read_bytes())
    aside = home.root / ready["aside"]
    yield from ((home.root / name, aside / name) for name in ready["old"])
    new = home.root / ".repair" / "new"
    yield from ((new / name, home.root / name) for name in ready["new"])


def test_killed_while_it_moves_the_next_repair_goes_on(decided, capsys, tmp_path):
    before = tree(decided.root / "log")
    new = tree(decided.root / ".repair" / "new" / "log")
    kept = tmp_path / "kept"
    shutil.copytree(decided.root, kept)
    steps = list(moves(decided))
    assert len(steps) > 4
    for count in range(len(steps) + 1):
        shutil.rmtree(decided.root)
        shutil.copytree(kept, decided.root)
        for source, target in steps[:count]:
            target.parent.mkdir(exist_ok=True)
            source.rename(target)
        for words in (["status"], ["run"], ["ingest", "none.jsonl"], ["serve", "--port", "0"]):
            assert "`headwater doctor --repair` resumes it" in refused(capsys, *words)
        assert main(["doctor", "--no-h2o"]) == 1
        assert "problem repair" in capsys.readouterr().out
        assert "The interrupted repair is complete" in repaired(capsys)
        assert tree(decided.root / "log") == new
        assert tree(decided.root / "before-repair-1" / "log") == before
        assert not (decided.root / ".repair").exists()
        assert "is healthy" in repaired(capsys)


def test_killed_before_it_has_decided_the_old_home_stands_and_the_next_repair_begins_anew(
    decided, capsys
):
    (decided.root / ".repair" / "ready").unlink()
    shutil.rmtree(decided.root / ".repair" / "new" / "log" / EVENTS)
    assert main(["status"]) == 0
    assert "must not lie beyond this machine's clock" in refused(capsys, "run")
    assert "id 'fast'" in repaired(capsys)
    assert sum(map(len, held(decided))) == len(MARKET)
    assert not (decided.root / ".repair").exists()


def test_killed_by_the_system_at_any_time_a_repair_can_be_gone_on_with(home, tmp_path, capsys):
    poison()
    kept = tmp_path / "kept"
    shutil.copytree(home.root, kept)
    command = [sys.executable, "-m", "flows", "doctor", "--repair"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    for seed in range(2):
        shutil.rmtree(home.root)
        shutil.copytree(kept, home.root)
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
            until(lambda: process.poll() is not None or (home.root / ".repair").exists())
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seed * 0.1)
            process.kill()
        assert main(["doctor", "--repair"]) == 0
        values = sorted(value for of in held(home) for *_, value in of)
        assert values == sorted(MARKET)
        assert sum(1 for _ in home.root.glob("before-repair-*")) == 1


@pytest.mark.parametrize("limit_kib", [1, 20, 60, 200])
def test_a_disk_that_is_full_amid_a_repair_is_told_in_one_line_and_the_next_repair_ends(
    home, capsys, limit_kib
):
    poison()
    before = tree(home.root)

    def fill_up():
        # No file can grow beyond this: the nearest to a full disk that needs no privilege.
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_kib * 1024,) * 2)

    ended = run_headwater("doctor", "--repair", preexec_fn=fill_up)
    assert "Traceback" not in ended.stderr
    if ended.returncode:
        assert ended.returncode == 2
        assert ended.stderr.count("\n") == 1
        after = tree(home.root)
        assert {name: after.get(name) for name in before} == before
        repaired(capsys)
    values = sorted(value for of in held(home) for *_, value in of)
    assert values == sorted(MARKET)


def test_of_two_repairs_at_once_one_heals_and_the_other_says_why_it_does_not(home):
    poison()
    command = [sys.executable, "-m", "flows", "doctor", "--repair"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    started = [
        subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    said = [process.communicate() for process in started]
    codes = [process.returncode for process in started]
    assert 0 in codes
    for code, (out, err) in zip(codes, said, strict=True):
        assert "Traceback" not in err
        assert code in {0, 2}
        assert (err.count("\n") == 1) == (code == 2), out + err
    assert sorted(value for of in held(home) for *_, value in of) == sorted(MARKET)
    assert sum(1 for _ in home.root.glob("before-repair-*")) == 1


def test_settings_for_kafka_are_told_what_to_do(home, capsys, tmp_path):
    (tmp_path / "headwater.toml").write_text('stream = "quotes"\nlog = "kafka"\n')
    assert "set another kafka.prefix" in refused(capsys, "doctor", "--repair")


def test_where_there_is_no_home_nothing_is_made(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HEADWATER_HOME", str(tmp_path / "none"))
    assert "home must hold a log" in refused(capsys, "doctor", "--repair")
    assert not (tmp_path / "none").exists()
    assert Home(tmp_path / "none").root.exists() is False


def test_a_second_poisoning_is_healed_beside_the_first(home, capsys):
    poison()
    repaired(capsys)
    append([trade("again", FUTURE_US)], now=FUTURE_US)
    assert "id 'again'" in repaired(capsys)
    assert (home.root / "before-repair-1").is_dir()
    assert (home.root / "before-repair-2").is_dir()
    assert not (home.root / "before-repair-2" / "before-repair-1").exists()


def test_the_journal_begins_anew_in_a_new_home(home, capsys):
    append(MARKET[:100])
    assert main(["run"]) == 0
    append([trade("fast", FUTURE_US)], now=FUTURE_US)
    repaired(capsys)
    assert held(home, JOURNAL) == [[], []]


def test_a_machine_whose_clock_is_behind_the_home_leaves_nothing_out(home, capsys):
    append(MARKET)
    append([trade("right", FUTURE_US)], now=FUTURE_US)
    os.utime(home.root / "log" / EVENTS / "topic.json", (FUTURE_US / 1e6,) * 2)
    before = tree(home.root)
    assert "this machine's clock must be right for a repair" in refused(
        capsys, "doctor", "--repair"
    )
    assert tree(home.root) == before


def test_checkpoints_of_the_old_home_leave_the_store(home, capsys, tmp_path):
    store = tmp_path / "store"
    (tmp_path / "headwater.toml").write_text(
        SETTINGS + f'store = "{store.as_uri()}"\ntrusted = true\n'
    )
    append(
        [trade(f"seen{i}", START_US + i) for i in range(20)]
    )  # observations: no prediction tells
    append([trade("fast", FUTURE_US)], now=FUTURE_US)
    settings = load_settings()
    log = home.log()
    partitions = Partitions(settings, find_stream("quotes"), log, home)
    live = [partitions.open(p) for p in (0, 1)]
    for one in live:
        shard = one.shard
        shard.apply(Records(log.read(EVENTS, shard.partition, 0)))
        home.checkpoints().save(checkpoint_of(shard, at_boundary=False))
        for path in (home.root / "checkpoints" / str(shard.partition)).glob("*.ckpt"):
            ObjectStore(store.as_uri()).write(f"{shard.partition}/{path.name}", path.read_bytes())
    log.close()
    assert list(store.rglob("*.ckpt"))
    repaired(capsys)
    assert not list(store.rglob("*.ckpt"))
    append(MARKET)
    assert main(["run"]) == 0
    assert sum(map(len, held(home, "predictions"))) > 0
    assert sum(map(len, held(home, LETTERS))) == 0
