"""OpenAPI document of the service, made from the stream's request type and the answer structs."""

from collections.abc import Iterable
from html import escape
from importlib.metadata import version
from typing import Any, NamedTuple

import msgspec

from flows.serving.problems import Problem
from flows.serving.schemas import Health, ModelsInUse, Score
from flows.serving.service import MOST_REASONS
from state.event_times import time_fields
from state.settings import Serve
from state.stream import Stream

_READING = (400, 408, 413, 415, 422, 503)
_TITLES = {
    400: "The body is not JSON",
    401: "The token is missing or wrong",
    408: "The body did not arrive in time",
    413: "The body or the batch is too large",
    415: "The content type is not JSON",
    422: "A field is missing, unknown or out of bounds",
    431: "The head is too large",
    503: "Too many requests in flight, or too far behind the log; retry after `retry-after`",
}
_NAMES = "#/components/schemas/{name}"
_REASONS = {
    "name": "reasons",
    "in": "query",
    "description": "Number of columns whose effect on the answer is returned.",
    "schema": {"type": "integer", "minimum": 0, "maximum": MOST_REASONS, "default": 0},
}


class _Endpoint(NamedTuple):
    """One endpoint, and the schemas of its request and its answer."""

    path: str
    method: str
    does: str
    answer: dict[str, Any]
    body: dict[str, Any] | None = None
    parameters: tuple[dict[str, Any], ...] = ()
    errors: tuple[int, ...] = ()


_TIME = "Microseconds since 1970 UTC; text in RFC 3339 is taken too."


def document(stream: Stream, settings: Serve, *, secured: bool) -> dict[str, Any]:
    """Build the OpenAPI 3.1 document.

    Args:
        stream: Stream whose requests are scored.
        settings: Limits of the service.
        secured: Whether clients need a token.
    """
    kinds: list[Any] = [stream.request, Score, ModelsInUse, Health, Problem]
    (asked, *sent), schemas = msgspec.json.schema_components(kinds, ref_template=_NAMES)
    # The tag tells events apart; this endpoint takes only requests.
    described = schemas[asked["$ref"].rpartition("/")[2]]
    described["required"].remove("type")
    for name in time_fields(stream.request):
        described["properties"][name]["description"] = _TIME
    scored, models, health, problem = sent
    many = {
        "type": "array",
        "items": asked,
        "description": f"At most {settings.batch}, else 413.",
    }
    operations = [
        _Endpoint("/score", "post", "Score one request", scored, asked, (_REASONS,), _READING),
        _Endpoint(
            "/score/batch",
            "post",
            "Score requests; the answers are in their order",
            {"type": "array", "items": scored},
            many,
            errors=_READING,
        ),
        _Endpoint("/model", "get", "Models in use, and how fresh they are", models),
        _Endpoint("/healthz", "get", "503: restart this instance", health),
        _Endpoint("/readyz", "get", "503: send requests to another instance", health),
        _Endpoint("/metrics", "get", "For Prometheus", {"type": "string"}),
    ]
    components: dict[str, Any] = {"schemas": schemas}
    if secured:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Headwater: {stream.name}", "version": version("headwater")},
        "paths": {one.path: {one.method: _told(one, problem, secured)} for one in operations},
        "components": components,
    }


def _told(operation: _Endpoint, problem: dict[str, Any], secured: bool) -> dict[str, Any]:
    probe = operation.path.endswith("z")
    open_to_all = probe or not secured
    errors = [*operation.errors, 431] if open_to_all else [401, *operation.errors, 431]
    kind = "text/plain" if operation.path == "/metrics" else "application/json"
    told: dict[str, Any] = {
        "operationId": operation.path.strip("/").replace("/", "_"),
        "summary": operation.does,
        "responses": {"200": _response("Done", kind, operation.answer)}
        | _problems(errors, problem),
    }
    if probe:
        told["responses"]["503"] = _response("Not healthy, or not ready", kind, operation.answer)
    if operation.parameters:
        told["parameters"] = list(operation.parameters)
    if operation.body:
        content = {"application/json": {"schema": operation.body}}
        told["requestBody"] = {"required": True, "content": content}
    if not open_to_all:
        told["security"] = [{"token": []}]
    return told


def _problems(statuses: Iterable[int], problem: dict[str, Any]) -> dict[str, Any]:
    kind = "application/problem+json"
    return {str(status): _response(_TITLES[status], kind, problem) for status in statuses}


def _response(description: str, kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {kind: {"schema": schema}}}


def page(described: dict[str, Any]) -> str:
    """The document as HTML, without scripts and external files."""
    title = escape(described["info"]["title"])
    parts = [f"<!doctype html><meta charset=utf-8><title>{title}</title><h1>{title}</h1>"]
    for path, methods in described["paths"].items():
        for method, one in methods.items():
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2>")
            parts.append(f"<p>{escape(one['summary'])}</p>{_shown(one)}")
    parts.append("<h2>Schemas</h2>")
    for name, schema in described["components"]["schemas"].items():
        parts.append(f"<h3>{escape(name)}</h3>{_shown(schema)}")
    return "\n".join([*parts, "<p><a href=openapi.json>openapi.json</a></p>"])


def _shown(value: Any) -> str:
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return f"<pre>{escape(text)}</pre>"
