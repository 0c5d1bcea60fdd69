"""The main flow: `python -m bytewax.run flows.main`."""

from flows.terminal.loading import loading

with loading():
    from bytewax.dataflow import Dataflow

    from flows.errors.bytewax_errors import one_line_errors
    from flows.home.configuration import load_settings
    from flows.home.home import environment_home
    from flows.runtime.app import App, tune_collector
    from flows.terminal.console import TerminalConsole


def flow() -> Dataflow:
    """The dataflow that bytewax runs, from the settings and the home of this process."""
    with one_line_errors() as stop:
        app = App(load_settings(), environment_home(), TerminalConsole(stderr=True), stop)
        made = app.flow()
    tune_collector()
    return made
