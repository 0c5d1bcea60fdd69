"""One serving process, assembled from its parts."""

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
from flows.terminal.json_lines import tell
from state.settings import Serve

_SWITCH_S = 0.000_5
"""Seconds for which a thread that reads the log or scores a batch may block the event loop."""


def serve(
    scorer: Scorer,
    settings: Serve,
    bound: socket.socket,
    token: str | None,
    say: Callable[[str], object],
) -> None:
    """Serve requests until a signal.

    Args:
        scorer: An open scorer.
        settings: Limits and timeouts.
        bound: Socket to listen on; closed at the end.
        token: Bearer token that clients must send; None: none is needed.
        say: Called with one line once the server listens.
    """
    service = Service(scorer, settings)
    server = Server(
        make_app(service, token),
        service,
        lambda: tell("serving", f"Serving {_state(scorer)} at {url_of(bound)}", say),
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
