"""All that the READMEs and SECURITY.md name is there: paths, links, commands, decisions."""

import argparse
import ast
import importlib
import importlib.util
import re
import shlex
import tomllib
from itertools import takewhile

import pytest

from flows.__main__ import _parser
from tests.documents import (
    DOCUMENTS,
    FOLDERS,
    LAYERS,
    ROOT,
    anchors,
    decisions,
    links,
    modules,
    name_of,
    paths,
    quoted,
    read,
    section,
    shell,
    table,
)

MOST_LINES = 250
each = pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)


def verbs():
    """The parser of each verb of `headwater`."""
    (action,) = (a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction))
    return action.choices


def resolves(name):
    """Whether a dotted name is a module, or an attribute of one."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        module = ".".join(parts[:count])
        try:
            found = importlib.util.find_spec(module)
        except ModuleNotFoundError:
            continue
        if found is not None:
            value = None if count == len(parts) else importlib.import_module(module)
            for attribute in parts[count:]:
                value = getattr(value, attribute, None)
                if value is None:
                    return False
            return True
    return False


def numbers(text):
    """All numbers of two digits and more."""
    found = re.findall(r"\d+[.,\d]*\d", text)
    return {float(number.replace(",", "")) for number in found if number.count(".") < 2}


def test_the_top_level_is_short():
    assert len(read("README.md").splitlines()) <= MOST_LINES


def test_all_readmes_are_looked_at_and_linked_from_the_top():
    there = {path for layer in LAYERS for path in (ROOT / layer).rglob("*.md")}
    assert there | {*ROOT.glob("*.md")} == {*DOCUMENTS}
    linked = {path for path, _ in links(read("README.md"))}
    assert {name_of(document) for document in DOCUMENTS} - linked == {"README.md"}


@each
def test_every_relative_link_leads_to_a_file_and_a_heading(document):
    text = read(document)
    for path, anchor in links(text):
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), path
        if anchor:
            assert anchor in anchors(read(target)), f"{path}#{anchor}"


@each
def test_every_path_that_is_named_exists(document):
    named = list(paths(read(document)))
    assert len(named) > 2
    missing = [n for n in named if not (ROOT / n).exists() and not (document.parent / n).exists()]
    assert missing == []


@each
def test_every_module_that_is_named_exists(document):
    assert [name for name in modules(read(document)) if not resolves(name)] == []


@each
def test_every_command_line_is_one_that_headwater_takes(document):
    for line in shell(read(document)):
        if command := re.fullmatch(r"(?:[A-Z_]+=\S+ )*headwater (.*)", line):
            _parser().parse_args(shlex.split(command[1]))


def test_command_lines_are_found():
    lines = [line for document in DOCUMENTS for line in shell(read(document))]
    assert sum("headwater " in line for line in lines) > 12


@each
def test_every_verb_and_option_in_a_sentence_exists(document):
    for name in quoted(read(document)):
        if name.startswith("headwater "):
            _, verb, *rest = name.split()
            if verb == "VERB":
                continue
            assert verb in verbs(), name
            options = {word.partition("=")[0] for word in rest if word.startswith("--")}
            assert options <= {*verbs()[verb]._option_string_actions}, name


@each
def test_every_verb_of_just_exists(document):
    text = read(document)
    named = [n for n in (*quoted(text), *shell(text)) if n.startswith("just ")]
    for name in named:
        verb = name.split()[1]
        assert re.search(rf"^{verb}\b.*:", read("justfile"), re.MULTILINE), name


@each
def test_every_program_and_extra_exists(document):
    extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
    text = read(document)
    for words in (*quoted(text), *shell(text)):
        for module in re.findall(r"\bpython -m (?!pip\b)([\w.]+)", words):
            assert importlib.util.find_spec(module), words
        for path in re.findall(r"\bpython ([\w/]+\.py)", words):
            assert (ROOT / path).is_file(), words
        for extra in re.findall(r"'\.\[([\w,]+)\]'", words):
            assert {*extra.split(",")} <= extras.keys(), words


def test_every_verb_is_listed_with_its_purpose():
    rows = table("The commands", "command")
    listed = [name.split()[1] for first in rows for name in quoted(first)]
    assert sorted(listed) == sorted(verbs())


def test_every_place_to_look_at_is_there():
    rows = table("Where to look", "to find where")
    assert len(rows) > 9
    for what, (files, names) in rows.items():
        source = "\n".join(read(path) for path in quoted(files))
        for name in quoted(names):
            defined = rf"^\s*(?:(?:def|class) )?{name}\b\s*[:=(\[]"
            assert re.search(defined, source, re.MULTILINE), (what, name)


@pytest.mark.parametrize("layer", ["state", "models", "operators", "flows"])
def test_every_folder_of_a_layer_is_described(layer):
    named = {name.rstrip("/") for name in quoted(read(f"{layer}/README.md"))}
    below = (path.relative_to(ROOT) for path in (ROOT / layer).glob("*/*.py"))
    assert {str(path.parent) for path in below} <= named


def test_every_figure_at_the_top_is_one_that_was_measured():
    figures = [cells[0] for cells in table("How good and how fast", "measured").values()]
    assert len(figures) > 6
    measured = numbers(read("bench/README.md"))
    for figure in figures:
        assert numbers(figure) <= measured, figure


@pytest.mark.parametrize("folder", FOLDERS)
def test_decisions_are_numbered_and_say_why(folder):
    found = decisions(read(f"{folder}/README.md".lstrip("/")))
    assert [one.number for one in found] == [*range(1, len(found) + 1)]
    assert [one.date for one in found] == sorted(one.date for one in found)
    for one in found:
        lines = takewhile(lambda line: not line.startswith("#"), one.body.splitlines())
        parts = re.findall(r"^- \*\*(\w+)\.?\*\*", "\n".join(lines), re.MULTILINE)
        assert parts in (["Decision", "Because"], ["Decision", "Because", "Rejected"]), one.title


def test_decisions_are_found_and_stand_nowhere_else():
    texts = {folder: read(f"{folder}/README.md".lstrip("/")) for folder in FOLDERS}
    assert sum(len(decisions(text)) for text in texts.values()) > 60
    for text in texts.values():
        assert not re.findall(r"^\*\*\d{4}-\d\d-\d\d · .*$", text, re.MULTILINE)
        dated = re.findall(r"^#+ .*\d{4}-\d\d-\d\d.*$", text, re.MULTILINE)
        assert len(dated) == len(decisions(text))


@each
def test_no_heading_sentence_or_item_begins_with_what_who_or_where(document):
    text = read(document)
    begun = re.findall(r"^(?:#+|- |\d+\. |\| )\W*(?:What|Who|Where)\b.*$", text, re.MULTILINE)
    assert [line for line in begun if line != "## Where to look"] == []


@pytest.mark.parametrize("layer", ["state", "models", "operators", "flows"])
def test_no_docstring_or_argument_is_described_by_a_clipped_sentence(layer):
    clipped = re.compile(
        r"(?:What|Who|Whose|Where|Which|How|Why|So m\w+|Of|Ours|Its|Theirs|The same|As above)\b"
    )
    found = []
    for path in (ROOT / layer).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Expr(ast.Constant(str(text))):
                    said = [text.strip(), *re.findall(r"^ +\w+: (.*)$", text, re.MULTILINE)]
                    found += [(path.name, one) for one in said if clipped.match(one)]
    assert found == []


def test_the_own_stream_stands_at_the_top():
    assert re.findall(r"^```(\w+)$", section("Bring your own stream"), re.MULTILINE) == [
        "python",
        "toml",
        "json",
        "sh",
    ]
