"""Headwater's container images, built by Debian's buildah without a registry.

The images that `Dockerfile` builds on come from a registry; in their place stand a Debian of
`debootstrap`, with its Python 3.11, and the machine's own certificates and settings of pip.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
_PACKAGES = "binutils,ca-certificates,python3,python3-pip,python3-venv"
_NOT_NEEDED = (
    "usr/share/doc", "usr/share/locale", "usr/share/man", "var/cache/apt", "var/lib/apt/lists",
)  # fmt: skip
_OF_THE_MACHINE = ("etc/ssl/certs/ca-certificates.crt", "etc/pip.conf")


def need_buildah() -> None:
    """Skip the test where images cannot be built."""
    if os.getuid() or not (shutil.which("buildah") and shutil.which("debootstrap")):
        pytest.skip("needs root and `apt-get install buildah debootstrap`")


class Images:
    """Images and containers in a folder.

    Args:
        folder: Where they are kept, apart from the machine's own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._words = [
            "buildah",
            "--root",
            str(folder / "images"),
            "--runroot",
            str(folder / "run"),
        ]

    def base(self) -> None:
        """Make what `Dockerfile` takes from a registry."""
        root = self._folder / "debian"
        words = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", root]
        subprocess.run(words, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        (root / "usr/bin/python").symlink_to("python3")
        for name in filter(lambda name: Path("/", name).exists(), _OF_THE_MACHINE):
            shutil.copy(Path("/", name), root / name)
        self._commit(root, "docker.io/library/python:3.12")
        purge = ["chroot", root, "apt-get", "purge", "--yes", "--auto-remove", "binutils"]
        subprocess.run(purge, check=True, stdout=subprocess.PIPE)
        for name in _NOT_NEEDED:  # as in the registry's slim image
            shutil.rmtree(root / name)
        self._commit(root, "docker.io/library/python:3.12-slim")

    def build(self, name: str, *words: str) -> None:
        """Build the image of `Dockerfile`, as `docker build` would."""
        build = ("bud", "--format", "docker", "--pull=never", "--layers", "--tag", name)
        self._call(*build, *words, str(REPOSITORY))

    def megabytes(self, name: str) -> float:
        """The size that `docker images` would show."""
        inspected = json.loads(self._call("images", "--json", name))
        number, unit = inspected[0]["size"].split()
        return float(number) * {"MB": 1, "GB": 1000}[unit]

    def settings(self, name: str) -> dict[str, object]:
        """The image's user, ports, command and health check."""
        inspected = json.loads(self._call("inspect", "--type", "image", name))
        return dict(inspected["Docker"]["config"])

    @contextmanager
    def container(self, name: str, home: Path) -> Iterator[list[str]]:
        """Words before a command that runs in a new container with a home."""
        made = self._call("from", "--pull=never", name).strip()
        volume = f"{home}:/var/lib/headwater/home"
        config = "HEADWATER_CONFIG=/var/lib/headwater/home/headwater.toml"
        run = ["run", "--isolation", "chroot", "--volume", volume, "--env", config, made, "--"]
        try:
            yield [*self._words, *run]
        finally:
            self._call("rm", made)

    def remove(self) -> None:
        """Remove all, so that nothing stays mounted in the folder."""
        self._call("rm", "--all")
        self._call("rmi", "--all", "--force")

    def _commit(self, root: Path, name: str) -> None:
        made = self._call("from", "scratch").strip()
        mounted = self._call("mount", made).strip()
        subprocess.run(["cp", "--archive", f"{root}/.", mounted], check=True)
        self._call("umount", made)
        self._call("commit", made, name)
        self._call("rm", made)

    def _call(self, *words: str) -> str:
        environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
        done = subprocess.run(
            [*self._words, *words], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout
