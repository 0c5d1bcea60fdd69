"""Read the MOJO archive, an untrusted zip file, within bounds and without unpacking it to disk."""

import io
import math
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

MAX_BYTES = 1 << 28
MAX_UNPACKED = 1 << 30
MAX_MEMBERS = 100_000
MAX_MEMORY = 448 << 20
"""Limits in bytes on the archive and the data read from it."""

# Python uses up to some 150 bytes for a line or a number, and 4 for a character.
_MAX_INI, _MAX_DOMAINS, _MAX_LINES, _MAX_LEVELS, _MAX_NUMBERS = (
    16 << 20, 32 << 20, 200_000, 1_000_000, 1_000_000,
)  # fmt: skip
_MAX_DIRECTORY = 8 << 20
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
    """The archive is not a MOJO, is damaged, or holds a model that is not supported."""


@dataclass(frozen=True)
class Archive:
    """The parts of a MOJO that all algorithms share.

    Attributes:
        info: Keys and values of `model.ini`, as text.
        columns: Column names in the order of a row; the response is last.
        domains: Levels of each column by code, or None for a numeric column.
    """

    zip: zipfile.ZipFile
    info: dict[str, str]
    columns: tuple[str, ...]
    domains: tuple[tuple[str, ...] | None, ...]

    def text(self, key: str) -> str:
        """The value of a required key."""
        return _value(self.info, key)

    def flag(self, key: str) -> bool:
        """A value that must be true or false."""
        text = self.text(key)
        if text not in {"true", "false"}:
            msg = f"{key} must be true or false; got {text[:40]!r} in model.ini"
            raise MojoError(msg)
        return text == "true"

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
        if text.count(",") >= _MAX_NUMBERS:
            msg = f"{key} must be at most {_MAX_NUMBERS} numbers; got more in model.ini"
            raise MojoError(msg)
        return tuple(_number(part, key) for part in text[1:-1].split(",") if part.strip())

    def member(self, name: str, most: int = MAX_UNPACKED) -> bytes:
        """The bytes of one file of the archive, at most `most`."""
        return _member(self.zip, name, most)

    def unpacked(self, name: str) -> int:
        """The stated size of a file, in bytes; reading it never returns more."""
        return self.zip.getinfo(name).file_size

    def __len__(self) -> int:
        """Number of files in the archive."""
        return len(self.zip.filelist)

    def __contains__(self, name: str) -> bool:
        return name in self.zip.NameToInfo

    @property
    def size(self) -> int:
        """Size of the archive itself, in bytes."""
        return self.zip.start_dir

    def must_be(self, **wanted: str) -> None:
        """Refuse a model with another value for a key that changes its arithmetic.

        A missing key counts as the wanted value, as in H2O's own reader.
        """
        for key, want in wanted.items():
            found = self.info.get(key, want)
            if found != want:
                msg = f"{key} must be {want}; got {found[:40]!r} in model.ini"
                raise MojoError(msg)


def open_archive(source: Path | bytes) -> Archive:
    """Open a MOJO, and read the parts that all algorithms share.

    Args:
        source: The zip file's bytes or path.

    Returns:
        The archive; its files are read on demand.

    Raises:
        MojoError: The zip file or its `model.ini` is malformed, or exceeds the limits.
    """
    opened = _open(source)
    text = _member(opened, "model.ini", _MAX_INI)
    if text.count(b"\n") > _MAX_LINES:
        msg = f"model.ini must have at most {_MAX_LINES} lines; got more"
        raise MojoError(msg)
    info, columns, files = _sections(_lines(text, "model.ini"))
    for key, want in (("endianness", "LITTLE_ENDIAN"), ("escape_domain_values", "true")):
        if _value(info, key) != want:
            msg = f"{key} must be {want}; got {info[key]!r} in model.ini"
            raise MojoError(msg)
    if len(columns) != _whole(_value(info, "n_columns"), "n_columns") or len(columns) < 2:
        msg = f"columns must be n_columns, 2 or more; got {len(columns)} in model.ini"
        raise MojoError(msg)
    if len(set(columns)) != len(columns):
        msg = f"columns must be distinct; got {str(columns)[:200]} in model.ini"
        raise MojoError(msg)
    domains: list[tuple[str, ...] | None] = [None] * len(columns)
    room, n_levels = _MAX_DOMAINS, _MAX_LEVELS
    for line in files:
        column, size, file = _domain(line, len(columns))
        if domains[column] is not None:
            msg = f"domains must be one for a column; got {line[:200]!r} as another in model.ini"
            raise MojoError(msg)
        text = _member(opened, file, room)
        room -= len(text)
        n_levels -= size
        if n_levels < 0:
            msg = f"domains must have at most {_MAX_LEVELS} levels in all; got more in {file}"
            raise MojoError(msg)
        domains[column] = _levels(text, size, file)
    return Archive(opened, info, columns, tuple(domains))


