"""Fits for the training step: H2O stays up between them, and failures become decisions."""

import errno
import shutil
import threading
from collections.abc import Callable

import msgspec
from polars.exceptions import PolarsError

from flows.home.home import Home
from flows.terminal.json_lines import tell
from flows.terminal.time_format import format_time
from models.h2o.errors import H2OError, check_h2o_version, installed_version
from models.h2o.search import Parameters, check_algorithm
from models.h2o.server import H2OServer, work_dir_for
from models.judging.column_profile import MOST_BYTES
from models.mojo.model import MojoError, read_mojo
from models.refit.fit_record import FitRecord, newest_promoted
from models.refit.plan import FitTask
from models.refit.profile import profile_of
from models.refit.proposals import check_optuna, proposed
from models.refit.refit import Champion, failed, lacking, skipped, train
from operators.training.model_registry import ModelRegistry, file_of
from operators.training.training_cuts import SnapshotError, SnapshotWriter, TrainingCut
from state.durations import Duration
from state.log import Log
from state.settings import Settings
from state.stream import Stream

_RETRY_S = 30.0
_ROOM_BYTES = 64 * 2**20


class Fitter:
    """Makes one decision for each boundary; the champion stays if anything fails in H2O.

    A disk error decides nothing: a fit that cannot read its rows or write its model is repeated
    until it can, so that a disk that was full for a while leaves no trace in the log.

    For use by one thread at a time.

    Args:
        settings: Settings of training and H2O.
        stream: Stream of the outcomes.
        log: Log with the outcomes.
        home: Home with training cuts, artifacts and H2O's temporary files.
        say: Called with a line about each step.
        registry: The trainer's model registry, in which the proposals of a search are journaled;
            None: one for this object alone.

    Raises:
        H2OVersionError: This H2O does not export its models.
        MissingOptunaError: The settings ask for a search by Optuna, which is not installed.
        ValueError: The algorithm cannot be scored here, or no label would come within the window.
    """

    def __init__(
        self,
        settings: Settings,
        stream: Stream,
        log: Log,
        home: Home,
        say: Callable[[str], None],
        registry: ModelRegistry | None = None,
    ) -> None:
        check_h2o_version(installed_version())
        if settings.training.search == "tpe":
            check_optuna()
        check_algorithm(settings.training.algorithm)
        _check_window(settings.training.window, stream)
        self._settings, self._stream, self._home, self._say = settings, stream, home, say
        self._registry = ModelRegistry(log) if registry is None else registry
        self._artifacts = home.artifacts()
        self._snapshots = SnapshotWriter(log, stream, home.snapshots)
        self._server: H2OServer | None = None
        self._abandoned = threading.Event()

    def __call__(
        self, boundary: int, cuts: list[TrainingCut], earlier: list[FitRecord]
    ) -> FitRecord:
        """Fit, store the model's files, and return the decision."""
        while True:
            try:
                record = self._decided(boundary, cuts, earlier)
                break
            except OSError as error:
                self.close()
                record = failed(self._task(boundary, earlier), error)
                if not self._abandoned.is_set():
                    tell(
                        "fit_retried",
                        f"{format_time(boundary)}  the fit is retried in {_RETRY_S:.0f} s, "
                        f"because the disk refused it: {error}",
                        self._say,
                        boundary=boundary,
                    )
                if self._abandoned.wait(_RETRY_S):
                    break
        again = record.status == "skipped" and bool(earlier) and earlier[-1].status == "skipped"
        if not self._abandoned.is_set() and not again:
            tell(
                "fit",
                _line(record),
                self._say,
                boundary=boundary,
                status=record.status,
                model=record.model,
                rows=record.window.rows if record.window else 0,
                log_loss=record.metrics.log_loss if record.metrics else None,
                reason=record.reason,
            )
        return record

    def _decided(
        self, boundary: int, cuts: list[TrainingCut], earlier: list[FitRecord]
    ) -> FitRecord:
        task = self._task(boundary, earlier)
        since = boundary - task.window
        try:
            files = [self._snapshots.mend(c) for c in cuts if c.rows and c.until >= since]
            task = msgspec.structs.replace(task, files=files)
            return self._fit(since_change(task, cuts), earlier)
        except (H2OError, MojoError, PolarsError, SnapshotError) as error:
            self.close()
            self._check_room()
            return failed(task, error)

    def _check_room(self) -> None:
        """Raise an error if the disk is full, as H2O does not report it."""
        folder = work_dir_for(self._home.h2o)
        if folder.exists() and shutil.disk_usage(folder).free < _ROOM_BYTES:
            raise OSError(errno.ENOSPC, "No space left on device", str(folder))

    def _fit(self, task: FitTask, earlier: list[FitRecord]) -> FitRecord:
        reason = lacking(task)
        if reason:
            return skipped(task, reason)
        if self._settings.training.search == "tpe" and task.algorithm != "automl":
            task = msgspec.structs.replace(task, proposals=self._proposed(task, earlier))
        server = self.server()
        server.clear()  # else each fit adds keys to its memory
        trained = train(server, task, self._champion(earlier))
        self._artifacts.put(trained.artifact)
        self._artifacts.put(trained.rows)
        profile = profile_of(task, read_mojo(trained.artifact)).encode()
        if len(profile) > MOST_BYTES:  # nobody would read it
            return trained.record
        name = self._artifacts.put(profile)
        return msgspec.structs.replace(trained.record, profile_sha256=name)

    def _proposed(self, task: FitTask, earlier: list[FitRecord]) -> list[Parameters]:
        """The candidates of a search, as journaled by this or an earlier attempt at it."""
        known = self._registry.proposals(task.boundary)
        if known is None or known.algorithm != task.algorithm:
            known = proposed(task, earlier)
            self._registry.propose(known)
        return known.candidates

    def server(self) -> H2OServer:
        """The running H2O, which is started if needed."""
        if self._server is None:
            h2o_settings = self._settings.h2o
            self._server = H2OServer(
                h2o_settings.url or None, memory=h2o_settings.memory, work_dir=self._home.h2o
            )
            if self._abandoned.is_set():
                self._server.abandon()
            self._server.__enter__()
        return self._server

    def abandon(self) -> None:
        """End H2O at once, and with it the fit of another thread."""
        self._abandoned.set()
        server = self._server
        if server is not None:
            server.abandon()

    def close(self) -> None:
        """Stop H2O, if this object started it."""
        if self._server is not None:
            self._server.__exit__(None, None, None)
            self._server = None

    def _task(self, boundary: int, earlier: list[FitRecord]) -> FitTask:
        """The task of a fit, without the files."""
        training = self._settings.training
        columns = [column for column in self._stream.columns if column.for_trees]
        champion = newest_promoted(earlier)
        winner = next((record for record in reversed(earlier) if record.parameters), None)
        return FitTask(
            files=(),
            features=[column.name for column in columns],
            categoricals=[column.name for column in columns if column.categorical],
            boundary=boundary,
            window=training.window,
            windows=training.windows,
            validation=training.validation,
            embargo=Duration.parse(self._stream.label.delay),
            algorithm=training.algorithm,
            previous=winner.parameters if winner else None,
            previous_window=winner.winning_window if winner else 0,
            # The next boundary is as far off as the one before, or somewhat farther.
            interval=boundary - earlier[-1].boundary if earlier else training.every,
            draws=training.models,
            seed=training.seed,
            min_rows=training.min_rows,
            margin=training.margin,
            champion_end=champion.window.end if champion and champion.window else 0,
            refit=training.refit,
        )

    def _champion(self, earlier: list[FitRecord]) -> Champion | None:
        newest = newest_promoted(earlier)
        if newest is None:
            return None
        assert newest.window is not None
        mojo = read_mojo(file_of(newest, self._artifacts))
        return Champion(newest.model, mojo, newest.window.end)


def since_change(task: FitTask, cuts: list[TrainingCut]) -> FitTask:
    """The fit on the rows since the answers went wrong, if these are enough; else as it is."""
    changes = [cut.change for cut in cuts if cut.change and cut.boundary == task.boundary]
    if not changes:
        return task
    window = task.boundary - min(changes)
    narrow = msgspec.structs.replace(
        task, window=min(max(window, 1), task.window), reference=task.window
    )
    return task if lacking(narrow) else narrow


def _check_window(window: Duration, stream: Stream) -> None:
    if window <= Duration.parse(stream.label.delay):
        msg = (
            f"training.window must be longer than a label may take, {stream.label.delay} by the "
            f"delay of the label of stream {stream.name!r}; got {window}"
        )
        raise ValueError(msg)


def _line(record: FitRecord) -> str:
    loss = f", log-loss {record.metrics.log_loss:.4f}" if record.metrics else ""
    return f"{format_time(record.boundary)}  {record.status} {record.model}{loss} ({record.reason})"
