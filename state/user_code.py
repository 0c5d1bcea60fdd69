"""Errors of the user's own code: of a stream's module, and of its functions and events."""

USER_CODE_ERRORS = (Exception, SystemExit)
"""All that the code may raise by mistake: `sys.exit` must not end a flow without a word."""


def words_of(error: BaseException) -> str:
    """The message of an error, as text in UTF-8; one of the user's own may be unable to tell it."""
    try:
        words = str(error)
    except USER_CODE_ERRORS as another:
        return f"a message that raises {type(another).__name__}"
    return encodable(words)


def encodable(text: str) -> str:
    r"""Escape lone surrogates, which neither JSON nor a terminal can take.

    Example:
        >>> encodable("Zürich \ud800")
        'Zürich \\ud800'
    """
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()
