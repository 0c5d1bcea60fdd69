"""The main flow: `python -m bytewax.run flows.main`."""

from bytewax.dataflow import Dataflow
from rich.console import Console

from flows.app import App, tune_collector
from flows.commands.errors import exiting
from flows.configuration import load_settings
from flows.home import environment_home
from flows.stopping import stop_on_signals


def flow() -> Dataflow:
    """The dataflow that bytewax runs, from the settings and the home of this process."""
    with exiting():
        stop = stop_on_signals()
        app = App(load_settings(), environment_home(), Console(stderr=True), stop)
        made = app.flow()
    tune_collector()
    return made
