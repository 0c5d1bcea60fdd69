"""Fits for the training step: H2O kept running between them, failures turned into decisions."""

import errno
import shutil
import threading
from collections.abc import Callable

import h2o
import msgspec
from polars.exceptions import PolarsError

from flows.home.home import Home
from flows.terminal.time_format import format_time
from models.h2o.search import check_algorithm
from models.h2o.server import H2OError, H2OServer, check_h2o_version, work_dir_for
from models.mojo.model import MojoError, read_mojo
from models.refit.fit_record import FitRecord
from models.refit.refit import Champion, Task, failed, lacking, skipped, train
from operators.training.model_registry import file_of
from operators.training.training_cuts import Committed, SnapshotError, SnapshotWriter
from state.durations import Duration
from state.log import Log
from state.settings import Settings
from state.stream import Stream

_RETRY_S = 30.0
_ROOM_BYTES = 64 * 2**20


class Fitter:
    """Makes one decision for each boundary; the champion stays when anything goes wrong in H2O.

    What the disk refuses is no decision: a fit that cannot read its rows or keep its model is made
    again until it can, so that a disk that was full for a while leaves no trace in the log.

    Used by one thread at a time.

    Args:
        settings: What to fit and how.
        stream: Whose outcomes.
        log: Holds them.
        home: TrainingCuts, artifacts and H2O's temporary files.
        say: Told in a line what is going on.

    Raises:
        H2OVersionError: This H2O does not export its models.
        ValueError: The algorithm cannot be scored here.
    """

    def __init__(
        self, settings: Settings, stream: Stream, log: Log, home: Home, say: Callable[[str], None]
    ) -> None:
        check_h2o_version(h2o.__version__)
        check_algorithm(settings.training.algorithm)
        self._settings, self._stream, self._home, self._say = settings, stream, home, say
        self._artifacts = home.artifacts()
        self._snapshots = SnapshotWriter(log, stream, home.snapshots)
        self._server: H2OServer | None = None
        self._abandoned = threading.Event()

    def __call__(self, boundary: int, cuts: list[Committed], earlier: list[FitRecord]) -> FitRecord:
        """Fit, keep the artifact, and return the decision."""
        while True:
            try:
                record = self._decided(boundary, cuts, earlier)
                break
            except OSError as error:
                self.close()
                record = failed(self._task(boundary, earlier), error)
                if not self._abandoned.is_set():
                    self._say(
                        f"{format_time(boundary)}  the fit is tried again in {_RETRY_S:.0f} s, for "
                        f"the disk must take it; got {error}"
                    )
                if self._abandoned.wait(_RETRY_S):
                    break
        if not self._abandoned.is_set():
            self._say(_line(record))
        return record

    def _decided(self, boundary: int, cuts: list[Committed], earlier: list[FitRecord]) -> FitRecord:
        task = self._task(boundary, earlier)
        since = boundary - task.window
        try:
            files = [self._snapshots.mend(c) for c in cuts if c.rows and c.until >= since]
            return self._fit(msgspec.structs.replace(task, files=files), earlier)
        except (H2OError, MojoError, PolarsError, SnapshotError) as error:
            self.close()
            self._check_room()
            return failed(task, error)

    def _check_room(self) -> None:
        """H2O does not say that it failed for want of room."""
        folder = work_dir_for(self._home.h2o)
        if folder.exists() and shutil.disk_usage(folder).free < _ROOM_BYTES:
            raise OSError(errno.ENOSPC, "No space left on device", str(folder))

    def _fit(self, task: Task, earlier: list[FitRecord]) -> FitRecord:
        reason = lacking(task)
        if reason:
            return skipped(task, reason)
        server = self.server()
        server.clear()  # else each fit adds keys to its memory
        trained = train(server, task, self._champion(earlier))
        self._artifacts.put(trained.artifact)
        self._artifacts.put(trained.rows)
        return trained.record

    def server(self) -> H2OServer:
        """The running H2O, started if there is none."""
        if self._server is None:
            h2o_settings = self._settings.h2o
            self._home.h2o.mkdir(parents=True, exist_ok=True)
            self._server = H2OServer(
                h2o_settings.url or None, memory=h2o_settings.memory, work_dir=self._home.h2o
            )
            if self._abandoned.is_set():
                self._server.abandon()
            self._server.__enter__()
        return self._server

    def abandon(self) -> None:
        """End H2O at once, and with it the fit that another thread waits for."""
        self._abandoned.set()
        server = self._server
        if server is not None:
            server.abandon()

    def close(self) -> None:
        """Stop H2O, if this started it."""
        if self._server is not None:
            self._server.__exit__(None, None, None)
            self._server = None

    def _task(self, boundary: int, earlier: list[FitRecord]) -> Task:
        """What is to be done, the files left out."""
        training = self._settings.training
        columns = [column for column in self._stream.columns if column.for_trees]
        winners = [record.parameters for record in earlier if record.parameters]
        return Task(
            files=(),
            features=[column.name for column in columns],
            categoricals=[column.name for column in columns if column.categorical],
            boundary=boundary,
            window=training.window,
            validation=training.validation,
            embargo=Duration.parse(self._stream.label.delay),
            algorithm=training.algorithm,
            previous=winners[-1] if winners else None,
            draws=training.models,
            seed=training.seed,
            min_rows=training.min_rows,
            margin=training.margin,
            refit=training.refit,
        )

    def _champion(self, earlier: list[FitRecord]) -> Champion | None:
        promoted = [record for record in earlier if record.status == "promoted"]
        if not promoted:
            return None
        newest = promoted[-1]
        assert newest.window is not None
        mojo = read_mojo(file_of(newest, self._artifacts))
        return Champion(newest.model, mojo, newest.window.end)


def _line(record: FitRecord) -> str:
    loss = f", log-loss {record.metrics.log_loss:.4f}" if record.metrics else ""
    return f"{format_time(record.boundary)}  {record.status} {record.model}{loss} ({record.reason})"
