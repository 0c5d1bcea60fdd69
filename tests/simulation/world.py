"""The system's environment: a clock that jumps, sources of events, models, files that tear."""

import io
import random
import re
import zipfile
import zlib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import msgspec

from flows.home.home import Home
from models.refit.fit_record import FitRecord
from operators.training.training_cuts import SnapshotWriter, TrainingCut
from state.checkpoints.store import Checkpoint, CheckpointStore
from state.events import HOUR_US, MINUTE_US, SECOND_US
from state.ingest.positions import Sourced
from state.log import Log
from state.outputs.records import DeadLetter
from state.storage.artifact_store import ArtifactStore
from tests.golden.trips import Asked, Ended, Rained, stream
from tests.golden_log import GOLDEN
from tests.simulation.faults import Crash, Faults, InjectedError

START_US = 1_704_067_200_000_000
SOURCES = ("trips/0", "trips/1")
_ZONES = "abcdefgh"
_LAGS_S = (*[0] * 20, *[5, 20, 90] * 8, 1_800, 9_000, -120, -600)
"""By which a source's clock is behind, or ahead."""
_encode = msgspec.json.Encoder().encode


class Clock:
    """The machine's clock: it goes wrong; `monotonic` does not.

    Attributes:
        true_us: True time (µs).
        wrong_us: Error of the clock; positive: ahead (µs).
    """

    def __init__(self) -> None:
        self.true_us, self.wrong_us = START_US, 0

    @property
    def now_us(self) -> int:
        """The time that the clock shows (µs)."""
        return self.true_us + self.wrong_us

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return (self.true_us - START_US) / SECOND_US


class Sources:
    """Foreign topics: trips begin and end, it rains, and some records are no events.

    Args:
        chance: Seeded.
        in_bursts: Events that come together are of one zone.

    Attributes:
        records: By source, in order: key and value of an event, or why there is none.
    """

    def __init__(self, chance: random.Random, *, in_bursts: bool) -> None:
        self._chance, self._in_bursts = chance, in_bursts
        self._zones = _ZONES
        self._number = 0
        self._open: list[Asked] = []
        self.records: dict[str, list[tuple[bytes, bytes] | DeadLetter]] = {s: [] for s in SOURCES}

    def go_on(self, now_us: int, count: int) -> None:
        """Some records more, at a time."""
        if self._in_bursts:
            self._zones = self._chance.choice(_ZONES)
        for _ in range(count):
            self._number += 1
            source = self._chance.choice(SOURCES)
            offset = len(self.records[source])
            if self._chance.random() < 0.04:
                topic, _, partition = source.partition("/")
                became: tuple[bytes, bytes] | DeadLetter = DeadLetter(
                    "malformed", "no event", int(partition), offset, 3, b"???", topic=topic
                )
            else:
                became = self._event(now_us)
            self.records[source].append(became)

    def after(self, source: str, offset: int, most: int, now_us: int) -> list[Sourced]:
        """The events from an offset on."""
        some = self.records[source][offset : offset + most]
        return [Sourced(source, offset + i, now_us, one) for i, one in enumerate(some)]

    def _event(self, now_us: int) -> tuple[bytes, bytes]:
        chance = self._chance
        name, zone = f"e{self._number}", chance.choice(self._zones)
        lag = chance.choice(_LAGS_S) * SECOND_US
        time = max(now_us - lag, START_US)
        kind = chance.random()
        if kind < 0.35 and self._open:
            of = self._open.pop(chance.randrange(len(self._open)))
            event = Ended(
                id=name, time=max(time, of.time), of=of.id, zone=of.zone,
                tip=chance.choice([0.0, 0.0, 3.0]),
            )  # fmt: skip
        elif kind < 0.85:
            event = Asked(id=name, time=time, zone=zone, distance=chance.randrange(1, 90) / 4)
            self._open = [*self._open[-20:], event]
        elif kind < 0.95:
            event = Rained(id=name, time=time, zone=zone, fell=chance.randrange(9) / 2)
        else:
            return zone.encode(), b'{"type":"asked","id":"bad"}'
        return event.zone.encode(), _encode(event)


