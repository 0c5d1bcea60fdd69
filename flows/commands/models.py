"""`headwater models`: list the fits, and the models in use."""

import sys
from argparse import ArgumentParser, Namespace

import msgspec
from rich.table import Table

from flows.commands.verb import Verb, log_of
from flows.home.home import environment_home
from flows.reports.counts import newest_metrics_of
from flows.runtime.summary import print_fits
from flows.terminal.console import TerminalConsole
from models.refit.fit_record import FitRecord
from models.refit.found_by import found_by
from models.refit.gate import lower_by
from operators.partition.journal import Journal
from operators.training.model_registry import ModelRegistry
from operators.training.titles import contestants_of, evidence_of
from state.log import EVENTS, Log
from state.settings import Promotion
from state.topics import METRICS


class _PartitionModels(msgspec.Struct, frozen=True):
    """The models that a partition predicts with.

    Attributes:
        partition: Partition of `events`.
        model: Id of the newest offline model.
        offset: First offset in `events` that it predicts.
        older: Id of the previous offline model, if it still has a share in the answers.
        shares: Weights in the ensemble, from the newest `metrics`.
        champion: Id of the one of both models that has the title.
        better: Evidence that the newest model is better than the previous one; 1 says nothing.
        worse: Evidence that it is worse.
        compared: Number of labels behind this evidence.
        gain: Mean log-loss of the previous model minus that of the newest one on these.
    """

    partition: int
    model: str | None
    offset: int
    older: str | None = None
    shares: dict[str, float] = {}
    champion: str | None = None
    better: float | None = None
    worse: float | None = None
    compared: int = 0
    gain: float | None = None


class _Contest(msgspec.Struct, frozen=True):
    """The contest for the title: means of the evidence over the partitions.

    Attributes:
        champion: Id of the model with the title.
        challenger: Id of the other one.
        better: Evidence that the challenger is better.
        worse: Evidence that it is worse.
        labels: Number of labels.
        gain: Mean log-loss of the champion minus that of the challenger on these.
    """

    champion: str
    challenger: str
    better: float
    worse: float
    labels: int
    gain: float


class _Models(msgspec.Struct, frozen=True):
    champion: str | None
    contest: _Contest | None
    in_use: list[_PartitionModels]
    decisions: list[FitRecord]


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="everything, as one JSON object")


def _run(arguments: Namespace) -> int:
    log = log_of(environment_home())
    registry = ModelRegistry(log)
    models = _Models(registry.title(), _contest(log, registry), _in_use(log), registry.records())
    log.close()
    if arguments.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(models)).decode() + "\n")
        return 0
    console = TerminalConsole()
    print_fits(console, models.decisions)
    console.print(_uses_table(models.in_use))
    if models.champion is not None:
        console.print(_title(models.champion, models.contest), highlight=False)
        fits = [one for one in models.decisions if one.model == models.champion and one.tried]
        for fit in fits[-1:]:
            console.print(f"{fit.model}: {found_by(fit)}", highlight=False, soft_wrap=True)
    return 0


def _contest(log: Log, registry: ModelRegistry) -> _Contest | None:
    """The contest of the champion with the newest model, or with the champion before it."""
    models = contestants_of(registry.history())
    if models is None:
        return None
    ends = [log.end(METRICS, p) for p in range(log.partitions(METRICS))]
    found = evidence_of(log, models, ends, Promotion().alpha)
    challenger = models.newest if models.title == models.older else models.older
    better, worse, gain = found.better, found.worse, found.gain
    if challenger == models.older:
        better, worse, gain = worse, better, -gain
    return _Contest(models.title, challenger, better, worse, found.labels, gain)


def _title(champion: str, contest: _Contest | None) -> str:
    if contest is None:
        return f"champion {champion}, compared with no other model"
    return (
        f"champion {champion}; challenger {contest.challenger}: evidence of {contest.better:.3g} "
        f"that it is better, {contest.worse:.3g} that it is worse, by {contest.labels:,} labels; "
        f"{lower_by(contest.gain)}"
    )


def _in_use(log: Log) -> list[_PartitionModels]:
    found = []
    for partition in range(log.partitions(EVENTS)):
        active = Journal(log, partition).active
        model, offset = (active.model, active.offset) if active else (None, 0)
        newest = newest_metrics_of(log, partition)
        if newest is None or newest.model != model:
            found.append(_PartitionModels(partition, model, offset))
        else:
            title = newest.champion, newest.better, newest.worse, newest.compared, newest.gain
            of = newest.older, newest.shares, *title
            found.append(_PartitionModels(partition, model, offset, *of))
    return found


def _uses_table(in_use: list[_PartitionModels]) -> Table:
    table = Table(title="in use, and its share in the answers", title_justify="left", box=None)
    for heading in (
        "partition", "model", "from offset", "share", "model before", "share", "online", "stacks",
    ):  # fmt: skip
        table.add_column(heading, justify="left" if "model" in heading else "right")
    for use in in_use:
        table.add_row(
            str(use.partition), use.model or "-", f"{use.offset:,}",
            _share(use, "offline", "residual"), use.older or "-",
            _share(use, "older_offline", "older_residual"), _share(use, "online"),
            _share(use, "stacks"),
        )  # fmt: skip
    return table


def _share(use: _PartitionModels, *parts: str) -> str:
    if not use.shares:
        return "-"
    return f"{sum(use.shares.get(part, 0.0) for part in parts):.0%}"


MODELS = Verb(
    name="models",
    help="list fits and the models in use",
    description=(
        "One line for each boundary: the decision and its reason. Then the offline models that "
        "each partition of `events` uses now, with their shares in the answers by the newest "
        "metrics: each offline model with the learners that correct it, the online learners, and "
        "the stacks, which weigh all of these together. Last, which model has the title, and the "
        "evidence on live labels for its challenger: 1 says nothing, 1 / promotion.alpha decides; "
        "and how its parameters were found."
    ),
    examples="""\
  headwater models
  headwater models --json""",
    arguments=_arguments,
    call=_run,
    stopped="nothing was changed",
)
