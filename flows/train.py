"""The training flow on its own: `python -m bytewax.run flows.train`, for `trainer = "external"`."""

from functools import partial

from flows.terminal.loading import loading

with loading():
    from bytewax.dataflow import Dataflow

    from flows.errors.bytewax_errors import one_line_errors
    from flows.errors.user_errors import CommandError
    from flows.home.configuration import load_settings
    from flows.home.deployment import Deployment
    from flows.home.file_lock import lock_shared
    from flows.home.heartbeat import Heartbeat
    from flows.home.home import environment_home
    from flows.runtime.fitter import Fitter
    from flows.terminal.console import TerminalConsole
    from operators.partition.dataflow import compose_training
    from operators.training.titles import Titles
    from operators.training.trainer import Trainer


def flow() -> Dataflow:
    """The dataflow that bytewax runs: it fits what becomes due until it is stopped."""
    with one_line_errors() as stop:
        settings, home, console = load_settings(), environment_home(), TerminalConsole(stderr=True)
        if settings.training.pinned:
            got = repr(settings.training.pinned)
            msg = f"training.pinned must be empty where fits are made; got {got}"
            raise CommandError(msg)
        deployment = Deployment.open(settings, home, make_topics=True, checkpoints=False)
        log = deployment.log
        if settings.log == "sqlite":
            lock_shared(home.root)  # until the process ends
        say = partial(console.print, highlight=False)
        registry = deployment.registry
        fitter = Fitter(settings, deployment.stream, log, deployment.home, say, registry)
        Heartbeat(home.root, "trainer", stop)
    console.print("Waiting for boundaries, Ctrl-C ends it.", highlight=False)
    titles = Titles(log, registry, settings.promotion, live=not settings.training.wait)
    return compose_training(lambda: Trainer(log, registry, fitter, stop, titles=titles), stop)
