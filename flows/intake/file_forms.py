"""Detect the form of a file of events by its first bytes, as a suffix may be wrong."""

import gzip
import json
import re
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import pyarrow as pa

from state.plain_text import plain_line

Form = Literal["json lines", "json array", "json objects", "csv", "parquet", "avro", "text"]

BUFFER_BYTES = 2**18
UNREADABLE = (OSError, EOFError, zlib.error, pa.ArrowException)
"""Errors of a broken or unreadable file."""

_AS_THEY_ARE: Mapping[str, str] = {}
_HEAD_BYTES = 2**16
_SHOWN = 40
_CODECS = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bz2",
    b"\x04\x22\x4d\x18": "lz4",
}
NOT_UTF_8 = "text that is not UTF-8 (iconv -f WINDOWS-1252 -t UTF-8 may convert it)"
"""Words for a file in an encoding of one byte a letter."""

BOM = b"\xef\xbb\xbf"
"""Byte order mark of UTF-8."""

MADE_IDS = "; where no column is an id, --id '{file}-{row}' makes one of the row's number"
"""The end of a sentence on a table without ids."""

_FOREIGN = {
    b"PK\x03\x04": "a ZIP archive or a spreadsheet",
    b"\xfd7zXZ\x00": "XZ compression",
    b"ARROW1": "an Arrow file",
    b"ORC": "ORC",
    b"PARE": "encrypted Parquet",
    b"SQLite format 3\x00": "an SQLite database",
    b"\x89HDF": "HDF5",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet",
    b"%PDF": "PDF",
    b"<": "XML or HTML",
}
_SEPARATOR = b"\x1e"  # RFC 7464
_decode_first = json.JSONDecoder().raw_decode
_WIDE = (b"\xff\xfe", b"\xfe\xff")
_SEP = re.compile(rb"(?i)sep=.")
_DELIMITERS = (",", ";", "\t", "|")
_PARQUET, _PACKED = frozenset({".parquet", ".pq"}), frozenset({".gz", ".zst", ".bz2", ".lz4"})


class FormError(ValueError):
    """The form of a file is not supported."""


class FileForm(NamedTuple):
    """The form of a file.

    Attributes:
        form: Form of the content; `text` if it is none of the others.
        codec: Compression, as Arrow names it; None: not compressed.
        bom: Bytes before the text: a mark of byte order, Excel's `sep=;`.
        delimiter: Character between the cells of CSV.
        is_spaced: Whether a space follows each delimiter; it does not belong to the cell.
    """

    form: Form
    codec: str | None = None
    bom: int = 0
    delimiter: str = ","
    is_spaced: bool = False


