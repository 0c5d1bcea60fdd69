"""`headwater clocks`: compare the clocks of sources and brokers with the log's."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import partial

from rich.table import Table

from flows.commands.verb import Verb, add_times, log_of
from flows.home.configuration import load_settings
from flows.home.home import environment_home
from flows.home.open_log import needing_kafka
from flows.home.wall_clock import microseconds_now
from flows.reports.source_clocks import SourceClock, clocks_of
from flows.terminal.console import TerminalConsole
from state.durations import Duration
from state.events import DAY_US, SECOND_US
from state.log import EVENTS, newest_append_time
from state.plain_text import plain_line
from state.settings import Settings


def _arguments(parser: ArgumentParser) -> None:
    add_times(
        parser, "append time, UTC (default: a day before the newest record)", "append time, UTC"
    )


def _run(arguments: Namespace) -> int:
    settings, log, console = load_settings(), log_of(environment_home()), TerminalConsole()
    newest = newest_append_time(log, EVENTS)
    since = newest - DAY_US if arguments.since is None else _us(arguments.since.timestamp())
    until = None if arguments.until is None else _us(arguments.until.timestamp())
    clocks = clocks_of(log, settings.clock.tolerance, since, until)
    log.close()
    say = partial(console.print, highlight=False, soft_wrap=True)
    if clocks:
        console.print(_table(clocks, settings.clock.notice))
        say(f"The newest record was appended {_from_now(newest)}.")
    else:
        console.print("No events in that time.")
    if settings.ingest.topics:
        _tell_brokers(settings, say)
    return 0


def _tell_brokers(settings: Settings, say: Callable[[str], None]) -> None:
    """Print the newest record's time by each broker of foreign topics, and warn if it is ahead."""
    with needing_kafka():
        from flows.home.kafka import foreign_cluster  # noqa: PLC0415
        from state.kafka.broker_clocks import BrokerClocks, newest_of  # noqa: PLC0415 - needs an extra

    topics = {topic.topic: None for topic in settings.ingest.topics}
    clocks = BrokerClocks(settings.clock.tolerance, settings.clock.span, say)
    for broker, place, time in newest_of(foreign_cluster(settings), topics):
        say(f"Kafka's broker {broker} stamped its newest record, in {place}, {_from_now(time)}.")
        clocks.compare(broker, place, stamped=time, since=time, now=microseconds_now())


def _from_now(time: int) -> str:
    behind = microseconds_now() - time
    return f"{_seconds(abs(behind))} {'before' if behind >= 0 else 'after'} this machine's time"


def _table(clocks: list[SourceClock], notice: Duration) -> Table:
    table = Table(box=None)
    for heading in ("source", "records", "least lag", "last lag", "clock", "quarantined"):
        table.add_column(heading, justify="left" if heading in {"source", "clock"} else "right")
    for clock in clocks:
        ahead = -clock.least_lag_us
        table.add_row(
            plain_line(clock.source or "-"),
            f"{clock.records:,}",
            _seconds(clock.least_lag_us),
            _seconds(clock.last_lag_us),
            f"{_seconds(ahead)} ahead" if ahead > notice else "ok",
            f"{clock.quarantined:,}",
        )
    return table


def _us(seconds: float) -> int:
    return round(seconds * SECOND_US)


def _seconds(us: int) -> str:
    return f"{us / SECOND_US:,.3f} s"


CLOCKS = Verb(
    name="clocks",
    help="compare the sources' clocks with the log's",
    description=(
        "For each source of events the least lag (append time minus event time). If it is below "
        "zero, the source's clock is ahead by at least that much. Events further ahead than "
        "`clock.tolerance` were quarantined. A clock that is behind looks like a slow transport: "
        "compare the least lags of the sources. For foreign topics it also shows the newest time "
        "that each broker gave a record, and whether that is ahead of this machine."
    ),
    examples="""\
  headwater clocks
  headwater clocks --from 2013-02-08 --to 2013-02-09""",
    arguments=_arguments,
    call=_run,
    stopped="nothing was changed",
)
