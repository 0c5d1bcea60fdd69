"""A replica that is replaced is gone: to begin anew costs no memory that stays."""

import subprocess
import sys
from pathlib import Path

MIB = 2**20

_HEAL = """
import gc
import sys
from pathlib import Path

import psutil

from flows.home.home import Home, create_topics
from flows.scorer import Scorer
from operators.shard.messages import Records
from operators.partition.recovery import checkpoint_of
from operators.shard.shard import Shard
from state.log import EVENTS, Entry, Record
from state.settings import Settings
from tests.soak.visits import Visits, encode, stream

EVENTS_IN = 60_000
home = Home(Path(sys.argv[1]))
log = home.log()
create_topics(log, stream.partitions)
visits = Visits(1_800_000_000_000_000, 2_000, 1_000_000)
settings = Settings(stream="tests.soak.visits:stream")
entries = [
    Entry(event.time, b"", encode(event)) for event in map(visits.event, range(EVENTS_IN))
]
log.append(EVENTS, 0, entries)
shard = Shard(stream, settings, 0)
shard.is_silent = True
shard.apply(Records([Record(i, *entry) for i, entry in enumerate(entries)]))
home.checkpoints().save(checkpoint_of(shard, at_boundary=False))
del entries, shard

gc.collect()
gc.disable()  # whatever lies in a circle of references stays


def taken():
    return psutil.Process().memory_full_info().uss


alone = taken()
with Scorer(settings, stream, log, home, partitions=[0], follow=False) as scorer:
    print(taken() - alone)
    for _ in range(8):
        one = scorer._followed[0]
        one._is_stuck, one._again_at = True, 0.0
        scorer.advance()
        assert not one._is_stuck
        print(taken() - alone)
"""


def test_a_follower_that_begins_anew_again_and_again_takes_no_more_memory(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _HEAL, tmp_path / "home"],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    first, *healed = map(int, done.stdout.split())
    assert first > 40 * MIB  # of which 40 for the replica, and the rest for what is loaded once
    # Memory kept of a replaced replica would be kept seven times.
    assert healed[-1] - healed[0] < 2 * 40 * MIB