def form_of(
    path: Path, columns: Collection[str] = (), names: Mapping[str, str] = _AS_THEY_ARE
) -> FileForm:
    """Detect the form of a file.

    Args:
        path: Path of the file.
        columns: Names that the first line of CSV must have; empty: no file is CSV.
        names: Other names for those in that line.

    Raises:
        FormError: The form is not supported; the message names it.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        codec = next((name for magic, name in _CODECS.items() if head.startswith(magic)), None)
        if codec is not None:
            file.seek(0)
            with _decompressed(file, codec) as reader:
                head = reader.read(_HEAD_BYTES)
    form = _form(head, columns, names, path)._replace(codec=codec)
    if form.form in {"parquet", "avro"} and codec is not None:
        msg = f"{form.form.title()} within {codec}"
        raise _refused(msg, path)
    suffix = path.suffix.lower()
    if form.form == "text" and (suffix in _PARQUET or (suffix in _PACKED and codec is None)):
        msg = f"{_beginning(head)}, not {suffix}"
        raise OSError(msg)
    return form


def refusal_of(
    path: Path, form: FileForm, columns: Collection[str], names: Mapping[str, str] = _AS_THEY_ARE
) -> FormError:
    """The error for a file of form `text`; it names missing columns if the file may be CSV."""
    with opened(path, form) as (reader, _):
        head = reader.read(_HEAD_BYTES)
    first = head.lstrip().partition(b"\n")[0].decode(errors="replace")
    split = max((first.split(delimiter) for delimiter in _DELIMITERS), key=len)
    found = [_bare(cell) for cell in split]
    is_text = first.replace("\t", "").strip().isprintable()
    if len(found) == 1 or "{" in first or not is_text:
        return _refused(_beginning(head), path)
    if "\ufffd" in first:
        return _refused(f"{NOT_UTF_8},", path)
    lacking = [name for name in columns if name not in _named(found, names)]
    shown = plain_line(", ".join(found)[: 5 * _SHOWN])
    msg = (
        f"CSV must have the {columns_named(lacking)}; got only {shown} in {path}"
        ": --rename OLD=NEW gives columns other names"
    )
    return FormError(f"{msg}{MADE_IDS if lacking == ['id'] else ''}")


def columns_named(names: Sequence[str]) -> str:
    """Names of columns within a sentence."""
    return f"column{'s' * (len(names) > 1)} {' and '.join(names)}"


@contextmanager
def opened(path: Path, form: FileForm) -> Iterator[tuple[BufferedReader, IO[bytes]]]:
    """Open a file; yield its decompressed text, and the file, whose position shows the progress."""
    with path.open("rb") as file, _decompressed(file, form.codec) as reader:
        reader.read(form.bom)
        yield reader, file


@contextmanager
def _decompressed(file: BufferedReader, codec: str | None) -> Iterator[BufferedReader]:
    if codec is None:
        yield file
        return
    # Python's own reader accepts the zeros with which some writers fill the last block of gzip.
    raw: Any = (
        gzip.GzipFile(fileobj=file) if codec == "gzip" else pa.CompressedInputStream(file, codec)
    )
    with BufferedReader(raw, BUFFER_BYTES) as reader:
        yield reader


def _form(head: bytes, columns: Collection[str], names: Mapping[str, str], path: Path) -> FileForm:
    if head.startswith(b"PAR1"):
        return FileForm("parquet")
    if head.startswith(b"Obj\x01"):
        return FileForm("avro")
    if head[257:262] == b"ustar":
        msg = "a tar archive"
        raise _refused(msg, path)
    if head.startswith(_WIDE) or _has_wide_letters(head[:_SHOWN]):
        msg = "UTF-16 or UTF-32, to be converted to UTF-8 (iconv),"
        raise _refused(msg, path)
    foreign = next((name for magic, name in _FOREIGN.items() if head.startswith(magic)), None)
    if foreign is not None:
        raise _refused(foreign, path)
    bom = len(BOM) if head.startswith(BOM) else 0
    text = head[bom:].lstrip()
    if not text or text.startswith((b"{", _SEPARATOR)):
        return FileForm("json objects" if _are_joined(text) else "json lines", bom=bom)
    if text.startswith(b"[") and text[1:].lstrip()[:1] in {b"{", b"]"}:
        return FileForm("json array", bom=bom)
    first, *others = text.splitlines()
    told = _SEP.fullmatch(first)
    skipped = 0
    if told and others:
        # Excel's own line, which says what is between cells.
        skipped, first = head.index(others[0], bom + 5) - bom, others[0]
    for delimiter in _DELIMITERS if columns else ():
        cells = first.decode(errors="replace").split(delimiter)
        if set(columns) <= _named(map(_bare, cells), names):
            if b"\n" not in text and b"\r" in text:
                msg = "CSV whose lines end in CR alone, to be converted (tr '\\r' '\\n'),"
                raise _refused(msg, path)
            is_spaced = all(cell.startswith(" ") for cell in cells[1:])
            return FileForm("csv", None, bom + skipped, delimiter, is_spaced)
    # A bad line may be the first of good ones.
    lines = text.splitlines()
    is_json = any(line.startswith(b"{") and line.endswith(b"}") for line in lines)
    return FileForm("json lines" if is_json else "text", bom=bom)


def _are_joined(text: bytes) -> bool:
    """Whether objects are not one on a line: written over several, or several on one."""
    first = text.partition(b"\n")[0].strip()
    if first == b"{" or text.startswith(_SEPARATOR):
        return True
    try:
        _, end = _decode_first(text.decode("latin-1"))  # a character a byte, so `end` counts bytes
    except (ValueError, RecursionError):
        return False
    rest = text[end:].lstrip(b" \t")
    return b"\n" in text[:end] or (rest[:1] in {b"{", b",", b"\r"} and rest[:2] != b"\r\n")


def _has_wide_letters(head: bytes) -> bool:
    """Whether every other byte is zero, as in UTF-16 without a byte order mark."""
    return len(head) >= 4 and any(head[i::2].strip(b"\0") == b"" for i in (0, 1)) and any(head)


def _named(cells: Iterable[str], names: Mapping[str, str]) -> set[str]:
    return {names.get(cell, cell) for cell in cells}


def _bare(cell: str) -> str:
    return cell.strip().strip('"').strip()


def _beginning(head: bytes) -> str:
    is_text = head[:_SHOWN].isascii() and b"\0" not in head
    return f"{'text that begins' if is_text else 'bytes that begin'} {repr(head[:_SHOWN])[1:]}"


def _refused(got: str, path: Path) -> FormError:
    return FormError(
        f"file must be JSON lines, a JSON array, CSV, Parquet or Avro; got {got} in {path}"
    )
