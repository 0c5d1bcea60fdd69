"""Checks of `compose.yaml` that work without Docker."""

import tomllib
from pathlib import Path

import pytest
import yaml

from flows.__main__ import _parser
from state.settings import settings_from

COMPOSE = yaml.safe_load((Path(__file__).parents[1] / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]


def test_every_published_port_is_on_loopback():
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(ports) == 5
    assert {port.split(":")[0] for port in ports} == {"127.0.0.1"}


def test_whatever_a_service_names_is_there():
    for service in SERVICES.values():
        assert ("image" in service) != ("build" in service)
        assert {config["source"] for config in service.get("configs", ())} <= set(
            COMPOSE["configs"]
        )
        assert set(service.get("depends_on", ())) <= set(SERVICES)
        named = {volume.split(":")[0] for volume in service.get("volumes", ())}
        assert {name for name in named if not name.startswith(".")} <= set(COMPOSE["volumes"])


def test_the_settings_inside_can_be_used():
    settings = settings_from(tomllib.loads(COMPOSE["configs"]["headwater"]["content"]))
    assert settings.kafka.bootstrap == "kafka:9092"
    assert settings.training.trainer == "external"
    for name in ("prometheus", "grafana", "dashboards"):
        assert yaml.safe_load(COMPOSE["configs"][name]["content"])


@pytest.mark.parametrize("service", ["topics", "flow", "serve", "watch"])
def test_the_commands_inside_are_headwaters(service):
    words = SERVICES[service]["entrypoint"] + SERVICES[service]["command"]
    assert words[0] == "headwater"
    assert _parser().parse_args(words[1:])


def test_the_files_that_are_mounted_are_there():
    files = [config["file"] for config in COMPOSE["configs"].values() if "file" in config]
    folders = [
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", ())
        if volume.startswith("./flows")
    ]
    assert len(files) == len(folders) == 1
    root = Path(__file__).parents[1]
    assert (root / files[0]).is_file()
    assert [*(root / folders[0]).glob("*.json")]
