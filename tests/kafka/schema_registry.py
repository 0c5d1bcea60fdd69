"""A schema registry on loopback, as far as its documented HTTP interface is used here.

See https://docs.confluent.io/platform/current/schema-registry/develop/api.html: no registry server
is to be had from the package registries that tests may use.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, unquote, urlsplit

from tests.loopback import listening, send_json

_UNKNOWN = {"schema": 40403, "subject": 40401}


class Registry:
    """Schemas by id, and the ids of the versions of each subject.

    Attributes:
        url: Where it listens.
        asked: Paths of all requests.
        status: What it answers instead of anything else.
        user: `name:password` in base64 that it wants; none: it lets all in.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.schemas: list[dict] = []
        self.subjects: dict[str, list[int]] = {}
        self.asked: list[str] = []
        self.status = 200
        self.user = ""

    def get(self, path: list[str]) -> tuple[int, dict]:
        """Answer a GET."""
        match path:
            case ["schemas", "ids", number]:
                if 0 < int(number) <= len(self.schemas):
                    return 200, self.schemas[int(number) - 1]
                return 404, _error("schema", number)
            case ["subjects", subject, "versions", version]:
                ids = self.subjects.get(subject, [])
                if 0 < int(version) <= len(ids):
                    found = ids[int(version) - 1]
                    more = {"subject": subject, "version": int(version), "id": found}
                    return 200, self.schemas[found - 1] | more
                return 404, _error("subject", subject)
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}

    def post(self, path: list[str], body: dict) -> tuple[int, dict]:
        """Answer a POST: a schema is registered, or looked up."""
        schema = {
            name: body[name] for name in ("schema", "schemaType", "references") if name in body
        }
        if schema not in self.schemas:
            self.schemas.append(schema)
        found = self.schemas.index(schema) + 1
        versions = self.subjects.setdefault(path[1], [])
        if found not in versions:
            versions.append(found)
        version = versions.index(found) + 1
        return 200, {"subject": path[1], "version": version, "id": found, **schema}


def _error(what: str, name: str) -> dict:
    return {"error_code": _UNKNOWN[what], "message": f"{what.title()} {name} not found."}


@contextmanager
def registry() -> Iterator[Registry]:
    """A registry that listens until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self, body: dict | None = None) -> None:
            url = urlsplit(self.path)
            path = [unquote(part) for part in url.path.strip("/").split("/")]
            kept.asked.append(self.path)
            if kept.status != 200:
                code, answer = kept.status, {"error_code": 50001, "message": "out of order"}
            elif kept.user and self.headers["Authorization"] != f"Basic {kept.user}":
                code, answer = 401, {"error_code": 401, "message": "Unauthorized"}
            else:
                code, answer = kept.get(path) if body is None else kept.post(path, body)
            assert parse_qs(url.query).get("format") in (None, ["serialized"])
            send_json(self, code, answer, "application/vnd.schemaregistry.v1+json")

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with listening(Handler) as url:
        kept = Registry(url)
        yield kept
