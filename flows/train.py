"""The training flow on its own: `python -m bytewax.run flows.train`, for `trainer = "external"`."""

from functools import partial

from flows.loading import loading

with loading():
    from bytewax.dataflow import Dataflow

    from flows.alone import lock_shared
    from flows.artifacts import published_models, reaching
    from flows.commands.ending import exiting
    from flows.commands.errors import CommandError
    from flows.configuration import find_stream, load_settings
    from flows.fitting import Fitter
    from flows.home import environment_home
    from flows.logs import open_log
    from flows.terminal import TerminalConsole
    from operators.dataflow import compose_training
    from operators.training import Trainer


def flow() -> Dataflow:
    """The dataflow that bytewax runs: it fits what becomes due until it is stopped."""
    with exiting() as stop:
        settings, home, console = load_settings(), environment_home(), TerminalConsole(stderr=True)
        if settings.training.pinned:
            got = repr(settings.training.pinned)
            msg = f"training.pinned must be empty where fits are made; got {got}"
            raise CommandError(msg)
        stream = find_stream(settings.stream)
        log = open_log(settings, stream, home)
        if settings.log == "sqlite":
            lock_shared(home.root)  # until the process ends
        home = reaching(home, settings, log)
        say = partial(console.print, highlight=False)
        fitter = Fitter(settings, stream, log, home, say)
    console.print("Waiting for boundaries, Ctrl-C ends it.", highlight=False)
    published = published_models(home, settings, log)
    return compose_training(lambda: Trainer(log, published, fitter, stop), stop)
