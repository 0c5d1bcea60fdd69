"""The Dockerfile keeps its promises, as far as can be told without building it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser

from flows.__main__ import _parser

ROOT = Path(__file__).parents[1]
KNOWN = {
    "FROM", "RUN", "ENV", "WORKDIR", "COPY", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL",
    "HEALTHCHECK", "CMD", "COMMENT",
}  # fmt: skip


@pytest.fixture
def steps():
    parser = DockerfileParser(fileobj=(ROOT / "Dockerfile").open("rb"))
    with parser.fileobj:
        return [(one["instruction"], one["value"]) for one in parser.structure]


def of(steps, name):
    return [value for instruction, value in steps if instruction == name]


def test_it_holds_only_instructions_that_docker_has(steps):
    assert {name for name, _ in steps} <= KNOWN
    first = next(name for name, _ in steps if name != "COMMENT")
    assert first == "FROM"


def test_it_runs_on_a_python_of_the_project_as_nobody_special(steps):
    assert of(steps, "FROM") == ["python:3.12 AS build", "python:3.12-slim AS serve", "serve"]
    _, serving, whole = (i for i, (name, _) in enumerate(steps) if name == "FROM")
    assert "useradd" in of(steps[serving:whole], "RUN")[0]
    assert of(steps[serving:whole], "USER") == ["headwater"]
    assert of(steps[whole:], "USER") == ["root", "headwater"]


def test_it_copies_what_is_there_and_not_ignored(steps):
    kept = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    own = [value.split()[:-1] for value in of(steps, "COPY") if not value.startswith("--from")]
    sources = {source for sources in own for source in sources}
    assert sources == set(kept)
    assert all((ROOT / source).exists() for source in sources)


def test_it_installs_no_java_but_the_package(steps):
    text = " ".join(of(steps, "RUN"))
    assert "apt" not in text
    assert "-c constraints.txt" in text


def test_what_is_compiled_is_in_the_image_as_who_runs_it_finds_it(steps):
    user = next(i for i, step in enumerate(steps) if step[0] == "USER")
    compiling = of(steps[user:], "RUN")[1]
    words = json.loads(compiling)
    assert words[0] == "python"
    subprocess.run([sys.executable, *words[1:]], cwd=ROOT, check=True)
    assert "NUMBA_CACHE_DIR=/var/lib/headwater/numba" in " ".join(of(steps[:user], "ENV"))
    assert of(steps, "VOLUME") == ["/var/lib/headwater/home"]  # else each would find it empty


def test_signals_reach_the_service_and_its_health_is_watched(steps):
    name, *words = json.loads(of(steps, "CMD")[0])
    assert name == "headwater"
    arguments = _parser().parse_args(words)
    (watch,) = of(steps, "HEALTHCHECK")
    probe = json.loads(watch.partition("CMD ")[2])
    compile(probe[2], "HEALTHCHECK", "exec")
    assert f"127.0.0.1:{arguments.port}/readyz" in probe[2]
    assert of(steps, "EXPOSE") == [str(arguments.port)]
    assert arguments.host == "0.0.0.0"
