"""Time series databases to which points are pushed: InfluxDB and Graphite."""

import math
import re
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from http.client import HTTPException
from typing import Protocol

from flows.watch.http_address import check_token, parts_of
from flows.watch.points import Point

_WITHIN_S = 20.0
_FIRST_ERROR = 400
_EXAMPLE = "http://127.0.0.1:8086/write?db=headwater"
_UNSAFE = re.compile(r"[^A-Za-z0-9_.:/+-]")


class SinkError(Exception):
    """A database did not take the points; they are sent again."""


class Sink(Protocol):
    """A database that takes points; a point that comes twice is one."""

    @property
    def place(self) -> str:
        """Address of the database, without secrets."""
        ...

    def send(self, points: Sequence[Point]) -> None:
        """Send points, and return when the database has them.

        Raises:
            SinkError: It has not got all of them.
        """
        ...


class Influx:
    """InfluxDB 1 or 2, or what takes its line protocol, such as VictoriaMetrics.

    Args:
        url: Address for writing, with its database or bucket: `http://127.0.0.1:8086/write?db=x`,
            or `http://127.0.0.1:8086/api/v2/write?org=o&bucket=b`.
        token: Token to send; empty: none.

    Raises:
        CommandError: The address is not one of HTTP, or no header can hold the token.
    """

    def __init__(self, url: str, token: str = "") -> None:
        parts = parts_of(url, "--influx", _EXAMPLE, "INFLUX_TOKEN")
        check_token(token, "INFLUX_TOKEN")
        precision = "us" if parts.path.endswith("/api/v2/write") else "u"
        query = [*urllib.parse.parse_qsl(parts.query), ("precision", precision)]
        self._url = parts._replace(query=urllib.parse.urlencode(query)).geturl()
        self._headers = {"Authorization": f"Token {token}"} if token else {}
        self._opener = _opener()
        self.place = f"{parts.scheme}://{parts.netloc}{parts.path}?{parts.query}"

    def send(self, points: Sequence[Point]) -> None:
        """See `Sink.send`."""
        body = "".join(map(influx_line, points)).encode()
        request = urllib.request.Request(self._url, body, self._headers)  # noqa: S310 - checked
        try:
            self._opener.open(request, timeout=_WITHIN_S).close()  # its body says nothing needed
        except urllib.error.HTTPError as error:
            msg = f"{self.place} must take points; got {error.code}: {_said(error)}"
            raise SinkError(msg) from error
        except (OSError, HTTPException) as error:
            said = " ".join(str(error).split()) or type(error).__name__
            msg = f"{self.place} must answer; got {said}"
            raise SinkError(msg) from error


def _opener() -> urllib.request.OpenerDirector:
    """Opens HTTP only, and follows no redirect.

    One that is followed becomes a GET, which loses the points, and could show others the token.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.HTTPDefaultErrorHandler,
    ):
        opener.add_handler(handler())
    return opener


def _said(error: urllib.error.HTTPError) -> str:
    """The begin of an error's body, in one line."""
    with error, suppress(OSError, HTTPException):
        if error.code < _FIRST_ERROR:
            return "a redirect is not followed, so name the address that it leads to"
        return " ".join(error.read(300).decode("utf-8", "replace").split())
    return error.reason


class Graphite:
    """Graphite's plain text over TCP, with tags; texts and fields of texts are left out.

    Args:
        host: Host of the receiver.
        port: Port of the receiver, usually 2003.
    """

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self.place = f"graphite://{host}:{port}"

    def send(self, points: Sequence[Point]) -> None:
        """See `Sink.send`; Graphite confirms no more than the end of the connection."""
        body = "".join(line for point in points for line in graphite_lines(point)).encode()
        try:
            with socket.create_connection(self._address, _WITHIN_S) as connection:
                connection.sendall(body)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1)  # it closes when it has read all
        except (OSError, UnicodeError) as error:  # the latter by a host's name
            msg = f"{self.place} must answer; got {error}"
            raise SinkError(msg) from error


def influx_line(point: Point) -> str:
    r"""A point in InfluxDB's line protocol.

    Example:
        >>> point = Point("m", {"b": "two words", "a": "x=1"}, {"n": 3, "s": 'say "hi"'}, 7)
        >>> influx_line(point)
        'm,a=x\\=1,b=two\\ words n=3i,s="say \\"hi\\"" 7\n'
    """
    tags = "".join(f",{_escaped(k)}={_escaped(v)}" for k, v in sorted(point.tags.items()) if v)
    fields = ",".join(
        f"{_escaped(name)}={value}"
        for name, given in point.fields.items()
        if (value := _influx_value(given))
    )
    return f"{point.name}{tags} {fields} {point.time_us}\n"


def graphite_lines(point: Point) -> list[str]:
    r"""A line for each number of a point; characters that Graphite does not take become `_`.

    Example:
        >>> graphite_lines(Point("m", {"source": "a;b"}, {"n": 3, "s": "text"}, 7_900_000))
        ['m.n;source=a_b 3 7\n']
    """
    tags = "".join(f";{k}={_UNSAFE.sub('_', v)}" for k, v in sorted(point.tags.items()) if v)
    return [
        f"{point.name}.{name}{tags} {value!r} {point.time_us // 1_000_000}\n"
        for name, value in point.fields.items()
        if isinstance(value, int | float) and math.isfinite(value)
    ]


def _escaped(text: str) -> str:
    spaced = " ".join(text.split()).replace("\\", "/")
    return re.sub(r"([,= ])", r"\\\1", spaced) or "_"


def _influx_value(value: float | str) -> str:
    if isinstance(value, str):
        text = " ".join(value.split()).replace("\\", "\\\\").replace('"', '\\"')
        return f'"{text}"'
    if isinstance(value, int):
        return f"{value}i"
    return repr(value) if math.isfinite(value) else ""