def _open(source: Path | bytes) -> zipfile.ZipFile:
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    if size > MAX_BYTES:
        msg = f"archive must be at most {MAX_BYTES} bytes; got {size}"
        raise MojoError(msg)
    content = source if isinstance(source, bytes) else source.read_bytes()
    _check_directory(content)
    try:
        opened = zipfile.ZipFile(io.BytesIO(content))
    except _UNREADABLE as error:
        msg = f"archive must be a zip file; got {size} bytes: {error}"
        raise MojoError(msg) from error
    members = opened.infolist()
    unpacked = sum(member.file_size for member in members)
    if unpacked > MAX_UNPACKED:
        msg = (
            f"archive must hold at most {MAX_MEMBERS} files of {MAX_UNPACKED} bytes in all; "
            f"got {len(members)} files of {unpacked} bytes"
        )
        raise MojoError(msg)
    if len(opened.NameToInfo) != len(members):
        msg = f"files of an archive must have names of their own; got {len(members)} files"
        raise MojoError(msg)
    return opened


def _check_directory(content: bytes) -> None:
    """Limit the directory that `zipfile` reads, and allow only one way to find it.

    Java writes the end of the directory last, without a comment, and no zip64 below 65,536 files.
    """
    end = content[-22:]
    if len(end) < 22 or end[:4] != b"PK\x05\x06" or end[20:] != b"\0\0":
        msg = f"archive must be a zip file; got {len(content)} bytes with another ending"
        raise MojoError(msg)
    files, size = struct.unpack("<HI", end[10:16])
    if content[-42:-38] == b"PK\x06\x07" or size > _MAX_DIRECTORY:
        msg = (
            f"archive must have a directory of at most {_MAX_DIRECTORY} bytes, not zip64; "
            f"got {size} bytes of {files} files"
        )
        raise MojoError(msg)


def _member(opened: zipfile.ZipFile, name: str, most: int) -> bytes:
    try:
        member = opened.getinfo(name)
    except KeyError:
        msg = f"archive must hold {name}; got {len(opened.namelist())} others"
        raise MojoError(msg) from None
    if member.file_size > most:
        msg = f"member must be at most {most} bytes; got {member.file_size} in {name}"
        raise MojoError(msg)
    plain = member.compress_type in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
    if not plain or member.flag_bits & _ENCRYPTED:
        msg = f"member must be stored or deflated, unencrypted; got {name}"
        raise MojoError(msg)
    try:
        with opened.open(member) as file:
            # read() without a size inflates all data before it cuts at the stated size.
            content = file.read(member.file_size) if member.file_size else b""
    except _UNREADABLE as error:
        msg = f"member must be readable; got {error} in {name}"
        raise MojoError(msg) from error
    if len(content) != member.file_size:
        msg = f"member must be {member.file_size} bytes; got {len(content)} in {name}"
        raise MojoError(msg)
    return content


def _lines(content: bytes, name: str) -> list[str]:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        msg = f"text must be UTF-8; got {error} in {name}"
        raise MojoError(msg) from error
    # splitlines() would also split at Unicode's other line separators, which a level may contain.
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


def _domain(line: str, n_columns: int) -> tuple[int, int, str]:
    """Column, number of levels, and file of a domain."""
    match line.replace(":", " ", 1).split():
        case [column, count, file]:
            index, size = _whole(column, "domain"), _whole(count, "domain")
        case _:
            msg = f"domain must read 'column: count file'; got {line[:200]!r} in model.ini"
            raise MojoError(msg)
    if index >= n_columns:
        msg = f"domain must be of a column below {n_columns}; got {line[:200]!r} in model.ini"
        raise MojoError(msg)
    return index, size, f"domains/{file}"


def _levels(content: bytes, size: int, name: str) -> tuple[str, ...]:
    n = content.removesuffix(b"\n").count(b"\n") + bool(content)
    if n == size:
        levels = tuple(map(_unescaped, _lines(content, name)))
        if len(set(levels)) == size:
            return levels
    msg = f"domain must be {size} distinct levels; got {n} in {name}"
    raise MojoError(msg)


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
