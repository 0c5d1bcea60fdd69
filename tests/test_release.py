"""A release: `just release`, without the images, which tests/test_image.py builds."""

import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[1]
LAYERS = ("flows", "models", "operators", "state")
PAGES = ("README.md", "kubernetes.yaml")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what a release is made from, with the release beside it."""
    root = tmp_path_factory.mktemp("checkout")
    for name in ("LICENSE", "README.md", "constraints.txt", "justfile", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    for layer in LAYERS:
        shutil.copytree(ROOT / layer, root / layer, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["just", "release", "none"], cwd=root, check=True, stdout=subprocess.DEVNULL)
    return root


def test_the_wheel_has_every_file_of_the_four_layers_but_their_pages(checkout):
    (wheel,) = checkout.glob("dist/*.whl")
    names = (name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name)
    files = (file for layer in LAYERS for file in (checkout / layer).rglob("*") if file.is_file())
    wanted = {str(file.relative_to(checkout)) for file in files if file.name not in PAGES}
    assert {name for name in names if not name.endswith(PAGES)} == wanted


def test_the_list_of_packages_has_what_is_installed_with_the_tested_versions(checkout):
    (file,) = checkout.glob("dist/*.cdx.json")
    text = file.read_text()
    listed = json.loads(text)
    assert listed["metadata"]["component"]["name"] == "headwater"
    found = {one["name"].lower(): one["version"] for one in listed["components"]}
    lines = (ROOT / "constraints.txt").read_text().lower().splitlines()
    tested = dict(line.split("==") for line in lines if "==" in line)
    assert {"bytewax", "confluent-kafka", "h2o", "river", "starlette"} <= found.keys()
    assert found.items() <= tested.items()
    assert "file:" not in text


def test_a_builder_of_images_that_is_not_installed_is_named(checkout):
    done = subprocess.run(
        ["just", "release", "nobody"], cwd=checkout, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "got nobody, which is not installed" in done.stderr
    assert [*checkout.glob("dist/*.whl")]
