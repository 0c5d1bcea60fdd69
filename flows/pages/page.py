"""An HTML page that stands alone: no script, and no reference to anything outside of it."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from flows.pages.document import Block, html
from state.plain_text import plain_line

_STYLE = (Path(__file__).parent / "page.css").read_text("utf-8")


def page(title: str, blocks: Sequence[Block]) -> str:
    """The whole page.

    It follows the reader's choice of a light or a dark page, fits a width of 360 pixels, and can be
    printed.

    Args:
        title: Title of the page and its first heading.
        blocks: All below the title.
    """
    name = escape(plain_line(title))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{name}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{name}</h1>\n{html(blocks)}\n</main>\n</body>\n</html>\n"
    )
