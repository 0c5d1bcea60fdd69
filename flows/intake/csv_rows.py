"""Read CSV as rows, a line or two at a time."""

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from io import BufferedReader
from typing import NamedTuple

from flows.intake.file_forms import NOT_UTF_8
from state.plurals import counted

_MOST_LINE_BYTES = 2**20
_AS_THEY_ARE: Mapping[str, str] = {}


class CsvError(ValueError):
    """The file is not CSV; the message names the line."""


class Csv(NamedTuple):
    """A table of cells.

    Attributes:
        header: Names in its first line.
        columns: These names, each replaced by the name of the event field that it stands for.
        rows: Cells of each further record, by column. A record with another number of cells has an
            additional column that says so. Bytes that are not UTF-8 become lone surrogates.
    """

    header: list[str]
    columns: list[str]
    rows: Iterator[dict[str, str]]


def read_csv(
    reader: BufferedReader,
    delimiter: str,
    names: Mapping[str, str] = _AS_THEY_ARE,
    *,
    is_spaced: bool = False,
) -> Csv:
    """Read the table in a file (RFC 4180); a file of any length needs the memory of one record.

    Args:
        reader: Reader at the table's first line.
        delimiter: Character between cells.
        names: Other names for columns.
        is_spaced: Whether the space after each delimiter is left out of the cell.

    Raises:
        CsvError: A column is repeated or not UTF-8; or, while rows are read, a line or cell is too
            long.
    """
    records = _records(reader, delimiter, is_spaced=is_spaced)
    header = [cell.strip() for cell in next(records, [])]
    columns = [names.get(cell, cell) for cell in header]
    for name in columns:
        if not _is_utf_8(name):
            shown = name.encode(errors="surrogateescape").decode("latin-1")
            msg = f"columns must be in UTF-8; got {shown!r}, {NOT_UTF_8},"
            raise CsvError(msg)
    twice = [name for name, n in Counter(columns).items() if n > 1 and name]
    if twice:
        msg = f"columns must be distinct; got {twice[0]!r} more than once"
        raise CsvError(msg)
    return Csv(header, columns, (_row(columns, cells) for cells in records))


def _is_utf_8(text: str) -> bool:
    return not any("\udc80" <= letter <= "\udcff" for letter in text)


def _row(columns: list[str], cells: list[str]) -> dict[str, str]:
    row = dict(zip(columns, cells, strict=False))
    if len(cells) < len(columns) or any(cells[len(columns) :]):
        row[f"{counted(len(cells), 'cell')} of {len(columns)}"] = "in this row"
    return row


def _records(reader: BufferedReader, delimiter: str, *, is_spaced: bool) -> Iterator[list[str]]:
    lines = csv.reader(_lines(reader), delimiter=delimiter, strict=True, skipinitialspace=is_spaced)
    try:
        for cells in lines:
            if len(cells) > 1 or any(map(str.strip, cells)):
                yield cells
    except csv.Error as error:
        msg = f"CSV must have lines and quotes that end; got '{error}' in line {lines.line_num}"
        raise CsvError(msg) from error


def _lines(reader: BufferedReader) -> Iterator[str]:
    number = 0
    while line := reader.readline(_MOST_LINE_BYTES + 1):
        number += 1
        if len(line) > _MOST_LINE_BYTES:
            msg = f"line of CSV must be at most {_MOST_LINE_BYTES} bytes; got more in line {number}"
            raise CsvError(msg)
        yield line.decode(errors="surrogateescape")
