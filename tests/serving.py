"""Homes with a log that was run, and services on them."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from flows.home.home import Home
from tests.flow_processes import REPOSITORY, Group, fill

SETTINGS = """
[training]
trainer = "external"
wait = false
[serve]
port = 0
drain = "1s"
"""
TOKEN = "a-token-of-some-length"


def make_home(root: Path) -> Path:
    """A home with half an hour of quotes that the flow has read."""
    fill(root, SETTINGS, hours=0.3)
    assert Group(root).wait(120) == [0]
    return root


def quotes(root: Path, count: int) -> list[dict[str, object]]:
    """The newest requests of the log's partitions, with new ids."""
    log = Home(root).log()
    found = []
    for partition in range(log.partitions("events")):
        for record in log.read("events", partition, 0, max_records=10**6):
            event = json.loads(record.value)
            if event["type"] == "quote":
                found.append(event | {"id": f"new-{event['id']}"})
    log.close()
    return sorted(found, key=lambda event: event["time"])[-count:]


class Listening:
    """A process of a verb that listens on a port; `begins` starts the line that tells the port."""

    def __init__(self, root: Path, *words: str, begins: str, token: str | None = None):
        environment = os.environ | {
            "HEADWATER_HOME": str(root),
            "HEADWATER_CONFIG": str(root / "headwater.toml"),
        }
        if token is not None:
            environment["HEADWATER_TOKEN"] = token
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flows", *words],
            cwd=REPOSITORY,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        said = []
        while not (said and said[-1].startswith(begins)):
            said.append(self.process.stderr.readline())
            assert said[-1], "".join(said)
        self.line = said[-1]
        self.port = int(re.search(r"//\S*:(\d+)", self.line)[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def get(self, path, headers=None):
        return self.ask("GET", path, None, headers)

    def ask(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        given = {"content-type": "application/json"} | (headers or {})
        connection.request(method, path, body, given)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response, content

    def end(self):
        self.process.send_signal(signal.SIGTERM)

    def ended(self) -> tuple[int, str]:
        said = self.process.communicate(timeout=60)[1]
        return self.process.returncode, said


class Serving(Listening):
    """A process that serves."""

    def __init__(self, root: Path, *words: str, token: str | None = None):
        super().__init__(root, "serve", *words, begins="Serving ", token=token)
