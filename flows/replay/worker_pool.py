"""Replay partitions in this process, or spread over several processes."""

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from queue import Empty
from typing import NamedTuple, Protocol, TypeVar

from rich.console import Console

from flows.runtime.app import tune_collector
from flows.terminal.console import make_plain
from flows.terminal.progress import RunProgress
from operators.partition.partition_runner import PartitionRunner
from operators.shard.messages import Finish
from operators.shard.shard import Shard
from state.outputs.records import Losses

R = TypeVar("R")
_IDLE_S = 0.01
_LOOK_EVERY_S = 0.05


class Progress(NamedTuple):
    """Progress of a partition: its number, the records just read, and its state afterwards."""

    partition: int
    records: int
    event_time: int
    losses: Mapping[str, Losses]


Report = Callable[[Progress], None]
Tick = Callable[[], object]


class Job(Protocol[R]):
    """Replays some partitions; it must be picklable."""

    def __call__(self, partitions: Sequence[int], report: Report, tick: Tick) -> list[R]:
        """Replay the partitions.

        Args:
            partitions: Partitions to replay.
            report: Called after each step with its progress.
            tick: Must be called after each step and while waiting; it raises to stop the job.
        """


class Stopped(Exception):  # noqa: N818 - not an error
    """Another process has asked this process to stop."""


@contextmanager
def progress_of(console: Console, total: int, say: Callable[[str], None]) -> Iterator[RunProgress]:
    """Show the progress of a replay; Ctrl-C prints where it was interrupted.

    Args:
        console: Console that shows progress.
        total: Total number of records to read.
        say: Called with a line where the replay was interrupted.
    """
    progress = RunProgress(console, total)
    try:
        yield progress
    except KeyboardInterrupt:
        progress.close()
        say(f"Stopped {progress.reached}.")
        raise
    finally:
        progress.close()


def spread(
    job: Job[R], loads: Sequence[int], workers: int, report: Report, tick: Tick, *, apart: bool
) -> list[R]:
    """Run a job for all partitions, and return its results.

    With one worker the job runs in this process, else in worker processes.

    Args:
        job: The job to run.
        loads: Amount of work of each partition.
        workers: Most processes to use.
        report: Called after each step with its progress.
        tick: Called often, in this process.
        apart: Each free worker takes the largest remaining partition, as cores differ in speed.
            False: each worker has a fixed share and runs its partitions in rotation, as all
            partitions must pass a boundary together.
    """
    workers = min(workers, len(loads))
    if workers == 1:
        return job(range(len(loads)), report, tick)
    parts = [[one] for one in _largest_first(loads)] if apart else shares(loads, workers)
    context = multiprocessing.get_context("spawn")
    steps: Queue[Progress] = context.Queue()
    stop = context.Event()
    with ProcessPoolExecutor(workers, context, initializer=_join, initargs=(steps, stop)) as pool:
        running = [pool.submit(_work, job, part) for part in parts]
        try:
            _watch(running, steps, report, tick)
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
        return [result for one in running for result in one.result()]


def shares(loads: Sequence[int], workers: int) -> list[list[int]]:
    """Split partitions among workers: the largest first, each to the worker with the least load.

    Example:
        >>> shares([5, 1, 4, 2], 2)
        [[0, 1], [2, 3]]
    """
    found: list[list[int]] = [[] for _ in range(workers)]
    for partition in _largest_first(loads):
        min(found, key=lambda share: sum(loads[p] for p in share)).append(partition)
    return found


def _largest_first(loads: Sequence[int]) -> list[int]:
    return sorted(range(len(loads)), key=lambda partition: -loads[partition])


def drive(runners: Sequence[PartitionRunner], *, waiting: bool, report: Report, tick: Tick) -> None:
    """Run partitions in rotation until each has read to its end.

    Args:
        runners: Runners at their checkpoints; each saves one at the end.
        waiting: Whether a partition that holds at a boundary may still get a decision.
        report: Called after each step with its progress.
        tick: Called after each step and while all partitions wait.
    """
    left = list(runners)
    while left:
        quiet = True
        for runner in tuple(left):
            message = runner.poll()
            if message is None:
                if not waiting or runner.at_end():
                    runner.commit(runner.process(Finish()))
                    left.remove(runner)
                continue
            quiet = False
            before = runner.shard.position.offset
            runner.commit(runner.process(message))
            report(step(runner.shard, before))
            tick()
        if quiet and left:
            time.sleep(_IDLE_S)
            tick()


def step(shard: Shard, before: int) -> Progress:
    """The progress of a shard since an offset."""
    records = shard.position.offset - before
    return Progress(shard.partition, records, shard.event_time, shard.losses())


def _watch(
    running: Sequence[Future[R]], steps: "Queue[Progress]", report: Report, tick: Tick
) -> None:
    left = set(running)
    while left:
        try:
            report(steps.get(timeout=_LOOK_EVERY_S))
        except Empty:
            ended, left = wait(left, timeout=0, return_when=FIRST_EXCEPTION)
            for one in ended:
                one.result()
        tick()


class _Worker:
    """The objects that a worker process received at its start."""

    steps: "Queue[Progress]"
    stop: Event


def _join(steps: "Queue[Progress]", stop: Event) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent tells when to stop
    tune_collector()
    make_plain()
    _Worker.steps, _Worker.stop = steps, stop


def _work(job: Job[R], partitions: Sequence[int]) -> list[R]:
    _go_on()  # the pool does not cancel a job that it has handed out
    return job(partitions, _Worker.steps.put, _go_on)


def _go_on() -> None:
    parent = multiprocessing.parent_process()
    if _Worker.stop.is_set() or (parent is not None and not parent.is_alive()):
        raise Stopped
