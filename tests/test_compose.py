"""Checks of `compose.yaml` that work without Docker."""

import tomllib
from pathlib import Path

import pytest
import yaml

from flows.__main__ import _parser
from state.settings import settings_from

ROOT = Path(__file__).parents[1]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]


def test_every_published_port_is_on_loopback():
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(ports) == 6
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
    for name in ("grafana", "dashboards"):
        assert yaml.safe_load(COMPOSE["configs"][name]["content"])


def test_prometheus_scrapes_and_alerts_services_that_are_there():
    settings = yaml.safe_load(COMPOSE["configs"]["prometheus"]["content"])
    (alerting,) = settings["alerting"]["alertmanagers"]
    (scraping,) = settings["scrape_configs"]
    asked = [scraping["static_configs"], alerting["static_configs"]]
    targets = {target for groups in asked for group in groups for target in group["targets"]}
    published = {
        f"{name}:{port.rpartition(':')[2]}"
        for name, service in SERVICES.items()
        for port in service.get("ports", ())
    }
    assert targets <= published
    assert {target.partition(":")[0] for target in targets} == {"alertmanager", "serve", "watch"}


def test_the_home_is_the_folder_that_the_image_makes_for_its_user():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    (volume,) = (line.split()[1] for line in lines if line.startswith("VOLUME "))
    made = lines.index("RUN mkdir home")
    assert f"WORKDIR {volume.removesuffix('/home')}" in lines[:made]
    assert lines.index("USER headwater") < made
    ours = [service for service in SERVICES.values() if "build" in service]
    assert len(ours) == 5
    for service in ours:
        assert service["environment"]["HEADWATER_HOME"] == volume
        assert f"home:{volume}" in service["volumes"]


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
    assert len(files) == 2
    assert len(folders) == 1
    assert all((ROOT / file).is_file() for file in files)
    assert [*(ROOT / folders[0]).glob("*.json")]
