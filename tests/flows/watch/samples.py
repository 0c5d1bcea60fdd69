"""Samples made by hand."""

import msgspec

from flows.home.heartbeat import Beat, Usage
from flows.reports.counts import Counts
from flows.reports.estimates import CameTrue, Estimates, Waiting
from flows.reports.status import PartitionStatus, Status
from flows.watch.sample import (
    AlertLine,
    Disk,
    Events,
    Fits,
    KafkaHealth,
    LogSample,
    Quality,
    Sample,
    Sources,
    Tick,
)
from flows.watch.tallies import ALERT_KINDS, REASONS
from models.judging.estimates import Estimated
from models.judging.histograms import Estimate
from state.checkpoints.store import Written
from state.outputs.records import Losses
from state.topics import TOPICS

NOW = 1_800_000_000.0
MODELS = ("ensemble", "online", "offline", "residual")
AUC: dict[Estimated, Estimate] = {"auc": Estimate(0.79, 0.76, 0.82)}
ESTIMATES = Estimates(
    Waiting(1_204, AUC, trusted=True, doubt=""),
    CameTrue(512, 1, 2, AUC, {"auc": 0.781}, {"auc": 0.009}, trusted=True),
)
change = msgspec.structs.replace


def partition(number, **changes):
    checkpoint = Written(900, NOW - 3, 5_000)
    made = PartitionStatus(
        number, 1_000, 1_000, 0, 0.0, 50.0, "gbm-1", round(NOW * 1e6), checkpoint
    )
    return change(made, **changes)


def losses(log_loss, n=500):
    return Losses(n, log_loss, log_loss / 3)


def log_sample(of_partitions=1, of_sources=1, **changes):
    """Of a log in which all is well."""
    status = Status(
        [partition(number) for number in range(of_partitions)],
        {name: 1_000 * (i + 1) for i, name in enumerate(TOPICS)},
        [],
        Counts(900, 800, 100, 7, 3, {"late": 2}),
        [],
        ESTIMATES,
    )
    made = LogSample(
        NOW,
        status,
        Quality(
            {model: losses(0.4) for model in MODELS},
            [
                Tick(round((NOW - 60 * k) * 1e6), {m: losses(0.4 + k / 100) for m in MODELS})
                for k in range(5, -1, -1)
            ],
            {"online": 0.25, "offline": 0.0, "stacks": 0.75},
        ),
        Sources(of_sources, {f"s{i}": 0.5 + i for i in range(min(of_sources, 50))}),
        Fits({"promoted": 2, "rejected": 1, "failed": 0, "skipped": 0}, 0, "gbm-1", 1, 0),
        Events(
            dict.fromkeys(ALERT_KINDS, 0),
            dict.fromkeys(REASONS, 0) | {"late": 2},
            [AlertLine("fit_rejected", round(NOW * 1e6), "It was no better.", "")],
            0,
        ),
        12.0,
        round(NOW * 1e6),
        KafkaHealth(3, 40, 0, 0, 0),
    )
    return change(made, **changes)


def sample(processes=1, log=..., **changes):
    """Of a flow in which all is well."""
    beats = [
        Beat("host", NOW, NOW - 100, [Usage("flow", 7 + n, 12.5, 3 * 2**28, 40, 9)])
        for n in range(processes)
    ]
    made = Sample(
        1, NOW, "quotes", "kafka", 360.0, 1.0, log_sample() if log is ... else log, "", 0.02,
        beats, Disk(50 * 2**30, 100 * 2**30, {"log": 2**20}), True,
        {"events": 50.0, "read": 50.0, "dead_letters": 0.0}, 0,
    )  # fmt: skip
    return change(made, **changes)
