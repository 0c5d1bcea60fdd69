"""Partitions replayed in this process, or spread over several."""

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


class Step(NamedTuple):
    """What a partition has just read: its number, how many records, where that leaves its shard."""

    partition: int
    records: int
    event_time: int
    losses: Mapping[str, Losses]


Report = Callable[[Step], None]
Tick = Callable[[], object]


class Job(Protocol[R]):
    """Replays some partitions; it can be pickled."""

    def __call__(self, partitions: Sequence[int], report: Report, tick: Tick) -> list[R]:
        """Do it.

        Args:
            partitions: Which.
            report: Told each step.
            tick: To be called after each step and while waiting; raises to stop.
        """


class Stopped(Exception):  # noqa: N818 - not an error
    """Another process has asked this one to stop."""


@contextmanager
def progress_of(console: Console, total: int, say: Callable[[str], None]) -> Iterator[RunProgress]:
    """Progress of a replay; where Ctrl-C interrupts it, that is said.

    Args:
        console: Where it is shown.
        total: Records to be read in all.
        say: Told where it was interrupted.
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
    """The job's results for all partitions.

    With one worker it runs here; else in processes of their own.

    Args:
        job: What to do.
        loads: For each partition, how much there is to do.
        workers: At most so many processes.
        report: Told each step.
        tick: Called often, in this process.
        apart: A worker that has done a partition takes the largest one left, for no two cores are
            equally fast; else each has its share from the beginning and works on all of it in turn,
            as where a boundary is passed by all or by none.
    """
    workers = min(workers, len(loads))
    if workers == 1:
        return job(range(len(loads)), report, tick)
    parts = [[one] for one in _largest_first(loads)] if apart else shares(loads, workers)
    context = multiprocessing.get_context("spawn")
    steps: Queue[Step] = context.Queue()
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
    """Partitions by worker: the largest first, each to the worker that has least.

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
    """Run partitions in turn until each has read all there is.

    Args:
        runners: At their checkpoints; they end with one.
        waiting: Whether decisions may still come for a partition that holds at a boundary.
        report: Told each step.
        tick: Called after each step and while all wait.
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


def step(shard: Shard, before: int) -> Step:
    """What a shard has done since it stood at an offset."""
    records = shard.position.offset - before
    return Step(shard.partition, records, shard.event_time, shard.losses())


def _watch(running: Sequence[Future[R]], steps: "Queue[Step]", report: Report, tick: Tick) -> None:
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
    """What a worker process was given at its start."""

    steps: "Queue[Step]"
    stop: Event


def _join(steps: "Queue[Step]", stop: Event) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent tells when to stop
    tune_collector()
    make_plain()
    _Worker.steps, _Worker.stop = steps, stop


def _work(job: Job[R], partitions: Sequence[int]) -> list[R]:
    _go_on()  # what the pool has handed out by now, it does not cancel
    return job(partitions, _Worker.steps.put, _go_on)


def _go_on() -> None:
    parent = multiprocessing.parent_process()
    if _Worker.stop.is_set() or (parent is not None and not parent.is_alive()):
        raise Stopped
