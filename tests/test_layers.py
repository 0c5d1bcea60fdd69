"""Imports point downward: flows → operators → {models, state}."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

MAY_IMPORT = {
    "state": set(),
    "models": set(),
    "operators": {"models", "state"},
    "flows": {"operators", "models", "state"},
    "bench": {"flows", "operators", "models", "state"},
}
ROOT = Path(__file__).parents[1]
MODULES = sorted(path for layer in MAY_IMPORT for path in (ROOT / layer).rglob("*.py"))


def imported(source, package):
    """Every module that a source names in an import, wherever it stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            yield ".".join([*above, *([node.module] if node.module else [])])


def wrong(source, package):
    layer = package[0]
    ours = {name.partition(".")[0] for name in imported(source, package)} & {*MAY_IMPORT, "tests"}
    return ours - MAY_IMPORT[layer] - {layer}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_imports_from_below_only(path):
    package = list(path.relative_to(ROOT).parent.parts)
    assert not wrong(path.read_text(), package)


def place(module):
    """The folder of a layer, or the module that stands in none."""
    head = module.split(".")[:2]
    return ".".join(head)


def arrows(sources):
    """Which folder of a layer imports which other one of it, from sources by module name."""
    found = {}
    for module, source in sources.items():
        layer = module.partition(".")[0]
        for name in imported(source, module.split(".")[:-1]):
            if name.startswith(f"{layer}.") and place(name) != place(module):
                found.setdefault(place(module), set()).add(place(name))
    return found


def circle(found):
    """A circle of arrows, or nothing."""
    try:
        TopologicalSorter(found).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_circle_between_the_folders_of_a_layer():
    sources = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text()
        for path in MODULES
        if path.name != "__init__.py"
    }
    assert circle(arrows(sources)) == []


def test_the_rule_finds_a_circle():
    sources = {
        "flows.home.log": "from flows.repair.note import is_unfinished",
        "flows.repair.note": "from flows.terminal import bar",
        "flows.terminal.bar": "from flows.home.paths import Home\nfrom flows.terminal import text",
    }
    assert {*circle(arrows(sources))} == {"flows.home", "flows.repair", "flows.terminal"}
    del sources["flows.terminal.bar"]
    assert circle(arrows(sources)) == []


def test_every_layer_is_looked_at():
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(MAY_IMPORT)


def test_no_module_is_named_utils():
    assert not [path for path in MODULES if "util" in path.stem]


@pytest.mark.parametrize(
    ("source", "package", "found"),
    [
        ("import flows.runtime.app", "state", {"flows"}),
        ("def f():\n    from models.linear.online import x", "state", {"models"}),
        ("from state import log, stream", "models", {"state"}),
        ("import os, bench as b", "flows", {"bench"}),
        ("from ...models import x", "state.deep", {"models"}),
        ("from .models import x", "state", set()),
        ("from state.log import Log\nimport statement", "operators", set()),
        ("from tests.rides import stream", "operators", {"tests"}),
    ],
)
def test_the_rule_finds_what_it_forbids(source, package, found):
    assert wrong(source, package.split(".")) == found
