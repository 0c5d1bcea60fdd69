"""Hints on records that are refused because their file is written otherwise than it is read."""

import json
import re
from datetime import datetime
from typing import Any, NamedTuple

from flows.intake.dialect import Dialect
from flows.intake.file_forms import NOT_UTF_8
from flows.intake.refusals import Refusal
from state.admission.no_event import Refused
from state.event_times import TimeTexts
from state.plain_text import plain_line

_OF_TEXT = re.compile(r"Expected `(?:int|float)[^,]*`, got `str` - at `\$\.(.+)`")
_OF_TIME = re.compile(r"Expected `int.*`\$\.(\w+)`: as text it must be RFC 3339, .*")
_MISSING = re.compile(r"Object missing required field `(?!type`).*")
_UNKNOWN = re.compile(r"Object contains unknown field `(?!\d+ cells? of \d+`).*")
_DECIMAL_COMMA = re.compile(r"\s*[+-]?(?:[0-9]*|[0-9]{1,3}(?:\.[0-9]{3})+),[0-9]+\s*")
_NO_TYPE = re.compile(r"Object missing required field `type`")
_SHOWN = 80
_DATES = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y/%m/%d", "%d.%m.%y")
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
_FORMS = [date + clock for date in _DATES for clock in _CLOCKS]
_decode = json.JSONDecoder().decode


class Hint(NamedTuple):
    """Advice on reading a file.

    Attributes:
        text: The rest of a sentence.
        is_of_file: Whether the whole file needs it, and not one bad record.
    """

    text: str
    is_of_file: bool = False


def hint(value: bytes, refused: Refused, dialect: Dialect) -> Hint | None:
    """The hint on a record that is refused; None: there is none.

    Args:
        value: The record.
        refused: The reason why it would be a dead letter.
        dialect: The conventions by which it was read.
    """
    if not _is_utf_8(value):
        # Any byte is a letter in Latin-1, which is Windows-1252 but for a few.
        is_object = bool(_fields(value.decode("latin-1")))
        return Hint(NOT_UTF_8, is_of_file=True) if is_object else None
    fields = _fields(value.decode())
    if _UNKNOWN.fullmatch(refused.detail):
        others = "" if dialect.skips_unknown else ", --skip-unknown leaves out such fields"
        return Hint(f"--rename gives fields other names{others}")
    if dialect.skips_unknown and _MISSING.fullmatch(refused.detail):
        return Hint("--rename OLD=NEW gives fields other names")
    if found := _OF_TIME.fullmatch(refused.detail):
        return Hint(_hint_on_time(fields.get(found[1]), dialect.texts))
    found = _OF_TEXT.fullmatch(refused.detail)
    if found and _DECIMAL_COMMA.fullmatch(str(fields.get(found[1]))):
        text = f"if {fields[found[1]]!r} has a decimal comma, --decimal , reads it"
        return Hint(text, is_of_file=True)
    lists = [name for name, held in fields.items() if _is_list_of_objects(held)]
    if refused.reason in {"malformed", "unknown_type"} and "type" not in fields and lists:
        return Hint(
            f"the records seem to be in its list {lists[0]!r}; jq -c '.{lists[0]}[]' gives them"
        )
    if _NO_TYPE.match(refused.detail) and fields:
        return Hint("--type TYPE gives one to records without")
    return None


def refusal_of(refused: Refused, found: Hint | None) -> Refusal:
    """The refusal of a record, with the advice of its hint."""
    return Refusal(refused.reason, refused.detail, advice="" if found is None else found.text)


def _hint_on_time(text: Any, texts: TimeTexts) -> str:
    """Advice on a text that is not a time."""
    shown = str(text)[:_SHOWN]
    likely = " or ".join(repr(form) for form in _FORMS if _fits(shown.strip(), form))
    if not texts.form:
        perhaps = f", perhaps as {likely}" if likely else ""
        return f"or --time-format must say how it is written{perhaps}"
    perhaps = f"; {likely} does" if likely else ""
    return f"--time-format {texts.form!r} does not fit {plain_line(shown)!r}{perhaps}"


def _fits(text: str, form: str) -> bool:
    try:
        datetime.strptime(text, form)  # noqa: DTZ007
    except ValueError:
        return False
    return True


def _is_utf_8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _fields(value: str) -> dict[str, Any]:
    try:
        fields = _decode(value)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _is_list_of_objects(held: Any) -> bool:
    return isinstance(held, list) and bool(held) and all(isinstance(one, dict) for one in held)
