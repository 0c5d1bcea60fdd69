"""One process that serves: the parts put together."""

import socket
import sys
from collections.abc import Callable

from flows.runtime.app import tune_collector
from flows.scorer import Scorer
from flows.serving.app import make_app
from flows.serving.bind import url_of
from flows.serving.schemas import seconds_of
from flows.serving.server import Server
from flows.serving.service import Service
from state.settings import Serve

_SWITCH_S = 0.000_5
"""How long a thread that follows the log or does a batch may keep the event loop waiting."""


def serve(
    scorer: Scorer,
    settings: Serve,
    bound: socket.socket,
    token: str | None,
    say: Callable[[str], object],
) -> None:
    """Serve until a signal.

    Args:
        scorer: Opened.
        settings: Limits and times.
        bound: Where; closed at the end.
        token: Who asks must bear it; None: anyone may ask.
        say: Told in one line when it listens.
    """
    service = Service(scorer, settings)
    server = Server(
        make_app(service, token),
        service,
        lambda: say(f"Serving {_state(scorer)} at {url_of(bound)}"),
    )
    tune_collector()
    sys.setswitchinterval(_SWITCH_S)
    try:
        server.run([bound])
    finally:
        service.close()


def _state(scorer: Scorer) -> str:
    models = sorted({model or "online only" for model in scorer.models.values()})
    behind = scorer.staleness
    age = (
        "behind the log" if seconds_of(behind) is None else f"{behind.seconds:.1f} s behind the log"
    )
    return f"{scorer.stream.name} ({', '.join(models)}; {behind.records} records, {age})"
