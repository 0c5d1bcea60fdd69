"""Rules of the simulated system, each in a schedule of its own."""

from itertools import count

from state.settings import settings_from
from tests.simulation.system import PARTITIONS, System

SETTINGS = settings_from({
    "stream": "tests.golden.trips:stream",
    "training": {"every": "20m", "wait": False},
    "checkpoints": {"every": "1m"},
    "clock": {"span": "1h"},
})  # fmt: skip


def happens(system, *actions):
    """Let the flow answer all there is after each action."""
    for action in actions:
        system._do(action)
        for partition in PARTITIONS if system.flow else ():
            system.flow.drain(partition)


def test_a_flow_that_was_cut_off_ends_where_its_successor_let_the_log_be_trimmed(tmp_path):
    """Seed 84491: with no checkpoint at its start, it writes again from the first prediction on."""
    made = (System(seed, tmp_path) for seed in count())
    system = next(one for one in made if one.store.remote)
    system.settings, system.faults.is_calm = SETTINGS, True
    system._begin("ingest")
    happens(system, *["source", "ingest"] * 10)
    system._begin("flow")
    happens(system, "source", "ingest")
    system._end("flow", "killed")
    system._begin("flow")
    system._cut_off("flow")
    system._begin("flow")
    happens(system, *["source", "ingest", "hour"] * 30)
    system._operate("trim", system._trim)
    assert system.store.at("predictions", 1).start > 0
    for kind in ("read", "score", "append") * 100:
        if system.zombies:
            system._zombie_step(1, kind)
    assert system.faults.told[-1] == "the flow that was cut off ends: OffsetError"