@cache
def model_of(number: int) -> bytes:
    """One of a few models: the golden one with another intercept."""
    old, new = io.BytesIO((GOLDEN / "1/gbm-1.zip").read_bytes()), io.BytesIO()
    with zipfile.ZipFile(old) as source, zipfile.ZipFile(new, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "model.ini":
                content = re.sub(rb"init_f = .*", b"init_f = %.2f" % (number / 10 - 0.5), content)
            target.writestr(zipfile.ZipInfo(name), content)
    return new.getvalue()


class StandInFit:
    """Decides as a fit would, at once: what comes of it follows from the boundary and the cuts.

    Args:
        log: Has the cuts.
        home: Has their files, and takes models.
    """

    def __init__(self, log: Log, home: Home) -> None:
        self._snapshots = SnapshotWriter(log, stream, home.snapshots)
        self._artifacts = home.artifacts()

    def __call__(
        self, boundary: int, cuts: list[TrainingCut], earlier: list[FitRecord]
    ) -> FitRecord:
        """A decision."""
        rows = sum(len(self._snapshots.mend(cut).read_bytes()) > 0 for cut in cuts if cut.rows)
        content = f"{boundary} {[(cut.sha256, cut.rows) for cut in cuts]} {len(earlier)}"
        drawn = zlib.crc32(content.encode())
        status = ("promoted", "promoted", "promoted", "rejected", "failed", "skipped")[drawn % 6]
        if status in {"failed", "skipped"}:
            return FitRecord(
                boundary=boundary, status=status, reason=content[-80:], algorithm="gbm"
            )
        sha256 = self._artifacts.put(model_of(drawn // 6 % 7))
        return FitRecord(
            boundary=boundary,
            status=status,
            reason=f"of {rows} files",
            algorithm="gbm",
            model=f"gbm-{boundary // MINUTE_US}",
            sha256=sha256,
        )

    def abandon(self) -> None:
        """Nothing runs beside."""

    def close(self) -> None:
        """Nothing is kept."""


class TearingCheckpoints(CheckpointStore):
    """Checkpoints on a disk that is full, or tears what is written as the power goes."""

    def __init__(self, root: Path, faults: Faults) -> None:
        super().__init__(root)
        self._faults = faults

    def save(self, checkpoint: Checkpoint) -> Path:
        """See `CheckpointStore.save`."""
        where = f"checkpoints/{checkpoint.partition}"
        self._faults.before_write(where)
        kind = self._faults.drawn(("killed before", "killed after", "torn"), where)
        if kind == "killed before":
            raise Crash
        path = super().save(checkpoint)
        if kind == "killed after":
            raise Crash
        if kind == "torn":
            content = path.read_bytes()
            path.write_bytes(content[: self._faults.chance.randrange(len(content))])
            raise Crash(power=True)
        return path


class RefusingArtifacts(ArtifactStore):
    """Model files on a disk that may be full."""

    def __init__(self, root: Path, faults: Faults) -> None:
        super().__init__(root)
        self._faults = faults

    def put(self, content: bytes) -> str:
        """See `ArtifactStore.put`."""
        self._faults.before_write("artifacts")
        return super().put(content)

    def get(self, sha256: str) -> bytes:
        """See `ArtifactStore.get`."""
        self._faults.before_read("artifacts")
        return super().get(sha256)


@dataclass(frozen=True)
class SimulatedHome(Home):
    """A home on such a disk."""

    faults: Faults = field(kw_only=True)

    def checkpoints(self) -> CheckpointStore:
        """See `Home.checkpoints`."""
        return TearingCheckpoints(self.root / "checkpoints", self.faults)

    def artifacts(self) -> ArtifactStore:
        """See `Home.artifacts`."""
        return RefusingArtifacts(self.root / "artifacts", self.faults)


def is_injected(error: BaseException | None) -> bool:
    """Whether a fault made by the simulator caused an error."""
    while error is not None:
        if isinstance(error, InjectedError):
            return True
        error = error.__cause__ or error.__context__
    return False


JUMPS_US = (-2 * HOUR_US, -10 * MINUTE_US, 4 * MINUTE_US, 30 * MINUTE_US, 2 * HOUR_US)
"""By which the machine's clock goes wrong; it comes back to the right time again."""
