"""`headwater dashboards`: the dashboards and alert rules for Grafana."""

import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from flows.commands.verb import Verb
from flows.errors.user_errors import CommandError
from flows.watch.grafana_json import dashboard_json
from flows.watch.grafana_objects import wanted
from flows.watch.grafana_plan import Change, changes
from flows.watch.panels import DASHBOARDS as ALL
from flows.watch.panels import Dashboard
from state.atomic_write import write_atomically

if TYPE_CHECKING:
    from flows.watch.grafana_server import GrafanaServer


def _arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    export = actions.add_parser("export", help="write one JSON file for each dashboard")
    export.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="it must exist")
    apply = actions.add_parser("apply", help="create or change all of it in a Grafana")
    diff = actions.add_parser("diff", help="only show what `apply` would change")
    for action in (apply, diff):
        action.add_argument(
            "--url", default="http://127.0.0.1:3000", help="address of Grafana (%(default)s)"
        )
        action.add_argument(
            "--prometheus",
            default="http://127.0.0.1:9090",
            metavar="URL",
            help="where Grafana reaches Prometheus (%(default)s)",
        )
        action.add_argument(
            "--alerts", action="store_true", help="let Grafana evaluate the alert rules too"
        )
        action.add_argument(
            "--webhook", default="", metavar="URL", help="with --alerts: address that gets them"
        )


def encoded(dashboard: Dashboard) -> bytes:
    """A dashboard's file."""
    return msgspec.json.format(msgspec.json.encode(dashboard_json(dashboard)), indent=2) + b"\n"


def _run(arguments: Namespace) -> int:
    if arguments.action == "export":
        return _export(arguments.to)
    if arguments.webhook and not arguments.alerts:
        msg = "--webhook must go with --alerts"
        raise CommandError(msg)
    objects = wanted(arguments.prometheus, alerts=arguments.alerts, webhook=arguments.webhook)
    server = _grafana(arguments.url)
    needed = changes(objects, server.find)
    for change in needed:
        sys.stdout.write(_told(change))
    if arguments.action == "apply":
        for change in needed:
            server.put(change.wanted, change.found)
    differ = f"{len(needed)} changed" if arguments.action == "apply" else f"{len(needed)} differ"
    sys.stdout.write(f"{len(objects)} objects in {arguments.url}, {differ}\n")
    return int(arguments.action == "diff" and bool(needed))


def _grafana(url: str) -> "GrafanaServer":
    token = os.environ.get("GRAFANA_TOKEN")
    if not token:
        msg = "GRAFANA_TOKEN must be the token of a service account of Grafana; got none"
        raise CommandError(msg)
    try:
        from flows.watch.grafana_server import GrafanaServer  # noqa: PLC0415 - needs an extra
    except ModuleNotFoundError as error:
        msg = (
            f"dashboards must have Grafana's client; got '{error}': URLLIB3_NO_OVERRIDE=1 "
            "pip install --no-binary urllib3-future 'headwater[grafana]'"
        )
        raise CommandError(msg) from error
    return GrafanaServer(url, token)


def _told(change: Change) -> str:
    one = change.wanted
    lines = [f"{'+' if change.found is None else '~'} {one.kind} {one.title}"]
    lines += [f"    {difference}" for difference in change.differences]
    return "\n".join(lines) + "\n"


def _export(folder: Path) -> int:
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
    help="put the dashboards into a Grafana, or into files",
    description=(
        "Overview, model quality, model life, stream and lag, sources and clocks, Kafka, serving, "
        "machine: each panel answers the question in its title, from the metrics of `headwater "
        "watch`. `apply` prints what is missing or differs, then makes it so: a folder, a data "
        "source, the dashboards, and on demand the alert rules. Applied twice it changes nothing, "
        "and Grafana keeps the versions before. `export` writes one JSON file for each dashboard, "
        "to be imported by hand or by file provisioning. The token of a service account with the "
        "role Admin comes from GRAFANA_TOKEN."
    ),
    examples="""\
  GRAFANA_TOKEN=glsa_... headwater dashboards apply --url http://127.0.0.1:3000
  headwater dashboards diff           exit code 1 if anything differs
  headwater dashboards apply --alerts --webhook http://127.0.0.1:8080/
  headwater dashboards export --to /etc/grafana/headwater""",
    arguments=_arguments,
    call=_run,
    stopped="some of it was written; run it again",
)
