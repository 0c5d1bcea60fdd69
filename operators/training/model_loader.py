"""Load offline models, verify them, and bind them to shards.

The flow, replicas and replays load through this class, so all of them accept the same models.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import NamedTuple

import numpy as np

from models.judging.column_profile import Profile, read_profile
from models.judging.column_reference import Reference
from models.mojo.model import Mojo, MojoError, needs_java, read_mojo
from models.refit.certificate import LIMIT, verify
from models.refit.fit_record import FitRecord
from models.scoring.bound_model import Offline
from operators.shard.shard import Shard
from operators.training.model_registry import ModelRegistry, file_of
from state.storage.artifact_store import ArtifactStore, MissingArtifactError
from state.stream import Stream

KEPT = 4
"""Models in memory: the one in use, the previous one for a rollback, and one or two to come."""

_AGAIN_S = 30.0


class ModelError(Exception):
    """A model is not as certified, or cannot be used here; the previous one stays."""


class UnavailableModelError(ModelError, OSError):
    """A model cannot be loaded now: its record or file is missing or unreadable."""


class Loading(NamedTuple):
    """Parameters of loading.

    Attributes:
        check_rows: Raises if reading a model's kept rows would take too much memory.
        kept: Number of models that stay in memory.
        turns: Context in which the loading thread often lets other threads run.
    """

    check_rows: Callable[[bytes], None]
    kept: int = KEPT
    turns: Callable[[], AbstractContextManager[None]] = nullcontext


class Loaded(NamedTuple):
    """A model, and its columns in the training window if they were kept with it."""

    mojo: Mojo
    profile: Profile | None


class ModelLoader:
    """Verified models by id, some of them in memory.

    Verification covers a model's bytes by sha256, its columns against the stream's, and its
    predictions for its kept rows against H2O's. Each model is loaded in a thread of its own, so
    that an announced model is ready when it is activated.

    Args:
        stream: Stream whose vectors the models score.
        published: Registry of the models.
        artifacts: Store of their files.
        loading: Parameters of loading.

    Attributes:
        records: Records of the loaded models, by id; reading it reads no log.
    """

    def __init__(
        self,
        stream: Stream,
        published: ModelRegistry,
        artifacts: ArtifactStore,
        loading: Loading,
    ) -> None:
        self._published, self._artifacts = published, artifacts
        self._check_rows, self._kept, self._turns = loading
        self._names = [column.name for column in stream.columns]
        self.records: dict[str, FitRecord] = {}
        self._loaded: dict[str, Future[Loaded]] = {}
        self._again_at = 0.0
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def start_java(self, algorithm: str) -> None:
        """Start Java if a model needs it, as its start stops all threads for a third of a second.

        If Java cannot be started, loading such a model raises the error.

        Args:
            algorithm: Algorithm of the coming models.
        """
        fitted = {one.algorithm for one in self._published.records() if one.sha256}
        if any(map(needs_java, fitted | {algorithm})):
            with suppress(Exception):
                from models.mojo.java_scorer import start_java  # noqa: PLC0415 - JPype takes 0.1 s

                start_java()

    def offline(self, model: str, shard: Shard) -> Offline:
        """A model bound to a shard; waits until it is loaded.

        Raises:
            ModelError: It cannot be used; the message has the reason.
            UnavailableModelError: It cannot be loaded now.
        """
        try:
            mojo, profile = self._future(model, again=True).result()
            with self._turns():
                own = None
                if profile is not None:
                    own = Reference(profile, self._names, shard.levels, shard.partition)
                offline = Offline(model, mojo, self._names, shard.levels, own)
                offline.predict(np.full(len(self._names), np.nan))
        except Exception as error:  # foreign code on a foreign file may raise any error
            self._forget(model)
            unavailable = isinstance(error, OSError | MissingArtifactError)
            kind = UnavailableModelError if unavailable else ModelError
            msg = f"model {model} must be usable: {str(error) or type(error).__name__}"
            raise kind(msg) from error
        return offline

    def prepare(self) -> None:
        """Start loading the newest promoted model, unless it is loaded."""
        model, now = self._published.newest_model(), time.monotonic()
        again = now >= self._again_at
        if again:
            self._again_at = now + _AGAIN_S
        if model is not None:
            self._future(model, again=again)

    def ended(self, within_s: float) -> bool:
        """Whether no load reads the log any more; wait for it up to `within_s` seconds."""
        for thread in self._threads:
            thread.join(within_s)
        return not any(thread.is_alive() for thread in self._threads)

    def _future(self, model: str, *, again: bool) -> Future[Loaded]:
        """A model being loaded; if `again`, retry one that failed."""
        with self._lock:
            future = self._loaded.pop(model, None)
            if future is None or (again and future.done() and future.exception() is not None):
                future = Future()
                thread = threading.Thread(
                    target=self._load, args=(model, future), name="load a model", daemon=True
                )
                self._threads = [*filter(threading.Thread.is_alive, self._threads), thread]
                thread.start()
            self._loaded[model] = future  # the newest last
            for oldest in list(self._loaded)[: -self._kept]:
                del self._loaded[oldest]
        return future

    def _forget(self, model: str) -> None:
        """Drop a failed model, so that it is retried the next time."""
        with self._lock:
            self._loaded.pop(model, None)

    def _load(self, model: str, future: Future[Loaded]) -> None:
        try:
            with self._turns():
                loaded = self._verified(self._published.of(model))
        except Exception as error:  # noqa: BLE001 - raised again where the model is needed
            future.set_exception(error)
        except BaseException as error:  # noqa: BLE001 - polars panics are no Exceptions
            future.set_exception(MojoError(f"{type(error).__name__}: {error}"))
        else:
            future.set_result(loaded)

    def _verified(self, record: FitRecord) -> Loaded:
        mojo = read_mojo(file_of(record, self._artifacts))
        if record.rows_sha256:
            rows = self._artifacts.get(record.rows_sha256)
            self._check_rows(rows)
            away = verify(mojo, rows)
            if away > LIMIT:
                msg = f"predictions must be H2O's within {LIMIT:g}; got {away:g} away"
                raise MojoError(msg)
        profile = None
        if record.profile_sha256:
            profile = read_profile(self._artifacts.get(record.profile_sha256))
        self.records[record.model] = record
        return Loaded(mojo, profile)
