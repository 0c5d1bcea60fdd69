"""A Grafana on loopback, as far as its documented HTTP interface is used here.

See https://grafana.com/docs/grafana/latest/developers/http_api/: no Grafana server is to be had
from the package registries that tests may use.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from tests.loopback import listening, send_json

TOKEN = "glsa_of_an_admin"


class Grafana:
    """Objects by kind and uid, with the fields that Grafana itself adds.

    Attributes:
        url: Where it listens.
        kept: The objects.
        written: Methods and paths of all requests that change something.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.kept: dict[str, dict[str, dict]] = {
            kind: {} for kind in ("folders", "datasources", "dashboards", "points", "rules")
        }
        self.written: list[str] = []

    def answer(self, method: str, path: list[str], body: dict) -> tuple[int, object]:
        """The status and body of an answer."""
        match path:
            case ["folders", *uid]:
                answer = self._folder(method, uid, body)
            case ["datasources", *uid]:
                answer = self._source(method, uid[1:], body)
            case ["dashboards", *uid]:
                answer = self._dashboard(method, uid[-1], body)
            case ["v1", "provisioning", "contact-points", *uid]:
                listed = 200, [*self.kept["points"].values()]
                answer = listed if method == "GET" else self._put("points", method, uid, body)
            case ["v1", "provisioning", "alert-rules", *uid]:
                answer = self._rule(method, uid, body)
            case _:
                answer = 404, {"message": "Not found"}
        return answer

    def _found(self, kind: str, uid: str) -> tuple[int, object]:
        found = self.kept[kind].get(uid)
        return (200, found) if found else (404, {"message": "not found"})

    def _folder(self, method: str, uid: list[str], body: dict) -> tuple[int, object]:
        folders = self.kept["folders"]
        if method == "GET":
            return self._found("folders", uid[0])
        if method == "POST" and body["uid"] in folders:
            return 412, {"message": "a folder with the same uid already exists"}
        if method == "PUT" and not body.get("overwrite"):
            return 412, {"message": "the folder has been changed by someone else"}
        name = uid[0] if uid else body["uid"]
        before = folders.get(name, {"uid": name, "id": 3, "version": 0})
        folders[name] = before | {"title": body["title"], "version": before["version"] + 1}
        return 200, folders[name]

    def _source(self, method: str, uid: list[str], body: dict) -> tuple[int, object]:
        sources = self.kept["datasources"]
        if method == "GET":
            return self._found("datasources", uid[0])
        if method == "POST" and any(one["name"] == body["name"] for one in sources.values()):
            return 409, {"message": "data source with the same name already exists"}
        sources[body["uid"]] = {"id": 5, "orgId": 1, "isDefault": False, "readOnly": False} | body
        return 200, {"datasource": sources[body["uid"]], "message": "done"}

    def _rule(self, method: str, uid: list[str], body: dict) -> tuple[int, object]:
        if method == "GET":
            return self._found("rules", uid[0])
        if body["folderUID"] not in self.kept["folders"]:
            return 400, {"message": "folder does not exist"}
        return self._put("rules", method, uid, {"id": 7, "orgID": 1} | body)

    def _dashboard(self, method: str, uid: str, body: dict) -> tuple[int, object]:
        if method == "GET":
            return self._found("dashboards", uid)
        made = body["dashboard"]
        if body["folderUid"] not in self.kept["folders"]:
            return 400, {"message": "folder not found"}
        before = self.kept["dashboards"].get(made["uid"])
        if before and not body.get("overwrite"):
            return 412, {"message": "A dashboard with the same uid already exists"}
        version = before["dashboard"]["version"] + 1 if before else 1
        self.kept["dashboards"][made["uid"]] = {
            "dashboard": made | {"id": 9, "version": version},
            "meta": {"folderUid": body["folderUid"]},
        }
        return 200, {"uid": made["uid"], "status": "success", "version": version}

    def _put(self, kind: str, method: str, uid: list[str], body: dict) -> tuple[int, object]:
        kept, name = self.kept[kind], uid[0] if uid else body["uid"]
        if method == "POST" and name in kept:
            return 409, {"message": f"{kind} {name} exists already"}
        if method == "PUT" and name not in kept:
            return 404, {"message": f"{kind} {name} does not exist"}
        kept[name] = body | {"uid": name}
        return 202 if method == "PUT" else 201, kept[name]


@contextmanager
def grafana() -> Iterator[Grafana]:
    """A Grafana that listens until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            path = urlsplit(self.path).path.removeprefix("/api/").split("/")
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                status, answer = 401, {"message": "Invalid API key"}
            else:
                status, answer = kept.answer(self.command, path, body)
            if self.command != "GET":
                kept.written.append(f"{self.command} {self.path}")
            send_json(self, status, answer)

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def do_PUT(self) -> None:
            self._answer()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with listening(Handler) as url:
        kept = Grafana(url)
        yield kept
