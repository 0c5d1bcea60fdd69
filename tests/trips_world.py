"""A home with a flow of the golden trips, which goes on where a test says so."""

import io
import re
import zipfile

import msgspec

from flows.home import Home, create_topics
from flows.lines import read_lines
from flows.partitions import Partitions
from flows.scorer import Scorer
from models.registry import Published
from operators.decisions import PublishedModels
from state.durations import Duration
from state.events import HOUR_US
from state.log import EVENTS, Entry, partition_of
from state.outputs import Prediction
from state.settings import Checkpoints, settings_from
from tests.golden.trips import Asked, stream
from tests.golden_log import GOLDEN

FIRST_US = 1_704_067_200_000_000
SETTINGS = msgspec.structs.replace(
    settings_from({
        "stream": "tests.golden.trips:stream",
        "training": {"every": "1h"},
        "metrics": {"every": "1h"},
        "clock": {"tolerance": "5m"},
    }),
    checkpoints=Checkpoints(every=Duration(1)),
)  # fmt: skip
PEEK = stream.peek()


def other_model():
    """The golden model with another intercept."""
    old, new = io.BytesIO((GOLDEN / "1/gbm-1.zip").read_bytes()), io.BytesIO()
    with zipfile.ZipFile(old) as source, zipfile.ZipFile(new, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "model.ini":
                content = re.sub(rb"init_f = .*", b"init_f = 0.5", content)
            target.writestr(name, content)
    return new.getvalue()


class World:
    """A home, its flow, one record at a time; `connect` gives its log, if it is not the home's."""

    def __init__(self, root, decided=8, connect=None):
        self.home, self.settings = Home(root), SETTINGS
        self.connect = connect or self.home.log
        self.log = self.connect()
        create_topics(self.log, stream.partitions)
        self.left = {
            p: [
                Entry(line.append_time, PEEK(line.value)[1], line.value)
                for line in read_lines(GOLDEN / f"1/events.{p}.jsonl")
            ]
            for p in range(2)
        }
        put = self.home.artifacts().put
        files = {"gbm-1": put((GOLDEN / "1/gbm-1.zip").read_bytes()), "gbm-2": put(other_model())}
        self.files, self.published = files, PublishedModels(self.log)
        self.decided = 0
        self.decide(decided)
        partitions = Partitions(SETTINGS, stream, self.log, self.home)
        self.lives = {p: partitions.open(p) for p in range(2)}

    def decide(self, until):
        """Of the first boundaries, an hour apart, two have a new model."""
        for k in range(self.decided, until):
            model = {1: "gbm-1", 3: "gbm-2"}.get(k, "")
            self.published.publish(
                Published(
                    boundary=FIRST_US + k * HOUR_US,
                    status="promoted" if model else "skipped",
                    reason="",
                    algorithm="gbm",
                    model=model,
                    sha256=self.files.get(model, ""),
                )
            )
        self.decided = until

    def append(self, partition, until=None):
        """Events up to this offset come."""
        entries = self.left[partition][self.log.end(EVENTS, partition) : until]
        self.log.append(EVENTS, partition, entries)

    def go(self, partition, until=None):
        """Events up to this offset come, and the flow has them."""
        self.append(partition, until)
        live = self.lives[partition]
        while (message := live.read()) is not None:
            live.append(live.score(message))

    def scorer(self, **options):
        settings = options.pop("settings", self.settings)
        options = {"follow": False, **options}
        return Scorer(settings, stream, self.connect(), self.home, **options)

    def predictions(self, partition):
        found = self.log.read("predictions", partition, 0, max_records=10**6)
        return [msgspec.json.decode(one.value, type=Prediction) for one in found]


def zone_of(partition):
    """A zone of a partition; of 0, the activations are at offsets 9 and 79."""
    return next(zone for zone in "abcde" if partition_of(zone.encode(), 2) == partition)


def ask(zone="a", time=FIRST_US + 5 * HOUR_US, **changes):
    return Asked(**{"id": "new", "time": time, "zone": zone, "distance": 2.0} | changes)
