"""`headwater replay`: audits and what-ifs."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

import msgspec
from rich.console import Console

from flows.commands.branches import changes_of
from flows.commands.verb import Verb, add_times, log_of, output_file, workers
from flows.errors.user_errors import CommandError, as_command_errors
from flows.home.configuration import load_settings, parse_toml, read_toml
from flows.home.home import Home, environment_home
from flows.replay.audit import AuditResult, audited
from flows.replay.comparison import tables
from flows.replay.output_check import PartitionAudit
from flows.replay.what_if import branched
from flows.runtime.app import tune_collector
from flows.terminal.console import TerminalConsole
from operators.shard.shard import TOPICS
from state.atomic_write import replacing
from state.settings import Settings, changed


def _arguments(parser: ArgumentParser) -> None:
    add_times(
        parser,
        "only records appended at or after this date or time, UTC",
        "only records appended before this, UTC",
        "T",
    )
    parser.add_argument(
        "--set",
        dest="sets",
        type=_setting,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting to try, as decision.threshold=0.3; may be repeated",
    )
    parser.add_argument(
        "--policy", type=Path, metavar="FILE", help="settings to try, a part of headwater.toml"
    )
    parser.add_argument(
        "--out",
        type=output_file,
        metavar="X.parquet",
        help="write one row for each request (what-if only)",
    )
    parser.add_argument(
        "-w", "--workers", type=workers, default=1, metavar="N", help="processes (default 1)"
    )


def _setting(text: str) -> dict[str, Any]:
    """Parse a setting to a document; a value that is not TOML is text.

    Example:
        >>> _setting("training.seed=2"), _setting("training.every=1d")
        ({'training': {'seed': 2}}, {'training': {'every': '1d'}})
    """
    key, equals, value = text.partition("=")
    for written in (value, msgspec.json.encode(value).decode()):
        try:
            document = parse_toml(f"{key} = {written}")
        except ValueError:
            continue
        if equals and len(document) == 1:
            return document
    msg = f"must be KEY=VALUE; got {shortened(text)}"
    raise ArgumentTypeError(msg)


def _run(arguments: Namespace) -> int:
    home, console = environment_home(), TerminalConsole(stderr=True)
    log_of(home).close()
    settings = load_settings()
    if arguments.out is not None:
        _check_out(arguments.out)
    tune_collector()
    with as_command_errors():
        if arguments.sets or arguments.policy:
            return _what_if(arguments, home, settings, console)
        if arguments.out is not None:
            msg = f"--out must go with --set or --policy; got {arguments.out}"
            raise CommandError(msg)
        return _audit(arguments, home, settings, console)


def _check_out(out: Path) -> None:
    """Check the output path before hours of work."""
    if out.suffix != ".parquet":
        msg = f"--out must end in .parquet; got {out}"
        raise CommandError(msg)
    if not out.absolute().parent.is_dir():
        msg = f"--out must be in a folder that exists; got {out}"
        raise CommandError(msg)


def _audit(arguments: Namespace, home: Home, settings: Settings, console: Console) -> int:
    since, until, workers = arguments.since, arguments.until, arguments.workers
    found = audited(home, settings, since, until, workers, console, _sayer(console))
    _sayer(TerminalConsole())(_audit_text(found))
    return 1 if found.unfounded or any(one.different for one in found.partitions) else 0


def _audit_text(found: AuditResult) -> str:
    sums = {topic: sum(one.identical[topic] for one in found.partitions) for topic in TOPICS}
    counted = [f"{n:,} {topic.replace('_', ' ')}" for topic, n in sums.items()]
    states = sum(one.states for one in found.partitions)
    counted.append(f"{states:,} checkpoint states")
    if found.titles:
        counted.append(f"{found.titles:,} titles")
    lines = [f"{counted[0]} identical, {', '.join(counted[1:])}"]
    for one in found.partitions:
        chain = one.chain or "no prediction"
        short = "" if one.recorded else ", the end of the recorded output"
        lines.append(f"partition {one.partition}: chain {chain} at offset {one.end:,}{short}")
    differing = [one for one in found.partitions if one.first is not None]
    if differing:
        wrong = {
            topic: sum(one.different.get(topic, 0) for one in differing)
            for topic in {topic: 0 for one in differing for topic in one.different}
        }
        lines.append("DIFFERENT: " + ", ".join(f"{n:,} {topic}" for topic, n in wrong.items()))
        lines += _first(differing[0])
    lines += (
        f"DIFFERENT: {one.model} {one.status} after boundary {one.boundary} does not follow from "
        "the metrics it names"
        for one in found.unfounded
    )
    return "\n".join(lines)


def _first(checked: PartitionAudit) -> list[str]:
    first = checked.first
    assert first is not None
    place = f"{first.topic}/{first.partition}"
    if first.sequence is not None:
        place += f" at sequence {first.sequence}"
    if first.id is not None:
        place += f", request {first.id!r}"
    if first.offset is not None:
        place += f", offset {first.offset} of events"
    lines = [f"first: {place}"]
    lines += [
        f"  {name}: recorded {old or 'nothing'}, replayed {new or 'nothing'}"
        for name, old, new in first.fields
    ]
    return [*lines, f"cause: {checked.cause}"]


def _what_if(arguments: Namespace, home: Home, settings: Settings, console: Console) -> int:
    changes = list(arguments.sets)
    if arguments.policy is not None:
        try:
            policy = read_toml(arguments.policy)
            changed(settings, policy)
        except ValueError as error:
            msg = f"{error} in {arguments.policy}"
            raise CommandError(msg) from error
        changes.insert(0, policy)
    found = branched(
        home, settings, changes, arguments.since, arguments.until, arguments.workers, console,
        _sayer(console),
    )  # fmt: skip
    say = _sayer(TerminalConsole())
    say(f"what-if {found.branch.name}: {changes_of(found.branch.changes)}")
    say(tables(found.requests, found.settings.decision))
    if arguments.out is not None:
        with replacing(arguments.out) as aside:
            found.requests.write_parquet(aside, compression="zstd")
        say(f"{arguments.out}: {len(found.requests):,} requests")
    return 0


def _sayer(console: Console) -> Callable[[str], None]:
    return partial(console.print, highlight=False, markup=False, soft_wrap=True)


REPLAY = Verb(
    name="replay",
    help="audit history, or replay it with other settings",
    description=(
        "Without --set and --policy an audit: it replays the range from the nearest checkpoint "
        "and compares the outputs with the recorded ones. At a difference it shows the first one "
        "and ends with exit code 1. With --set or --policy a what-if: it replays the range with "
        "other settings on a branch of its own and never touches the original. It repeats the "
        "fits if the training changed. Both start from the recorded settings. If stopped, the "
        "same command resumes."
    ),
    examples="""\
  headwater replay --from 2013-02-08 --to 2013-02-11
  headwater replay --from 2013-02-08 --set decision.threshold=0.3 --out what_if.parquet
  headwater replay --set 'online.river={class="tree.HoeffdingTreeClassifier"}' -w 2
  headwater replay --set training.every=1d --set decision.false_negative=5""",
    arguments=_arguments,
    call=_run,
    stopped="the same command resumes",
)
