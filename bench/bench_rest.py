"""Latency of `headwater serve` at a fixed rate on loopback, beside its own /healthz.

`python bench/bench_rest.py` on a home that a run has filled; `--rate` and `--seconds` as wanted.
A request's time is counted from when it was due, so a stall counts for all that it delays.
"""

import argparse
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time

import msgspec
import numpy as np

from flows.home.configuration import find_stream, load_settings
from flows.home.home import environment_home
from flows.home.open_log import find_log
from state.log import EVENTS

_CONNECTIONS = (1, 16)
_ROUNDS = 3


def _request() -> bytes:
    """The newest request of the first partition that has one, under a new id."""
    settings = load_settings()
    stream = find_stream(settings.stream)
    log = find_log(settings, environment_home())
    decode = stream.decoder().decode
    try:
        for partition in range(log.partitions(EVENTS)):
            end = log.end(EVENTS, partition)
            for record in reversed(log.read(EVENTS, partition, max(end - 1_000, 0))):
                event = decode(record.value)
                if isinstance(event, stream.request):
                    return msgspec.json.encode(msgspec.structs.replace(event, id="bench"))
    finally:
        log.close()
    msg = f"log must hold a request; got none in {environment_home().root}"
    raise SystemExit(msg)


class _Connection:
    """Keeps one request in work at most."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due, self._got = 0.0, b""

    def ask(self, raw: bytes, due: float) -> None:
        self.due, self._got = due, b""
        self.socket.sendall(raw)

    def answered(self) -> bool:
        """Take what has come; whether it is whole."""
        self._got += self.socket.recv(65_536)
        head, _, body = self._got.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            msg = f"answers must be 200; got {head[:40]!r}"
            raise SystemExit(msg)
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        return bool(length) and len(body) == int(length)


def _load(port: int, raw: bytes, connections: int, rate: float, seconds: float) -> list[float]:
    idle = [_Connection(port) for _ in range(connections)]
    busy: dict[socket.socket, _Connection] = {}
    first, count = time.perf_counter() + 0.1, int(rate * seconds)
    sent = 0
    found: list[float] = []
    while len(found) < count:
        wait = first + sent / rate - time.perf_counter() if sent < count and idle else 1.0
        if wait <= 0:
            one = idle.pop()
            one.ask(raw, first + sent / rate)
            busy[one.socket] = one
            sent += 1
            continue
        # Only `select` waits for less than a millisecond.
        for ready in select.select(list(busy), [], [], wait)[0]:
            if busy[ready].answered():
                one = busy.pop(ready)
                found.append(time.perf_counter() - one.due)
                idle.append(one)
    for one in idle:
        one.socket.close()
    return found


def _raw(method: str, path: str, body: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n"
    if body:
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body


def measure(port: int, body: bytes, rate: float, seconds: float) -> list[dict[str, object]]:
    """µs at p50, p99 and p999 of each endpoint and concurrency, of some rounds together."""
    rows = []
    for connections in _CONNECTIONS:
        for name, raw in (
            ("/healthz", _raw("GET", "/healthz")),
            ("/score", _raw("POST", "/score", body)),
        ):
            runs = [_load(port, raw, connections, rate, seconds) for _ in range(_ROUNDS)]
            p50, p99, p999 = np.percentile(np.concatenate(runs) * 1e6, [50, 99, 99.9])
            rows.append(
                {
                    "path": name,
                    "connections": connections,
                    "calls": sum(map(len, runs)),
                    "p50": round(float(p50)),
                    "p99": round(float(p99)),
                    "p999": round(float(p999)),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=1_000.0)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    body = _request()
    gc.freeze()
    words = [sys.executable, "-m", "flows", "serve", "--port", "0"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=os.environ) as service:
        assert service.stderr is not None
        line = service.stderr.readline()
        if not line.startswith("Serving "):
            raise SystemExit(line + service.stderr.read())
        try:
            rows = measure(int(line.rpartition(":")[2]), body, arguments.rate, arguments.seconds)
        finally:
            service.send_signal(signal.SIGINT)
    if arguments.json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    sys.stdout.write(f"at {arguments.rate:,.0f} requests per second, µs, {_ROUNDS} rounds\n")
    sys.stdout.write(
        f"{'':<12}{'connections':>12}{'p50':>8}{'p99':>8}{'p999':>8}{'p50 of /healthz':>18}\n"
    )
    base = {row["connections"]: row["p50"] for row in rows if row["path"] == "/healthz"}
    for row in rows:
        ratio = row["p50"] / base[row["connections"]]  # type: ignore[operator]
        sys.stdout.write(
            f"{row['path']:<12}{row['connections']:>12}{row['p50']:>8,}{row['p99']:>8,}{row['p999']:>8,}{ratio:>18.2f}\n"
        )


if __name__ == "__main__":
    main()
