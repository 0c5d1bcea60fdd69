"""The main flow: `python -m bytewax.run flows.main`."""

from flows.loading import loading

with loading():
    from bytewax.dataflow import Dataflow

    from flows.app import App, tune_collector
    from flows.commands.ending import exiting
    from flows.configuration import load_settings
    from flows.home import environment_home
    from flows.terminal import TerminalConsole


def flow() -> Dataflow:
    """The dataflow that bytewax runs, from the settings and the home of this process."""
    with exiting() as stop:
        app = App(load_settings(), environment_home(), TerminalConsole(stderr=True), stop)
        made = app.flow()
    tune_collector()
    return made
