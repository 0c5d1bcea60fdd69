"""Sentences on a stream: its purpose, and the meaning of its label."""

import inspect
import sys
from collections.abc import Callable
from typing import Any

from flows.home.configuration import BUILT_IN
from flows.pages.document import code
from state.stream import Stream


def purpose_of(stream: Stream, spec: str) -> list[str]:
    """Describe a stream: in the words of its author, then request, label and deadline.

    Args:
        stream: The stream.
        spec: Name of the stream in the settings.
    """
    module = sys.modules.get(BUILT_IN.get(spec, spec).partition(":")[0])
    found = [_words(module)] if module is not None and _words(module) else []
    label = stream.label
    by = f"Label 1 or 0 comes with an event {code(label.on.__name__.lower())}"
    meaning = _words(label.value)
    if meaning and label.value.__name__ != "<lambda>":
        by += f", by {code(label.value.__name__)}: {meaning}"
    match label.silence:
        case None:
            silence = "A request without one in time gets no label and teaches nothing."
        case _:
            silence = f"A request without one by its deadline gets label {int(label.silence)}."
    request = code(stream.request.__name__.lower())
    found.append(
        f"Each event {request} of the stream {code(stream.name)} gets a probability that its label "
        f"will be 1. {by.rstrip('.')}. {silence}"
    )
    return found


def _words(of: Any | Callable[..., Any]) -> str:
    """The docstring on one line."""
    return " ".join((inspect.getdoc(of) or "").split())
