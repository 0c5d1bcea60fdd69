"""The READMEs and SECURITY.md as texts: their sections, tables, links, commands and paths."""

import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
LAYERS = ("state", "models", "operators", "flows", "bench", "tests")
FOLDERS = ("", *LAYERS, "flows/serving", "flows/intake", "flows/mirror", "flows/watch")
"""Folders with a README; the first is the top level."""
DOCUMENTS = [ROOT / folder / "README.md" for folder in FOLDERS] + [ROOT / "SECURITY.md"]

SECTIONS = {
    "Bring your own stream": "README.md",
    "How good and how fast": "README.md",
    "The commands": "README.md",
    "Where to look": "README.md",
    "Settings": "flows/README.md",
    "Reports and alerts": "flows/README.md",
    "Dead letters": "flows/README.md",
    "Topics": "state/README.md",
}
"""The file of each section whose content a test compares with the code."""

USERS_OWN = {"headwater.toml", "jobs.py", "jobs.jsonl", "kafka.json", "request.json"}
"""Files that the texts name and that stand at a user's, not here."""

_SUFFIXES = ("py", "md", "toml", "properties", "yaml", "xml", "txt")


class Decision(NamedTuple):
    """A numbered decision of a README."""

    number: int
    date: str
    title: str
    body: str


def name_of(document: Path) -> str:
    """Its path below the root."""
    return str(document.relative_to(ROOT))


def read(document: str | Path) -> str:
    """The text of a document, by its path below the root."""
    return (ROOT / document).read_text("utf-8")


def section(title: str) -> str:
    """A section of `SECTIONS`, up to the next heading of its level or above."""
    text = read(SECTIONS[title])
    (heading,) = re.findall(rf"^(##+) {re.escape(title)}$", text, re.MULTILINE)
    body = text.split(f"\n{heading} {title}\n")[1]
    return re.split(rf"^#{{2,{len(heading)}}} ", body, maxsplit=1, flags=re.MULTILINE)[0]


def table(title: str, heading: str) -> dict[str, list[str]]:
    """The rows of a section's table whose first column has this heading: cells by the first."""
    lines = section(title).split(f"\n| {heading} |")[1].splitlines()[2:]
    rows = [line.strip("| ").split(" | ") for line in takewhile(bool, lines)]
    return {first: rest for first, *rest in rows}


def quoted(text: str) -> list[str]:
    """All that stands in backticks outside of code blocks, on one line."""
    plain = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return [" ".join(words.split()) for words in re.findall(r"`([^`]+)`", plain)]


def shell(text: str) -> list[str]:
    """The lines of all shell blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


def links(text: str) -> list[tuple[str, str]]:
    """Path and anchor of every relative link."""
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    parts = (target.partition("#") for target in targets if "://" not in target)
    return [(path, anchor) for path, _, anchor in parts]


def anchors(text: str) -> set[str]:
    """The anchors of all headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def paths(text: str) -> Iterator[str]:
    """Every path of this repository that is named: in backticks, or in a shell block."""
    for name in quoted(text):
        has_suffix = re.fullmatch(rf"[\w./-]+\.({'|'.join(_SUFFIXES)})", name)
        in_layer = "/" in name and name.partition("/")[0] in {*LAYERS, ".ci"}
        if (has_suffix or in_layer) and " " not in name and name not in USERS_OWN:
            yield name
    for line in shell(text):
        yield from re.findall(rf"(?<![\w./])(?:{'|'.join(LAYERS)})/[\w./-]+", line)


def modules(text: str) -> Iterator[str]:
    """Every module, or name in one, of this repository."""
    for words in (*quoted(text), *shell(text)):
        yield from re.findall(rf"(?<![\w./-])(?:{'|'.join(LAYERS)})(?:\.[A-Za-z_]\w*)+", words)


def decisions(text: str) -> list[Decision]:
    """All numbered decisions, in order."""
    parts = re.split(r"^### (\d+) · (\d{4}-\d\d-\d\d) · (.*)$", text, flags=re.MULTILINE)[1:]
    rows = zip(parts[::4], parts[1::4], parts[2::4], parts[3::4], strict=True)
    return [Decision(int(number), date, title, body) for number, date, title, body in rows]
