"""A document: headings, paragraphs, lists, tables and pictures, as Markdown or as HTML.

In texts, words between backticks are code. All other characters stand for themselves, in both
forms, so that names from events cannot become markup.
"""

import re
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

from state.plain_text import plain_line

_NUMBER = re.compile(r"[-+−±<>≤≥×]?\s?[.\d].*|-|")
_BAR = r"\|"
_MARKUP = re.compile(r"([\\*_\[\]<>#~|&])")


class Heading(NamedTuple):
    """A heading below the title."""

    text: str


class Paragraph(NamedTuple):
    """A paragraph."""

    text: str


class Items(NamedTuple):
    """A list."""

    texts: Sequence[str]


class Table(NamedTuple):
    """A table; columns of numbers are aligned to the right."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


class Key(NamedTuple):
    """An entry of a picture's legend: a name, and the class of its colour."""

    name: str
    colour: str


class Picture(NamedTuple):
    """A picture, in HTML only; Markdown has its table.

    Attributes:
        svg: The `<svg>` element.
        caption: Sentence below the title that says how to read it.
        keys: The legend.
        table: Figures of the picture as text.
    """

    svg: str
    caption: str
    keys: Sequence[Key]
    table: Table


Block = Heading | Paragraph | Items | Table | Picture


def code(name: str) -> str:
    r"""A name from events or settings, to be shown as code.

    Example:
        >>> code("a`b\n")
        "`a'b\\u000a`"
        >>> code("")
        '`""`'
    """
    if not name:
        return '`""`'  # in Markdown two backticks would begin a code that goes on
    return f"`{plain_line(name).replace('`', chr(39))}`"


def markdown(title: str, blocks: Sequence[Block]) -> str:
    r"""The document as Markdown (GitHub's tables).

    Example:
        >>> print(markdown("A_b", [Table(["`x|y`", "n"], [["one", "1"]])]), end="")
        # A\_b
        <BLANKLINE>
        | `x\|y` | n |
        |---|--:|
        | one | 1 |
    """
    parts = [f"# {_as_markdown(title)}", *map(_markdown, blocks)]
    return "\n\n".join(parts) + "\n"


def html(blocks: Sequence[Block]) -> str:
    """The blocks as HTML, to be put into a page.

    Example:
        >>> html([Paragraph("less <than> `a<b`")])
        '<p>less &lt;than&gt; <code>a&lt;b</code></p>'
    """
    return "\n".join(map(_html, blocks))


def _markdown(block: Block) -> str:
    match block:
        case Heading(text):
            return f"## {_as_markdown(text)}"
        case Paragraph(text):
            return _as_markdown(text)
        case Items(texts):
            return "\n".join(f"- {_as_markdown(text)}" for text in texts)
        case Table(head, rows):
            lines = [[*map(_cell, head)], *([*map(_cell, row)] for row in rows)]
            ruler = ["--:" if right else "---" for right in _right(block)]
            shown = [f"| {' | '.join(line)} |" for line in lines]
            return "\n".join([shown[0], f"|{'|'.join(ruler)}|", *shown[1:]])
        case Picture():
            return f"{_as_markdown(block.caption)}\n\n{_markdown(block.table)}"


def _html(block: Block) -> str:
    match block:
        case Heading(text):
            return f"<h2>{_as_html(text)}</h2>"
        case Paragraph(text):
            return f"<p>{_as_html(text)}</p>"
        case Items(texts):
            return f"<ul>{''.join(f'<li>{_as_html(text)}</li>' for text in texts)}</ul>"
        case Table(head, rows):
            right = _right(block)
            lines = [_row("th", head, right), *(_row("td", row, right) for row in rows)]
            return f'<div class="wide"><table>{"".join(lines)}</table></div>'
        case Picture():
            keys = "".join(
                f'<span class="key"><i class="{key.colour}"></i>{_as_html(key.name)}</span>'
                for key in block.keys
            )
            table = (
                f"<details><summary>The figures as a table</summary>{_html(block.table)}</details>"
                if block.table.rows
                else ""
            )
            return (
                f"<figure><figcaption>{_as_html(block.caption)}</figcaption>"
                f'<p class="keys">{keys}</p>{block.svg}{table}</figure>'
            )


def _row(tag: str, cells: Sequence[str], right: Sequence[bool]) -> str:
    shown = (
        f"<{tag}{' class=n' if r else ''}>{_as_html(cell)}</{tag}>"
        for cell, r in zip(cells, right, strict=True)
    )
    return f"<tr>{''.join(shown)}</tr>"


def _right(table: Table) -> list[bool]:
    """Whether each column has numbers only."""
    return [
        bool(table.rows) and all(_NUMBER.fullmatch(row[i]) for row in table.rows)
        for i in range(len(table.head))
    ]


def _cell(text: str) -> str:
    """A cell; a bar must be escaped in code too, where nothing else is."""
    return _parts(text, _escaped, lambda part: f"`{part.replace('|', _BAR)}`")


def _as_markdown(text: str) -> str:
    return _parts(text, _escaped, "`{}`".format)


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\1", text)


def _as_html(text: str) -> str:
    return _parts(text, escape, lambda part: f"<code>{escape(part)}</code>")


def _parts(text: str, plain: Callable[[str], str], as_code: Callable[[str], str]) -> str:
    """The text with both functions applied to what is outside and inside of backticks."""
    parts = plain_line(text).split("`")
    return "".join(as_code(part) if i % 2 else plain(part) for i, part in enumerate(parts))
