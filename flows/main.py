"""The main flow: `python -m bytewax.run flows.main`."""

from bytewax.dataflow import Dataflow
from rich.console import Console

from flows.app import App, tune_collector
from flows.commands.ending import exiting
from flows.configuration import load_settings
from flows.home import environment_home


def flow() -> Dataflow:
    """The dataflow that bytewax runs, from the settings and the home of this process."""
    with exiting() as stop:
        app = App(load_settings(), environment_home(), Console(stderr=True), stop)
        made = app.flow()
    tune_collector()
    return made
