"""A user's module that has the name of one of our packages is named in one line."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def run(directory, *words):
    """End of a command that is started in a directory."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=directory,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{directory}:{REPOSITORY}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("name", ["models", "operators", "state"])
@pytest.mark.parametrize(
    "words", [("-m", "bytewax.run", "flows.main"), ("-m", "flows", "--help")], ids=["run", "verb"]
)
@pytest.mark.parametrize("form", ["{}.py", "{}/__init__.py"], ids=["file", "package"])
def test_a_file_that_hides_a_package_is_named_in_one_line(tmp_path, name, words, form):
    file = tmp_path / form.format(name)
    file.parent.mkdir(exist_ok=True)
    file.write_text("VALUE = 1\n")
    ended = run(tmp_path, *words)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"headwater: Python must import '{name}' from {REPOSITORY}; got {file}")


def test_files_of_other_names_are_in_nobodys_way(tmp_path):
    (tmp_path / "model.py").write_text("VALUE = 1\n")
    ended = run(tmp_path, "-m", "flows", "--help")
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_folder_without_init_does_not_hide_a_package(tmp_path):
    (tmp_path / "models").mkdir()
    assert run(tmp_path, "-m", "flows", "--help").returncode == 0
