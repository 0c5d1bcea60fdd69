"""The job of a what-if: run a branch's partitions as the live flow would, and compare them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from flows.home.configuration import find_stream
from flows.home.deployment import Deployment
from flows.home.home import Home
from flows.replay import branch as branches
from flows.replay.branch import Branch
from flows.replay.replay_range import ReplayRange
from flows.replay.requests import requests_of
from flows.replay.worker_pool import Report, Tick, drive
from flows.runtime.kept_rows import REPLAYING
from flows.runtime.partitions import Partitions
from state.log import EVENTS
from state.log.branch import BranchLog
from state.settings import Settings, changed


@dataclass(frozen=True)
class BranchJob:
    """Runs and compares partitions of a branch; one that is done is only compared.

    Args:
        root: The base home's directory.
        branch: The branch to run.
        settings: The branch's settings.
        span: Range to compare.
    """

    root: Path
    branch: Branch
    settings: Settings
    span: ReplayRange

    def __call__(self, partitions: Sequence[int], report: Report, tick: Tick) -> list[pl.DataFrame]:
        """Run the partitions, and compare their requests with the base's."""
        home, branch = Home(self.root), self.branch
        base = Deployment.open(self.settings, home, checkpoints=False).log
        log = branches.log_of(base, home, branch)
        if not branch.done:
            self._run(log, partitions, report, tick)
        found = []
        for partition in partitions:
            end = branch.forks[EVENTS][partition]
            found.append(requests_of(base, log, partition, self.span.firsts[partition], end))
            tick()
        log.close()
        return found

    @property
    def apart(self) -> bool:
        """Whether no partition waits for another one's result, such as a fit."""
        return self.branch.done or self.branch.models != "refitted"

    def _run(self, log: BranchLog, partitions: Sequence[int], report: Report, tick: Tick) -> None:
        settings, reused = self.settings, self.branch.models == "reused"
        home = branches.home_of(Home(self.root), self.branch.name)

        def settings_of(recorded: dict[str, Any]) -> Settings:
            # The branch's own settings; with reused models, the boundaries stay the base journal's.
            every = recorded["training.every"]
            return changed(settings, {"training": {"every": every}}) if reused else settings

        stream = find_stream(settings.stream)
        parts = Partitions(
            settings, stream, log, home, settings_of, decides=not reused, loading=REPLAYING
        )
        parts.early = self.branch.early
        runners = [parts.open(partition) for partition in partitions]
        drive(runners, waiting=not reused, report=report, tick=tick)
