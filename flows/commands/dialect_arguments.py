"""Arguments of the verbs that read files: the type of their records, how the files are written."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from reprlib import repr as shortened
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flows.errors.user_errors import CommandError, as_command_errors
from flows.intake.dialect import Dialect
from flows.intake.id_template import IdTemplate
from state.admission.no_event import Judge
from state.event_times import TimeTexts
from state.plain_text import plain_line
from state.stream import Stream

DIALECT = ("type", "rename", "id", "decimal", "time_format", "time_zone", "skip_unknown")
"""Names of the arguments."""

_TRIED = datetime(2026, 11, 28, 13, 14, 15, tzinfo=UTC)


def add_dialect(parser: ArgumentParser) -> None:
    """Let a verb take files that are written otherwise than events are, or name no types."""
    parser.add_argument(
        "--type",
        action="append",
        default=[],
        metavar="[FILE=]TYPE",
        help="type of records that have none, in all files or in FILE; default for a table: the "
        "one type that its columns fit",
    )
    parser.add_argument(
        "--rename",
        type=other_name,
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="the column, or field of JSON, OLD of the files is the field NEW of the events; as "
        "often as needed, also for files that name NEW otherwise; a.b is the field b within a",
    )
    parser.add_argument(
        "--id",
        action="append",
        default=[],
        metavar="[FILE=]TEXT",
        help="make the ids of all files, or of FILE, such as v{transfer} or {file}-{row}: a name "
        "in braces is a column, or field of JSON, as the files name it; {file} is the file's name "
        "without suffix, {row} the record's number in it",
    )
    parser.add_argument(
        "--decimal",
        choices=[",", "."],
        metavar="SIGN",
        help="the sign before decimals in cells of text, , or . (default .)",
    )
    parser.add_argument(
        "--time-format",
        type=time_format,
        metavar="FORMAT",
        help="times in text are like %%d.%%m.%%Y %%H:%%M:%%S, as Python's strptime has it; "
        "default, and where a text is written otherwise: ISO 8601",
    )
    parser.add_argument(
        "--time-zone",
        type=time_zone,
        metavar="ZONE",
        help="zone of times in text that name none, such as Europe/Berlin (default UTC)",
    )
    parser.add_argument(
        "--skip-unknown",
        action="store_true",
        help="leave out fields and cells that their event has not got, as columns of no event "
        "always are",
    )


def dialect_of(stream: Stream, arguments: Namespace) -> Dialect:
    """The dialect that the arguments describe.

    Raises:
        CommandError: See `names_of`.
    """
    return Dialect(
        names=names_of(stream, arguments.rename),
        decimal=arguments.decimal or ".",
        texts=TimeTexts(arguments.time_format or "", arguments.time_zone or UTC),
        skips_unknown=arguments.skip_unknown,
        found=set(),
    )


def kinds_of(
    stream: Stream, given: Sequence[str], files: Sequence[str]
) -> Callable[[str], str | None]:
    """A function from the name of a file to the type of its records that have none.

    Args:
        stream: Stream of the events.
        given: Values of `--type`; for a file that has one of its own this one counts.
        files: Names of the files.

    Raises:
        CommandError: No event has the type, no file has the name, or a file is given two types.
    """
    kinds: dict[str, str] = {}
    for one in given:
        name, _, kind = one.rpartition("=")
        name = name and str(Path(name))  # without ./
        if name and name not in map(str, map(Path, files)):
            msg = f"--type must name a FILE of the command line; got {shortened(name)}"
            raise CommandError(msg)
        if kinds.setdefault(name, kind) != kind:
            msg = f"--type must give a file one type; got {kinds[name]} and {kind}"
            raise CommandError(msg)
        with as_command_errors():
            Judge(stream).check_type(kind)
    return lambda name: kinds.get(str(Path(name)), kinds.get(""))


def ids_of(given: Sequence[str], files: Sequence[str]) -> Callable[[str], IdTemplate | None]:
    """A function from the name of a file to the template of its ids.

    Args:
        given: Values of `--id`; for a file that has one of its own this one counts.
        files: Names of the files.

    Raises:
        CommandError: A template is invalid, or gives records of several files the same ids; or no
            file has the name, or a file is given two templates.
    """
    paths = [str(Path(name)) for name in files]
    texts: dict[str, str] = {}
    for one in given:
        begin, sign, _ = one.partition("{")[0].rpartition("=")
        name = str(Path(begin)) if sign else ""
        if name and name not in paths:
            msg = f"--id must name a FILE of the command line; got {shortened(begin)}"
            raise CommandError(msg)
        text = one[len(begin) + len(sign) :]
        if texts.setdefault(name, text) != text:
            msg = f"--id must give a file one text; got {texts[name]} and {text}"
            raise CommandError(msg)
        try:
            template = IdTemplate(text, "")
        except ValueError as error:
            msg = f"--id must be a text with names in braces; got {text!r}: {error}"
            raise CommandError(msg) from error
        if not name and len({*paths}) > 1 and not template.is_of_file:
            msg = f"--id must differ by file; got {text!r} for {len(files)} files: add {{file}}"
            raise CommandError(msg)

    def template_of(name: str) -> IdTemplate | None:
        text = texts.get(str(Path(name)), texts.get(""))
        stem = "stdin" if name == "-" else Path(name).name.partition(".")[0]
        return None if text is None else IdTemplate(text, stem)

    return template_of


def unused(dialect: Dialect, files: Sequence[str]) -> str:
    """A line about the names of `--rename` that no file has; empty: each is in one.

    Args:
        dialect: The dialect by which the files were read.
        files: Names of those that hold records.
    """
    others = sorted(dialect.names.keys() - (dialect.found or set()))
    if not others or not files:
        return ""
    names = plain_line(", ".join(map(repr, others)))
    return f"--rename of {names} changes nothing in {', '.join(files)}: no such column or field"


def other_name(text: str) -> tuple[str, str]:
    """A column of an argument and its other name.

    Raises:
        ArgumentTypeError: It is not two names with an equals sign between them.

    Example:
        >>> other_name("trip id=id")
        ('trip id', 'id')
    """
    old, _, new = text.rpartition("=")
    if not (old and new):
        msg = f"must be OLD=NEW; got {shortened(text)}"
        raise ArgumentTypeError(msg)
    return old, new


def time_format(text: str) -> str:
    """A format of times.

    Raises:
        ArgumentTypeError: The text is not a format of times with day, month and year.

    Example:
        >>> time_format("%d.%m.%Y %H:%M")
        '%d.%m.%Y %H:%M'
    """
    try:
        found = datetime.strptime(_TRIED.strftime(text), text).date()  # noqa: DTZ007
    except ValueError:
        found = None
    if found != _TRIED.date():
        msg = f"must be like %d.%m.%Y %H:%M:%S, with day, month and year; got {shortened(text)}"
        raise ArgumentTypeError(msg)
    return text


def time_zone(text: str) -> ZoneInfo:
    """A time zone.

    Raises:
        ArgumentTypeError: No time zone has this name.

    Example:
        >>> time_zone("Europe/Berlin").key
        'Europe/Berlin'
    """
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        msg = f"must be an IANA time zone, such as Europe/Berlin; got {shortened(text)}"
        raise ArgumentTypeError(msg) from None


def names_of(stream: Stream, pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The other names, by column.

    Raises:
        CommandError: No event has such a field, or a column would have two names.
    """
    fields = {"type"}.union(*(event.__struct_fields__ for event in stream.events))
    names = dict(pairs)
    for new in names.values():
        if new not in fields:
            have = ", ".join(sorted(fields))
            msg = f"--rename must lead to a field of an event, one of {have}; got {new!r}"
            raise CommandError(msg)
    if len(names) < len({*pairs}):
        msg = f"--rename must give each column one name; got {shortened(pairs)}"
        raise CommandError(msg)
    return names
