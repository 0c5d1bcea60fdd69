"""The table of features in `state/README.md`, generated from the code.

`python -m state.feature_table` prints it.
"""

import inspect
from collections.abc import Iterator

from state import features
from state.kinds.kind import Kind

_STATISTICS = ("Count", "Sum", "Mean", "Rate")


def rows() -> Iterator[tuple[str, str, str]]:
    """Name, arguments and first sentence of every feature and every statistic."""
    names = [name for name in features.__all__ if _is_kind(getattr(features, name))]
    for name in (*names, *_STATISTICS):
        kind = getattr(features, name)
        arguments = inspect.signature(kind).parameters.values()
        first, _, _ = (inspect.getdoc(kind) or "").partition("\n\n")
        yield name, ", ".join(map(_shown, arguments)), " ".join(first.split())


def _is_kind(of: object) -> bool:
    return isinstance(of, type) and issubclass(of, Kind) and of is not Kind


def _shown(argument: inspect.Parameter) -> str:
    if argument.default is inspect.Parameter.empty:
        return argument.name
    return f"{argument.name}={argument.default!r}"


def table() -> str:
    """Format the table as Markdown."""
    head = ["| feature | arguments | says |", "|---|---|---|"]
    return "\n".join(head + [f"| `{name}` | `{given}` | {says} |" for name, given, says in rows()])


if __name__ == "__main__":
    print(table())
