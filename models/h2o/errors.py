"""Errors of H2O, and the release that is installed; the `h2o` package itself is not loaded."""

import re
from importlib.metadata import PackageNotFoundError, version

FIRST_WITHOUT_EXPORT = (3, 46, 0, 12)


class H2OError(Exception):
    """Base of the errors of H2O below."""


class H2OVersionError(H2OError):
    """This H2O release cannot export its models."""


class H2OStartError(H2OError):
    """The child did not start; the message holds the end of its log."""


class H2OLost(H2OError):  # noqa: N818 - a fact, not a mistake
    """H2O is gone; enter a new `H2OServer` to continue."""


class H2OFailed(H2OError):  # noqa: N818
    """H2O refused a request, or one of its jobs failed."""


def check_h2o_version(version: str) -> None:
    """Refuse an H2O release that does not export MOJOs.

    Raises:
        H2OVersionError: The version is 3.46.0.12 or newer.

    Example:
        >>> check_h2o_version("3.46.0.11")
        >>> check_h2o_version("3.46.0.12")
        Traceback (most recent call last):
        models.h2o.errors.H2OVersionError: h2o must be older than 3.46.0.12; got 3.46.0.12. \
From that release on H2O refuses to export MOJOs without a separate licence, \
and a model that cannot be exported cannot be served: pip install 'h2o==3.46.0.11'
    """
    if tuple(int(part) for part in re.findall(r"\d+", version)) >= FIRST_WITHOUT_EXPORT:
        msg = (
            f"h2o must be older than 3.46.0.12; got {version}. "
            "From that release on H2O refuses to export MOJOs without a separate licence, "
            "and a model that cannot be exported cannot be served: pip install 'h2o==3.46.0.11'"
        )
        raise H2OVersionError(msg)


def installed_version() -> str:
    """Version of the installed `h2o` package.

    Raises:
        H2OStartError: It is not installed.
    """
    try:
        return version("h2o")
    except PackageNotFoundError:
        msg = (
            "package h2o must be installed to fit; got none, as in an image of `--target serve`: "
            'pip install headwater, or training.trainer = "external"'
        )
        raise H2OStartError(msg) from None
