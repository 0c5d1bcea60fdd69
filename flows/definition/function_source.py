"""Text of a function's behaviour: its source without comments, layout and docstrings.

It includes what the function uses of its module: constants by value, other code by source.
"""

import ast
import dis
import inspect
import linecache
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from textwrap import dedent
from types import CodeType, FunctionType
from typing import Any

_CONSTANTS = (bool, int, float, str, bytes, type(None))
_UNKNOWN = "source unknown"
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
"""The address in the `repr` of an object without a `repr` of its own."""


def source_of(call: Any) -> str:
    """The text of a function or callable object.

    The same source gives the same text wherever it is in its file. A callable without Python
    source, such as `operator.attrgetter("x")`, gives its `repr`.

    Example:
        >>> from operator import attrgetter
        >>> source_of(attrgetter("won"))
        "operator.attrgetter('won')"
    """
    return _ADDRESS.sub("", "; ".join(_parts(call, set())))


def _parts(call: Any, seen: set[int]) -> Iterator[str]:
    """The text of a function, and of the user's code that it uses."""
    if id(call) in seen:
        return
    seen.add(id(call))
    if isinstance(call, partial):
        yield f"partial of {call.args} {call.keywords}"
        yield from _parts(call.func, seen)
    elif isinstance(call, FunctionType):
        yield _text_of_function(call.__code__)
        for name, value in sorted(_used(call).items()):
            yield from _uses(name, value, seen)
    elif isinstance(call, type):
        yield _text_of_class(call)
    elif isinstance(type(call).__call__, FunctionType):
        yield _text_of_class(type(call))
        yield repr(sorted(vars(call).items()))
    else:
        yield repr(call)


def _uses(name: str, value: Any, seen: set[int]) -> Iterator[str]:
    if _is_constant(value):
        yield f"{name} = {value!r}"
    elif isinstance(value, FunctionType | type) and _is_of_the_user(value):
        yield from (f"{name}: {part}" for part in _parts(value, seen))


def _is_constant(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_constant, value))
    return isinstance(value, _CONSTANTS)


def _is_of_the_user(value: Any) -> bool:
    """Whether code is the user's own; Python's and installed packages' code has versions."""
    module = sys.modules.get(value.__module__)
    file = getattr(module, "__file__", None) or ""
    return bool(file) and not file.startswith((sys.prefix, sys.base_prefix))


def _used(call: FunctionType) -> dict[str, Any]:
    """The globals and closure variables that a function uses, by name."""
    names = set(_names(call.__code__))
    found = {name: call.__globals__[name] for name in names if name in call.__globals__}
    for name, cell in zip(call.__code__.co_freevars, call.__closure__ or (), strict=True):
        with suppress(ValueError):  # a cell that is still empty
            found[name] = cell.cell_contents
    return found


def _names(code: CodeType) -> Iterator[str]:
    """The names that a code object looks up in its module; attribute names are not among them."""
    yield from (one.argval for one in dis.get_instructions(code) if one.opname == "LOAD_GLOBAL")
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)


def _text_of_class(kind: type) -> str:
    try:
        return _plain(ast.parse(dedent(inspect.getsource(kind))))
    except (OSError, TypeError, SyntaxError):
        return f"{kind.__qualname__}: {_UNKNOWN}"


def _text_of_function(code: CodeType) -> str:
    tree = _tree(code.co_filename)
    nodes = [node for node in ast.walk(tree) if _is_of(node, code)] if tree else []
    if not nodes:
        return f"{code.co_qualname}: {_UNKNOWN}"
    return _plain(min(nodes, key=lambda node: len(ast.dump(node))))


def _tree(file: str) -> ast.Module | None:
    linecache.checkcache(file)
    try:
        return ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return None


def _is_of(node: ast.AST, code: CodeType) -> bool:
    """Whether a syntax node is the source of a code object: same kind, around its instructions."""
    if isinstance(node, ast.Lambda):
        named, first = code.co_name == "<lambda>", node.lineno
    elif isinstance(node, ast.FunctionDef):
        named = code.co_name == node.name
        first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
    else:
        return False
    start, end = (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
    return (
        named
        and first == code.co_firstlineno
        and all(
            start <= (line, column) and (end_line, end_column) <= end
            for line, end_line, column, end_column in code.co_positions()
            if line and end_line and column is not None and end_column
        )
    )


def _plain(tree: ast.AST) -> str:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and len(body) > 1 and _is_text(body[0]):
            del body[0]
    return ast.unparse(tree)


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
