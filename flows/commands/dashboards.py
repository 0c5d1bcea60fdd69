"""`headwater dashboards`: the dashboards for Grafana."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import msgspec

from flows.commands.verb import Verb
from flows.errors.user_errors import CommandError
from flows.watch.grafana_json import dashboard_json
from flows.watch.panels import DASHBOARDS as ALL
from flows.watch.panels import Dashboard
from state.atomic_write import write_atomically


def _arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    export = actions.add_parser("export", help="write one JSON file for each dashboard")
    export.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="it must exist")


def encoded(dashboard: Dashboard) -> bytes:
    """A dashboard's file."""
    return msgspec.json.format(msgspec.json.encode(dashboard_json(dashboard)), indent=2) + b"\n"


def _run(arguments: Namespace) -> int:
    folder: Path = arguments.to
    if not folder.is_dir():
        msg = f"--to must be a folder that exists; got {folder}"
        raise CommandError(msg)
    for dashboard in ALL:
        path = folder / f"{dashboard.uid}.json"
        write_atomically(path, encoded(dashboard))
        sys.stdout.write(f"{path}: {dashboard.title}, {len(dashboard.panels)} panels\n")
    return 0


DASHBOARDS = Verb(
    name="dashboards",
    help="write the dashboards for Grafana",
    description=(
        "Writes one JSON file for each dashboard: overview, model quality, model life, stream "
        "and lag, sources and clocks, Kafka, serving, machine. Grafana imports them by hand, or "
        "by file provisioning. Each panel answers the question in its title, from the metrics of "
        "`headwater watch`."
    ),
    examples="""\
  headwater dashboards export --to /etc/grafana/headwater""",
    arguments=_arguments,
    call=_run,
    stopped="some of the files were written",
)
