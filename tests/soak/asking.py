"""Asks an in-process scorer and a service at a steady rate, until it is told to end.

`python -m tests.soak.asking PORT START RATE KEYS`; it prints nothing unless an answer is wrong.
"""

import http.client
import math
import signal
import sys
import threading
import time

import msgspec

from flows.scorer import Scorer
from tests.soak.visits import Visits, encode

_EVERY_S = 0.05


def ask(scorer: Scorer, port: int, visits: Visits, stop: threading.Event) -> None:
    """Ask both, twenty times a second, about visitors who have just been seen."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    number = 0
    while not stop.wait(_EVERY_S):
        number += 1
        request = visits.asked(f"new{number}", visits.number(time.time_ns() // 1_000))
        own = scorer.score(request).probability
        connection.request("POST", "/score", encode(request), {"content-type": "application/json"})
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            msg = f"the service must answer 200; got {response.status}: {body[:500]!r}"
            raise SystemExit(msg)
        answered = msgspec.json.decode(body)["probability"]
        if not (math.isfinite(own) and math.isfinite(answered)):
            msg = f"probabilities must be finite; got {own} and {answered}"
            raise SystemExit(msg)
    connection.close()


def main() -> None:
    """Follow and ask."""
    port, start_us, rate, keys = map(int, sys.argv[1:])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Scorer.open() as scorer:
        ask(scorer, port, Visits(start_us, rate, keys), stop)


if __name__ == "__main__":
    main()
