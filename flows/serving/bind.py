"""The address to listen on, and the token that the address requires."""

import socket
from collections.abc import Mapping
from ipaddress import ip_address

TOKEN = "HEADWATER_TOKEN"  # noqa: S105 - the variable's name
_LEAST_TOKEN = 16


def token_for(host: str, environment: Mapping[str, str]) -> str | None:
    """The bearer token that clients must send; None: only this machine can reach the address.

    Raises:
        ValueError: Other machines can reach the address and the token is missing, too short, or
            invalid in a header.

    Example:
        >>> token_for("127.0.0.1", {})
        >>> token_for("0.0.0.0", {})
        Traceback (most recent call last):
        ValueError: HEADWATER_TOKEN must be set for any host but loopback; got none for 0.0.0.0
    """
    token = environment.get(TOKEN)
    if token is None:
        if is_loopback(host):
            return None
        msg = f"{TOKEN} must be set for any host but loopback; got none for {host}"
        raise ValueError(msg)
    if len(token) < _LEAST_TOKEN or not token.isascii():
        msg = f"{TOKEN} must have {_LEAST_TOKEN} ASCII characters or more; got {len(token)}"
        raise ValueError(msg)
    if not all("!" <= character <= "~" for character in token):
        msg = f"{TOKEN} must have no spaces, line ends or control characters; got some"
        raise ValueError(msg)
    return token


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address.

    Example:
        >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "db")]
        [True, True, True, False, False]
    """
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bind(host: str, port: int) -> socket.socket:
    """Bind a socket to an address; clients can connect once it listens.

    Raises:
        OSError: The address is in use or not of this machine; the message is one line.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise _not_had(host, port, error) from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise _not_had(host, port, error) from error
    return bound


def url_of(bound: socket.socket) -> str:
    """The URL of a bound socket.

    Example:
        >>> with bind("127.0.0.1", 0) as bound:
        ...     url_of(bound) == f"http://127.0.0.1:{bound.getsockname()[1]}"
        True
    """
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _not_had(host: str, port: int, error: OSError | UnicodeError) -> OSError:
    why = error.strerror if isinstance(error, OSError) else "a host has no such name"
    msg = f"address must be free and of this machine; got {host[:100]}:{port}: {why}"
    return OSError(msg)
