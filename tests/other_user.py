"""Python as a user who owns nothing, for what must work without the right to write."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

NOBODY = 65534
REPOSITORY = Path(__file__).parents[1]
AS_OTHER = (
    ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    if os.getuid() == 0
    else []
)
"""Words before a command; nothing where this is not root, who may write everywhere."""


def let_all_read(root: Path) -> None:
    """Let everybody read what is in a folder, and nobody but root write there."""
    for path in (root, *root.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)


def need_another_user() -> None:
    """Skip the test if another user cannot read this checkout or its environment."""
    look = [*AS_OTHER, sys.executable, "-c", "import msgspec, state.log"]
    if subprocess.run(look, cwd=REPOSITORY, capture_output=True, check=False).returncode:
        pytest.skip("another user cannot read this checkout or its environment")


def run_as_other(
    words: list[str], cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python WORDS` as a user who may not write where root may."""
    need_another_user()
    return subprocess.run(
        [*AS_OTHER, sys.executable, *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
