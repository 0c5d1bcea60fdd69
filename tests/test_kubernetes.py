"""Checks of `flows/serving/kubernetes.yaml` that work without a cluster."""

import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from dockerfile_parse import DockerfileParser

from flows.__main__ import _parser
from state.settings import Settings, settings_from

ROOT = Path(__file__).parents[1]
OBJECTS = [*yaml.safe_load_all((ROOT / "flows/serving/kubernetes.yaml").read_text())]
PODS = {
    of["metadata"]["name"]: of["spec"]["template"]
    for of in OBJECTS
    if "template" in of.get("spec", {})
}
CONTAINERS = [
    one
    for pod in PODS.values()
    for one in [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]
]


@pytest.mark.parametrize("version", ["1.28", "1.37"])
@pytest.mark.parametrize(
    "described", OBJECTS, ids=lambda of: f"{of['kind']}-{of['metadata']['name']}"
)
def test_kubernetes_takes_each_object(described, version):
    kubernetes_validate.validate(described, version, strict=True)


def test_a_name_that_kubernetes_does_not_have_is_refused():
    wrong = OBJECTS[-1] | {"spec": OBJECTS[-1]["spec"] | {"minReady": 1}}
    with pytest.raises(kubernetes_validate.ValidationError, match="minReady"):
        kubernetes_validate.validate(wrong, "1.37", strict=True)


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda one: one["name"])
def test_the_commands_inside_are_headwaters_and_run_as_nobody_special(container):
    name, *words = container["command"]
    assert name == "headwater"
    assert _parser().parse_args(words)
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_user_is_the_images():
    with (ROOT / "Dockerfile").open("rb") as file:
        content = DockerfileParser(fileobj=file).content
    for pod in PODS.values():
        assert f"--uid {pod['spec']['securityContext']['runAsUser']} " in content


def test_the_settings_inside_can_be_used_and_their_secrets_are_given():
    (of,) = (one for one in OBJECTS if one["kind"] == "ConfigMap")
    settings = settings_from(tomllib.loads(of["data"]["headwater.toml"]))
    assert settings.log == "kafka"
    needed = {
        value.removeprefix("env:") for value in settings.kafka.options.values() if "env:" in value
    }
    for container in CONTAINERS:
        given = {variable["name"] for variable in container["env"]}
        assert needed | {"HEADWATER_CHECKPOINT_KEY", "HEADWATER_HOME", "HEADWATER_CONFIG"} <= given


def test_volumes_ports_and_selectors_are_there():
    for pod in PODS.values():
        (found,) = (one for one in OBJECTS if one.get("spec", {}).get("template") is pod)
        claims = found["spec"].get("volumeClaimTemplates", ())
        volumes = {one["name"] for one in pod["spec"]["volumes"]}
        volumes |= {one["metadata"]["name"] for one in claims}
        assert found["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
        for container in pod["spec"]["containers"]:
            assert {one["name"] for one in container["volumeMounts"]} <= volumes
    services = [one for one in OBJECTS if one["kind"] == "Service"]
    assert len(services) == 2
    for service in services:
        (pod,) = (
            pod for pod in PODS.values() if pod["metadata"]["labels"] == service["spec"]["selector"]
        )
        ports = {port["name"] for of in pod["spec"]["containers"] for port in of.get("ports", ())}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


def test_a_new_set_is_ready_before_the_old_one_leaves_and_that_one_ends_in_its_own_time():
    (serve,) = (one for one in OBJECTS if one["kind"] == "Deployment")
    assert serve["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": "100%", "maxUnavailable": 0}
    pod = serve["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert pod["terminationGracePeriodSeconds"] * 1e6 > Settings().serve.drain * 2
