"""An address of HTTP from the command line, which can be opened and holds no secret."""

import re
import urllib.parse

from flows.errors.user_errors import CommandError

_VISIBLE = re.compile(r"[!-~]*")
"""Characters that an address and a header can hold."""


def check_token(token: str, variable: str) -> None:
    """Refuse a secret that no header can hold.

    Args:
        token: The secret.
        variable: Name of the variable that holds it.

    Raises:
        CommandError: No header can hold it.
    """
    if not _VISIBLE.fullmatch(token):
        msg = f"{variable} must be of ASCII letters, digits and signs; got others"
        raise CommandError(msg)


def parts_of(url: str, option: str, example: str, token: str) -> urllib.parse.SplitResult:
    """The parts of an address.

    Args:
        url: The address.
        option: Name of its option.
        example: An address such as it must be.
        token: Name of the variable that holds the secret instead.

    Raises:
        CommandError: It is not an HTTP address, or it holds a password.

    Example:
        >>> parts_of("http://db:8086/write", "--influx", "http://db:8086/write", "TOKEN").port
        8086
    """
    try:
        parts = urllib.parse.urlsplit(url)
        is_open = parts.port != 0 and (parts.hostname or "").encode("idna") != b""
    except ValueError:
        is_open = False
    if not (is_open and parts.scheme in {"http", "https"} and _VISIBLE.fullmatch(url)):
        msg = f"{option} must be like {example}; got {url[:200]!r}"
        raise CommandError(msg)
    if parts.username or parts.password:
        msg = f"{option} must hold no password: the token comes from {token}"
        raise CommandError(msg)
    return parts
