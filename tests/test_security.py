"""The claims, settings and decisions that SECURITY.md names are there (see `test_documents.py`)."""

import re

from state.settings import Settings
from tests.documents import ROOT, decisions, read

SECURITY = read("SECURITY.md")
NAMED = re.findall(r"`([^`\n]+)`", SECURITY)


def claims():
    """The rows of the table of claims: the claim and what holds it."""
    lines = SECURITY.split("\n| claim | tests |\n")[1].splitlines()[1:]
    rows = [line.strip("| ").split(" | ") for line in lines[: lines.index("")]]
    return [(claim, re.findall(r"`([^`]+)`", tests)) for claim, tests in rows]


def test_each_claim_is_held_by_tests_that_exist():
    assert len(claims()) > 15
    for claim, named in claims():
        paths = [ROOT / one for one in named if one.startswith("tests/")]
        assert paths, claim
        for path in paths:
            files = [path] if path.is_file() else sorted(path.glob("test_*.py"))
            assert any("\ndef test_" in file.read_text("utf-8") for file in files), path


def test_every_setting_exists():
    for name in NAMED:
        if match := re.fullmatch(r"([a-z0-9]+)\.([a-z]+)(?: = .*)?", name):
            part, setting = match.groups()
            assert setting in getattr(Settings(), part).__struct_fields__, name


def test_every_decision_that_is_mentioned_stands_in_that_readme():
    mentioned = re.findall(r'\((\S*README\.md),\s+"([^"]+)"\)', SECURITY)
    assert len(mentioned) > 2
    for document, title in mentioned:
        words = " ".join(title.split())
        assert any(one.title.startswith(words) for one in decisions(read(document))), words


def test_the_readme_links_here():
    assert "(SECURITY.md)" in read("README.md")
