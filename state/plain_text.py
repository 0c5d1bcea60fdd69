"""Text from outside as it is shown: nothing of it commands a terminal or misleads its reader.

Control characters begin escape sequences (ECMA-48), and bidirectional controls reorder what is
read (Boucher and Anderson, Trojan Source, 2021).
"""

import re

_BIDI = r"\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\ufff9-\ufffb"
_LONE_SURROGATES = r"\ud800-\udfff"
_LAYOUT = "\t\n"
_HIDDEN = re.compile(rf"[\x00-\x1f\x7f-\x9f{_BIDI}{_LONE_SURROGATES}]")


def plain(text: str) -> str:
    r"""The text with its control characters, but tab and new line, as JSON escapes them.

    So JSON stays the same JSON.

    Example:
        >>> plain("one\n\x1b[31mred \u202edlog")
        'one\n\\u001b[31mred \\u202edlog'
    """
    return text if text.isprintable() else _HIDDEN.sub(_unless_layout, text)


def plain_line(text: str) -> str:
    r"""The same, tab and new line included.

    Example:
        >>> plain_line("one\ntwo")
        'one\\u000atwo'
    """
    return text if text.isprintable() else _HIDDEN.sub(_escaped, text)


def is_plain_line(text: str) -> bool:
    r"""Whether `plain_line` would change nothing.

    Example:
        >>> is_plain_line("Zürich 東京"), is_plain_line("\x00")
        (True, False)
    """
    return _HIDDEN.search(text) is None


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _unless_layout(found: re.Match[str]) -> str:
    return found[0] if found[0] in _LAYOUT else _escaped(found)
