"""The two compose files, read by Docker Compose."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from dev.stack.production.servers import dynamic_config
from settings import Settings
from tests.deploy.tools import DRAINS, KNOWN, ROOT, run

FILES = ("docker-compose.yml", "docker-compose.test.yml")
OURS = {"api", "worker", "consumer", "inventory", "setup"}
GRACE_SECONDS = {"20s": 20}


SECRET = "a-secret-of-these-tests-that-has-32-bytes"


@pytest.fixture(scope="module", autouse=True)
def secret() -> Iterator[None]:
    """Without a secret, Compose refuses the file."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("JWT_SECRET", SECRET)
        yield


def services(file: str, *profiles: str) -> dict[str, Any]:
    """The services of these profiles, as Docker Compose resolves them."""
    chosen = [word for profile in profiles for word in ("--profile", profile)]
    done = run("docker-compose", "--file", file, *chosen, "config", "--format", "json")
    assert not done.stderr, done.stderr
    assert done.returncode == 0
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


@pytest.fixture(scope="module", params=FILES)
def each(request: pytest.FixtureRequest) -> dict[str, Any]:
    """All services of a file."""
    return services(request.param, "*")


def test_without_a_secret_compose_says_how_to_make_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET", "")
    done = run("docker-compose", "--file", FILES[0], "config", "--quiet")
    assert done.returncode != 0
    assert 'echo "JWT_SECRET=$(openssl rand -hex 32)" >> .env' in done.stderr


def test_our_services_start_with_their_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also as in production, whose rules then know what is insecure here on purpose."""
    for environment in ("development", "production"):
        monkeypatch.setenv("ENVIRONMENT", environment)
        if environment == "production":
            monkeypatch.setenv("DATA_SECRETS", "a-secret-of-at-least-thirty-two-bytes")
        for name in OURS | {"cart"}:
            given = services(FILES[0], "*")[name]["environment"]
            with pytest.MonkeyPatch.context() as process:
                for variable in KNOWN | {"NODE_ENV"}:
                    process.delenv(variable, raising=False)
                # As the image has it.
                for variable, value in {"HOST": "0.0.0.0", **given}.items():
                    process.setenv(variable, value)
                assert Settings().environment == environment, name


def test_images_are_pinned_and_name_no_registry(each: dict[str, Any]) -> None:
    for name, service in each.items():
        image, _, tag = service["image"].partition(":")
        assert tag, name
        assert tag != "latest", name
        assert "." not in image.split("/")[0], f"{name} names a registry"


def test_ports_are_published_on_the_loopback_interface_only(each: dict[str, Any]) -> None:
    for name, service in each.items():
        for port in service.get("ports", []):
            assert port["host_ip"] == "127.0.0.1", name


def test_every_service_has_limits_and_no_privileges(each: dict[str, Any]) -> None:
    for name, service in each.items():
        limits = service["deploy"]["resources"]["limits"]
        assert limits["cpus"], name
        assert limits["memory"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["restart"], name


def test_without_a_profile_only_the_servers_start() -> None:
    everything, app = services(FILES[0], "*"), services(FILES[0], "app")
    servers = services(FILES[0])
    assert set(app) - set(servers) == OURS
    assert set(everything) - set(app) == {"cart"}
    assert {"mongodb", "redis", "kafka", "temporal", "temporal-ui"} <= set(servers)
    assert {"prometheus", "grafana"} <= set(servers)


def test_our_services_have_a_read_only_filesystem_and_known_settings() -> None:
    found = services(FILES[0], "*")
    for name in OURS | {"cart"}:
        service = found[name]
        assert service["read_only"], name
        assert set(service["environment"]) <= KNOWN, name


def test_our_services_wait_for_setup_and_setup_for_its_servers() -> None:
    found = services(FILES[0], "*")
    for name in OURS - {"setup", "inventory"}:
        assert (
            found[name]["depends_on"]["setup"]["condition"] == "service_completed_successfully"
        ), name
    assert set(found["setup"]["depends_on"]) == {"mongodb", "kafka", "temporal-namespace"}


def test_our_services_have_time_to_drain() -> None:
    found = services(FILES[0], "*")
    for name, seconds in DRAINS.items():
        assert GRACE_SECONDS[found[name]["stop_grace_period"]] > seconds, name


def test_the_servers_for_tests_keep_no_data_and_use_other_ports() -> None:
    test, usual = services(FILES[1], "*"), services(FILES[0], "*")
    taken = {port["published"] for service in usual.values() for port in service.get("ports", [])}
    for name, service in test.items():
        assert not {port["published"] for port in service.get("ports", [])} & taken, name
        kept = [volume for volume in service.get("volumes", []) if volume["type"] == "volume"]
        assert not kept, name


def test_temporal_has_the_dynamic_config_of_the_tests() -> None:
    given = yaml.safe_load((ROOT / "deploy/temporal/dynamic-config.yaml").read_text())
    assert {key: one["value"] for key, [one] in given.items()}.items() <= dynamic_config().items()
