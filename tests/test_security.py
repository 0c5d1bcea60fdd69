"""What SECURITY.md names is there."""

import re
from pathlib import Path

import pytest

from flows.__main__ import main
from state.settings import Settings

ROOT = Path(__file__).parents[1]
SECURITY = (ROOT / "SECURITY.md").read_text("utf-8")
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


def test_every_path_exists():
    paths = [name for name in NAMED if "/" in name and " " not in name]
    assert paths
    assert [name for name in paths if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("verb", [n.removeprefix("just ") for n in NAMED if n.startswith("just ")])
def test_every_verb_of_just_exists(verb):
    assert re.search(rf"^{verb}\b.*:", (ROOT / "justfile").read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("words", [n.split() for n in NAMED if n.startswith("headwater ")])
def test_every_command_exists(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main([words[1], "--help"])
    assert ended.value.code == 0
    assert words[1] in capsys.readouterr().out


def test_every_setting_exists():
    for name in NAMED:
        if match := re.fullmatch(r"([a-z0-9]+)\.([a-z]+)(?: = .*)?", name):
            part, setting = match.groups()
            assert setting in getattr(Settings(), part).__struct_fields__, name


def test_every_decision_that_is_mentioned_stands_in_the_readme():
    readme = " ".join((ROOT / "README.md").read_text("utf-8").split())
    mentioned = re.findall(r'\(README,\s+"([^"]+)"\)', SECURITY)
    assert len(mentioned) > 2
    for title in (" ".join(one.split()) for one in mentioned):
        assert re.search(rf"\*\*\d{{4}}-\d\d-\d\d · {re.escape(title)}", readme), title


def test_the_readme_links_here():
    assert "(SECURITY.md)" in (ROOT / "README.md").read_text("utf-8")
