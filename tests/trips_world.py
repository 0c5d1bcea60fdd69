"""A home with a flow of the golden trips, which goes on where a test says so."""

import io
import re
import zipfile

import msgspec
import polars as pl

from flows.home.home import Home, create_topics
from flows.intake.event_files import read_lines
from flows.runtime.partitions import Partitions
from flows.scorer import Scorer
from models.mojo.model import read_mojo
from models.refit.certificate import kept_rows
from models.refit.fit_record import FitRecord
from operators.training.model_registry import ModelRegistry
from state.events import HOUR_US
from state.log import EVENTS, Entry, partition_of
from state.outputs.records import Prediction
from state.settings import settings_from
from tests.fixed_pace import FixedPace
from tests.golden.trips import Asked, stream
from tests.golden_log import GOLDEN

FIRST_US = 1_704_067_200_000_000
SETTINGS = settings_from({
    "stream": "tests.golden.trips:stream",
    "training": {"every": "1h"},
    "metrics": {"every": "1h"},
    "clock": {"tolerance": "5m"},
})  # fmt: skip
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


def rows_of(model):
    """The rows kept with a model to verify it."""
    mojo = read_mojo(model)
    zones = mojo.domains[mojo.columns.index("zone")]
    numbers = [i / 7 for i in range(len(zones))]
    rows = pl.DataFrame(dict.fromkeys(mojo.columns, numbers) | {"zone": zones})
    return kept_rows(rows, mojo.score_many(mojo.encode(rows.to_dict())))


def opened(flow, partition):
    """A partition that leaves a checkpoint after each message."""
    live = flow.open(partition)
    live._pace = FixedPace(lambda: True)
    return live


class World:
    """A home, its flow, one record at a time; `connect` gives its log, if it is not the home's."""

    def __init__(self, root, decided=8, connect=None, settings=SETTINGS):
        self.home, self.settings = Home(root), settings
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
        models = {"gbm-1": (GOLDEN / "1/gbm-1.zip").read_bytes(), "gbm-2": other_model()}
        self.files = {name: put(model) for name, model in models.items()}
        self.rows = {name: put(rows_of(model)) for name, model in models.items()}
        self.published = ModelRegistry(self.log)
        self.decided = 0
        self.decide(decided)
        self.flow = Partitions(settings, stream, self.log, self.home)
        self.lives = {p: opened(self.flow, p) for p in range(2)}

    def decide(self, until):
        """Decide so many hours; two of them begin with a new model, the others have none."""
        for k in range(self.decided, until):
            parts = {0: 8, 1: 4, 2: 2}.get(k, 1)  # as a young log has boundaries
            for part in range(parts):
                self._publish(
                    FIRST_US + k * HOUR_US + part * HOUR_US // parts,
                    {1: "gbm-1", 3: "gbm-2"}.get(k, "") if not part else "",
                )
        self.decided = until

    def _publish(self, boundary, model):
        self.published.publish(
            FitRecord(
                boundary=boundary,
                status="promoted" if model else "skipped",
                reason="",
                algorithm="gbm",
                model=model,
                sha256=self.files.get(model, ""),
                rows_sha256=self.rows.get(model, ""),
            )
        )

    def begin_anew(self, partition, settings):
        """The flow of a partition begins anew, with other settings."""
        flow = Partitions(settings, stream, self.log, self.home)
        self.lives[partition] = opened(flow, partition)

    def append(self, partition, until=None):
        """Events up to this offset come."""
        entries = self.left[partition][self.log.end(EVENTS, partition) : until]
        self.log.append(EVENTS, partition, entries)

    def go(self, partition, until=None):
        """Events up to this offset come, and the flow has them."""
        self.append(partition, until)
        live = self.lives[partition]
        while (message := live.poll()) is not None:
            live.commit(live.process(message))

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
