"""The MOJO archive: a zip that may come from anywhere, read within bounds and never unpacked."""

import io
import math
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

MAX_BYTES = 1 << 30
MAX_MEMBERS = 100_000
_ENCRYPTED = 1
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    ValueError,
)


class MojoError(ValueError):
    """The archive is not a MOJO, is damaged, or holds a model that this reader does not score."""


@dataclass(frozen=True)
class Archive:
    """The parts of a MOJO that every algorithm shares.

    Attributes:
        info: The keys and values of `model.ini`, as text.
        columns: Names in the order of a row, the response last.
        domains: One per column: its levels by code, or None where it is numeric.
    """

    zip: zipfile.ZipFile
    info: dict[str, str]
    columns: tuple[str, ...]
    domains: tuple[tuple[str, ...] | None, ...]

    def text(self, key: str) -> str:
        """The value of a key that must be there."""
        return _value(self.info, key)

    def whole(self, key: str) -> int:
        """A value that must be a whole number, 0 or more."""
        return _whole(self.text(key), key)

    def number(self, key: str) -> float:
        """A value that must be a finite number."""
        return _number(self.text(key), key)

    def numbers(self, key: str) -> tuple[float, ...]:
        """A value that must be a list of finite numbers; `null` is the empty list."""
        text = self.text(key)
        if text == "null":
            return ()
        if not (text.startswith("[") and text.endswith("]")):
            msg = f"{key} must be a list; got {text[:40]!r} in model.ini"
            raise MojoError(msg)
        return tuple(_number(part, key) for part in text[1:-1].split(",") if part.strip())

    def member(self, name: str) -> bytes:
        """The bytes of one file of the archive."""
        return _member(self.zip, name)


def open_archive(source: Path | bytes) -> Archive:
    """Opens a MOJO and reads what every algorithm shares.

    Args:
        source: The zip, or where it lies.

    Returns:
        The archive; its members are read on demand.

    Raises:
        MojoError: The zip or its `model.ini` is malformed, or larger than the bounds.
    """
    opened = _open(source)
    info, columns, files = _sections(_lines(opened, "model.ini"))
    for key, want in (("endianness", "LITTLE_ENDIAN"), ("escape_domain_values", "true")):
        if _value(info, key) != want:
            msg = f"{key} must be {want}; got {info[key]!r} in model.ini"
            raise MojoError(msg)
    if len(columns) != _whole(_value(info, "n_columns"), "n_columns") or len(columns) < 2:
        msg = f"columns must be n_columns, 2 or more; got {len(columns)} in model.ini"
        raise MojoError(msg)
    if len(set(columns)) != len(columns):
        msg = f"columns must be distinct; got {columns} in model.ini"
        raise MojoError(msg)
    domains: list[tuple[str, ...] | None] = [None] * len(columns)
    for line in files:
        column, levels = _domain(opened, line, len(columns))
        domains[column] = levels
    return Archive(opened, info, columns, tuple(domains))


def _open(source: Path | bytes) -> zipfile.ZipFile:
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    if size > MAX_BYTES:
        msg = f"archive must be at most {MAX_BYTES} bytes; got {size}"
        raise MojoError(msg)
    try:
        opened = zipfile.ZipFile(
            io.BytesIO(source if isinstance(source, bytes) else source.read_bytes())
        )
    except _UNREADABLE as error:
        msg = f"archive must be a zip file; got {size} bytes: {error}"
        raise MojoError(msg) from error
    members = opened.infolist()
    unpacked = sum(member.file_size for member in members)
    if len(members) > MAX_MEMBERS or unpacked > MAX_BYTES:
        msg = (
            f"archive must hold at most {MAX_MEMBERS} files of {MAX_BYTES} bytes in all; "
            f"got {len(members)} files of {unpacked} bytes"
        )
        raise MojoError(msg)
    return opened


def _member(opened: zipfile.ZipFile, name: str) -> bytes:
    try:
        member = opened.getinfo(name)
    except KeyError:
        msg = f"archive must hold {name}; got {len(opened.namelist())} others"
        raise MojoError(msg) from None
    plain = member.compress_type in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
    if not plain or member.flag_bits & _ENCRYPTED:
        msg = f"member must be stored or deflated, unencrypted; got {name}"
        raise MojoError(msg)
    try:
        with opened.open(member) as file:
            # A bare read() inflates all that was compressed before it cuts at the stated size.
            content = file.read(member.file_size) if member.file_size else b""
    except _UNREADABLE as error:
        msg = f"member must be readable; got {error} in {name}"
        raise MojoError(msg) from error
    if len(content) != member.file_size:
        msg = f"member must be {member.file_size} bytes; got {len(content)} in {name}"
        raise MojoError(msg)
    return content


def _lines(opened: zipfile.ZipFile, name: str) -> list[str]:
    try:
        text = _member(opened, name).decode()
    except UnicodeDecodeError as error:
        msg = f"text must be UTF-8; got {error} in {name}"
        raise MojoError(msg) from error
    # Not splitlines(): a level may hold any other line separator that Unicode knows.
    return text.removesuffix("\n").split("\n") if text else []


def _sections(lines: list[str]) -> tuple[dict[str, str], tuple[str, ...], list[str]]:
    sections: dict[str, list[str]] = {"[info]": [], "[columns]": [], "[domains]": []}
    section: list[str] = []
    for line in map(str.strip, lines):
        if line in sections:
            section = sections[line]
        elif line and not line.startswith("#"):
            section.append(line)
    pairs = (line.partition("=") for line in sections["[info]"])
    info = {key.strip(): value.strip() for key, _, value in pairs}
    return info, tuple(sections["[columns]"]), sections["[domains]"]


def _domain(opened: zipfile.ZipFile, line: str, n_columns: int) -> tuple[int, tuple[str, ...]]:
    match line.replace(":", " ", 1).split():
        case [column, count, file]:
            index, size = _whole(column, "domain"), _whole(count, "domain")
        case _:
            msg = f"domain must read 'column: count file'; got {line!r} in model.ini"
            raise MojoError(msg)
    if index >= n_columns:
        msg = f"domain must be of a column below {n_columns}; got {line!r} in model.ini"
        raise MojoError(msg)
    levels = tuple(map(_unescaped, _lines(opened, f"domains/{file}")))
    if len(levels) != size or len(set(levels)) != size:
        msg = f"domain must be {size} distinct levels; got {len(levels)} in domains/{file}"
        raise MojoError(msg)
    return index, levels


def _unescaped(level: str) -> str:
    if "\\" not in level:
        return level
    parts = (part.replace("\\n", "\n").replace("\\r", "\r") for part in level.split("\\\\"))
    return "\\".join(parts)


def _value(info: dict[str, str], key: str) -> str:
    if key not in info:
        msg = f"model.ini must hold {key}; got {len(info)} other keys"
        raise MojoError(msg)
    return info[key]


def _whole(text: str, key: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        msg = f"{key} must be a whole number; got {text[:40]!r} in model.ini"
        raise MojoError(msg)
    return int(text)


def _number(text: str, key: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        msg = f"{key} must be a finite number; got {text[:40]!r} in model.ini"
        raise MojoError(msg)
    return number
