"""Ids that are made of a record's values or number, as in `v{transfer}` and `{file}-{row}`."""

from collections.abc import Callable
from string import Formatter
from typing import Any

ROW, FILE = "row", "file"
"""Names in a template: the record's number in its file, from 1, and the file without suffix."""


class IdTemplate:
    """Makes the ids of a file's records.

    Args:
        text: Text of the id; a name in braces stands for a value of the record.
        file: Name of the file, without suffix.

    Attributes:
        names: Names of values in the record, as the file has them.
        is_of_file: Whether equal records of two files get different ids.

    Raises:
        ValueError: A brace is not closed, or none stands for a value.

    Example:
        >>> IdTemplate("{file}-{row}", "may").of(3, {}.get)
        'may-3'
        >>> template = IdTemplate("v{nr}", "may")
        >>> template.of(1, {"nr": 7.0}.get), template.of(2, {}.get)
        ('v7', None)
    """

    def __init__(self, text: str, file: str) -> None:
        parts = list(Formatter().parse(text))
        if any(form or how for _, _, form, how in parts):
            msg = "a name in braces must stand alone, without : or !"
            raise ValueError(msg)
        self._parts = [(literal, name) for literal, name, _, _ in parts]
        names = [name for _, name in self._parts if name is not None]
        if not names or not all(names):
            msg = "a column must stand in braces, or {row}, the record's number"
            raise ValueError(msg)
        self.names = [name for name in names if name not in {ROW, FILE}]
        self.is_of_file = bool(self.names) or FILE in names
        self._file = file

    def of(self, number: int, value: Callable[[str], Any]) -> str | None:
        """The id of a record; None: a value is missing.

        Args:
            number: Number of the record in its file.
            value: Returns a value of the record; None: it has none.
        """
        told = []
        for literal, name in self._parts:
            told.append(literal)
            if name is not None:
                text = _text(self._value(name, number, value))
                if text is None:
                    return None
                told.append(text)
        return "".join(told)

    def _value(self, name: str, number: int, value: Callable[[str], Any]) -> Any:
        if name in {ROW, FILE}:
            return number if name == ROW else self._file
        return value(name)


def _text(value: Any) -> str | None:
    """A value within an id; None: it cannot be in one."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str | int | float):
        return str(value).strip() or None
    return None
