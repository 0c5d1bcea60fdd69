"""Shards driven in a loop, and all that they emit."""

from dataclasses import replace

from operators.shard.messages import Records
from operators.shard.shard import TOPICS, Shard
from state.settings import Settings, settings_from
from tests.rides import stream

SETTINGS: Settings = settings_from({"metrics": {"every": "20m"}, "clock": {"span": "30m"}})


def rides_shard(settings=SETTINGS, **changes):
    """A shard of the rides stream, or of one that differs in this."""
    return Shard(replace(stream, **changes), settings, 0)


class Run:
    """One shard and what it has written, topic by topic."""

    def __init__(self, shard):
        self.shard = shard
        self.written = {topic: [] for topic in TOPICS}
        self.cuts = []

    def take(self, message):
        emitted = self.shard.apply(message)
        for topic, (sequence, entries) in emitted.entries.items():
            assert sequence == len(self.written[topic])
            self.written[topic] += entries
        if emitted.cut is not None:
            self.cuts.append(emitted.cut)

    def values(self, topic):
        return [entry.value for entry in self.written[topic]]


def feed(run, records, cut_at=(), others=None):
    """Give what is left of the records, cut at these places; `others` precede an offset."""
    others = {place: given for place, given in (others or {}).items() if place <= len(records)}
    for cut in sorted({*cut_at, *others, len(records)}):
        start = run.shard.position.offset
        if cut > start:
            run.take(Records(records[start:cut]))
        for message in others.get(cut, ()):
            run.take(message)
    return run
