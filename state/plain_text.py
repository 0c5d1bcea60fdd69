"""Make outside text safe to show: it cannot control a terminal or mislead its reader.

Control characters begin escape sequences (ECMA-48), and bidirectional controls reorder the shown
text (Boucher and Anderson, Trojan Source, 2021).
"""

import re

_BIDI = r"\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\ufff9-\ufffb"
_LONE_SURROGATES = r"\ud800-\udfff"
_LAYOUT = "\t\n"
_HIDDEN = re.compile(rf"[\x00-\x1f\x7f-\x9f{_BIDI}{_LONE_SURROGATES}]")


def plain(text: str) -> str:
    r"""Escape control characters except tab and new line, as JSON does.

    So a JSON text keeps its meaning.

    Example:
        >>> plain("one\n\x1b[31mred \u202edlog")
        'one\n\\u001b[31mred \\u202edlog'
    """
    return text if text.isprintable() else _HIDDEN.sub(_unless_layout, text)


def plain_line(text: str) -> str:
    r"""Escape control characters including tab and new line.

    Example:
        >>> plain_line("one\ntwo")
        'one\\u000atwo'
    """
    return text if text.isprintable() else _HIDDEN.sub(_escaped, text)


def is_plain_line(text: str) -> bool:
    r"""Whether `plain_line` would return the text unchanged.

    Example:
        >>> is_plain_line("Zürich 東京"), is_plain_line("\x00")
        (True, False)
    """
    return _HIDDEN.search(text) is None


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _unless_layout(found: re.Match[str]) -> str:
    return found[0] if found[0] in _LAYOUT else _escaped(found)
