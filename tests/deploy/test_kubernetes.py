"""deploy/k8s: each overlay is built by kustomize and validated against Kubernetes' schema."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.setup import PARTITIONS
from settings import Settings
from tests.deploy.tools import DRAINS, KNOWN, ROOT, SECRET, documents, run

K8S = ROOT / "deploy/k8s"
OVERLAYS = ("dev", "staging", "prod", "prod/blue", "prod/green", "prod/canary")
WORKLOADS = {"Deployment", "StatefulSet", "Job"}
# What docs/deploy.md says each process's secret has.
SERVERS = {
    "MONGODB_URI": "mongodb://u:p@mongo/cart-service?tls=true",
    "KAFKA_SASL_USERNAME": "cart",
    "KAFKA_SASL_PASSWORD": "a-password",
}
DATA = {"DATA_SECRETS": "a-secret-of-at-least-thirty-two-bytes"}
REDIS = {"REDIS_URL": "rediss://:p@redis/0"}
INVENTORY = {"INVENTORY_TOKEN": "a-token"}
SECRETS = {
    "api": SERVERS | DATA | REDIS | INVENTORY,
    "worker": SERVERS | DATA | REDIS | INVENTORY,
    "consumer": SERVERS | DATA | REDIS,
    "setup": SERVERS | DATA,
}
PUBLISHED = ["/api/v1/cart", "/api/v1/guests"]
JWT = {"JWT_SECRET": "a-secret-of-these-tests-that-has-32-bytes"}

HTTPS = 443

Resources = list[dict[str, Any]]
_built: dict[str, Resources] = {}


def built(overlay: str) -> Resources:
    """The overlay's resources, built once."""
    if overlay not in _built:
        done = run("kubectl", "kustomize", str(K8S / "overlays" / overlay))
        assert done.returncode == 0, done.stderr
        assert not done.stderr, done.stderr
        _built[overlay] = documents(done.stdout)
    return _built[overlay]


def of_kind(resources: Resources, *kinds: str) -> Resources:
    return [resource for resource in resources if resource["kind"] in kinds]


def named(resources: Resources, kind: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in of_kind(resources, kind) if each["metadata"]["name"] == name]
    return found


def pods(resources: Resources) -> list[tuple[str, dict[str, Any]]]:
    """Name and pod of each workload."""
    return [
        (each["metadata"]["name"], each["spec"]["template"]["spec"])
        for each in of_kind(resources, *WORKLOADS)
    ]


def settings_of(resources: Resources) -> dict[str, str]:
    (config,) = of_kind(resources, "ConfigMap")
    data: dict[str, str] = config["data"]
    return data


def test_each_overlay_is_valid(tmp_path: Path) -> None:
    manifests = []
    for overlay in OVERLAYS:
        manifests.append(tmp_path / f"{overlay.replace('/', '-')}.yaml")
        # The schemas are Kubernetes' own; the Gateway API is an extension.
        known = [one for one in built(overlay) if one["kind"] != "HTTPRoute"]
        manifests[-1].write_text(yaml.safe_dump_all(known))
    checked = run("kubernetes-validate", "--strict", *map(str, manifests))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "WARN" not in checked.stdout + checked.stderr


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_settings_are_known_and_secrets_are_not_among_them(overlay: str) -> None:
    given = set(settings_of(built(overlay)))
    assert not given - KNOWN
    assert not given & SECRET
    for secret in of_kind(built(overlay), "Secret"):
        assert set(secret["data"]) <= KNOWN
        assert overlay == "dev", "secrets are made outside, but for development"


@pytest.mark.parametrize("process", SECRETS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_process_starts_with_its_settings_and_its_own_secret(
    overlay: str, process: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = pod_of(overlay, process)
    (container,) = pod["containers"]
    names = [one["secretRef"]["name"] for one in container["envFrom"] if "secretRef" in one]
    known = {f"cart-{process}-secrets": SECRETS[process], "cart-jwt": JWT}
    given = {"HOST": "0.0.0.0", **settings_of(built(overlay))}
    for name in names:
        [of_name] = [each for each in known if name.startswith(each)]
        given |= known[of_name]
    given |= {one["name"]: one["value"] for one in container.get("env", ())}
    for name in KNOWN | {"NODE_ENV"}:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert Settings().environment == settings_of(built(overlay))["ENVIRONMENT"]


def pod_of(overlay: str, process: str) -> dict[str, Any]:
    """The pod of one of our processes."""
    [found] = [
        each["spec"]["template"]["spec"]
        for each in of_kind(built(overlay), *WORKLOADS)
        if each["metadata"]["name"].startswith(f"cart-{process}")
    ]
    pod: dict[str, Any] = found
    return pod


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_process_gets_the_secret_of_another(overlay: str) -> None:
    for process in SECRETS:
        (container,) = pod_of(overlay, process)["containers"]
        names = [one["secretRef"]["name"] for one in container["envFrom"] if "secretRef" in one]
        own = [name for name in names if name.startswith(f"cart-{process}-secrets")]
        assert [*own, *(["cart-jwt"] if (overlay, process) == ("dev", "api") else [])] == names


@pytest.mark.parametrize("overlay", ["dev", "staging", "prod"])
def test_only_the_api_is_published(overlay: str) -> None:
    """By the Gateway API; in `dev` by an Ingress of the cluster's default class."""
    resources = built(overlay)
    if overlay == "dev":
        [ingress] = of_kind(resources, "Ingress")
        assert "ingressClassName" not in ingress["spec"]
        [rule] = ingress["spec"]["rules"]
        assert [path["path"] for path in rule["http"]["paths"]] == PUBLISHED
        return
    [route] = of_kind(resources, "HTTPRoute")
    assert not of_kind(resources, "Ingress")
    assert route["apiVersion"] == "gateway.networking.k8s.io/v1"
    [rule] = route["spec"]["rules"]
    paths = [{"path": {"type": "PathPrefix", "value": path}} for path in PUBLISHED]
    assert rule["matches"] == paths
    [backend] = rule["backendRefs"]
    service = named(resources, "Service", backend["name"])
    assert backend["port"] in [port["port"] for port in service["spec"]["ports"]]


@pytest.mark.parametrize("overlay", ["dev", "staging", "prod"])
def test_egress_is_limited(overlay: str) -> None:
    policies = of_kind(built(overlay), "NetworkPolicy")
    rules = [rule for policy in policies for rule in policy["spec"].get("egress", ())]
    assert rules
    for rule in rules:
        assert rule["to"], "to anywhere"
        assert rule["ports"], "to any port"
        for peer in rule["to"]:
            block = peer.get("ipBlock")
            if block:
                assert "169.254.0.0/16" in block["except"], "the cloud's metadata service"
            is_https = any(port["port"] == HTTPS for port in rule["ports"])
            if block and is_https:
                assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"} <= set(block["except"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_have_no_needless_privileges(overlay: str) -> None:
    for name, pod in pods(built(overlay)):
        assert pod["automountServiceAccountToken"] is False, name
        # Otherwise a Service named redis would set REDIS_PORT to a URL.
        assert pod["enableServiceLinks"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert context["readOnlyRootFilesystem"] is (name != "kafka"), name
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}, name
            assert "memory" in container["resources"]["limits"], name
            assert ":" in container["image"], f"{name}: no tag"
            assert "." not in container["image"].split(":")[0], f"{name} names a registry"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_have_probes_and_time_to_drain(overlay: str) -> None:
    suffix = overlay.partition("/")[2] or ("blue" if overlay == "prod" else "")
    for process in DRAINS:
        name = f"cart-{process}-{suffix}".rstrip("-")
        pod = named(built(overlay), "Deployment", name)["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert {"startupProbe", "livenessProbe"} <= set(container)
        pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert pod["terminationGracePeriodSeconds"] > pause + DRAINS[process], name


@pytest.mark.parametrize(
    ("overlay", "level", "fewest", "most"),
    [("dev", "debug", 1, 1), ("staging", "info", 2, 3), ("prod", "warn", 5, 20)],
)
def test_each_overlay_has_its_replicas_and_log_level(
    overlay: str, level: str, fewest: int, most: int
) -> None:
    resources = built(overlay)
    assert settings_of(resources)["LOG_LEVEL"] == level
    scaled = {
        each["spec"]["scaleTargetRef"]["name"]: each["spec"]
        for each in of_kind(resources, "HorizontalPodAutoscaler")
    }
    for deployment in of_kind(resources, "Deployment"):
        name = deployment["metadata"]["name"]
        if "consumer" in name:
            # More consumers than partitions would be idle.
            assert min(fewest, PARTITIONS) <= deployment["spec"]["replicas"] <= PARTITIONS
        elif overlay == "dev":
            assert deployment["spec"]["replicas"] == 1
        else:
            assert "replicas" not in deployment["spec"], "an apply would undo the autoscaler"
            assert (scaled[name]["minReplicas"], scaled[name]["maxReplicas"]) == (fewest, most)


def test_requests_reach_only_the_live_slot_and_the_canary() -> None:
    selector = named(built("prod"), "Service", "cart-api")["spec"]["selector"]
    slots = {}
    for overlay in ("prod/blue", "prod/green", "prod/canary"):
        for deployment in of_kind(built(overlay), "Deployment"):
            labels = deployment["spec"]["template"]["metadata"]["labels"]
            name = deployment["metadata"]["name"]
            slots[name] = selector.items() <= labels.items()
    assert {name for name, selected in slots.items() if selected} == {
        "cart-api-blue",
        "cart-api-canary",
    }
    assert named(built("prod"), "Deployment", "cart-api-blue"), (
        "the overlay must apply the live slot"
    )


def test_production_deployments_do_not_select_pods_of_another() -> None:
    deployments = [
        deployment
        for overlay in ("prod/blue", "prod/green", "prod/canary")
        for deployment in of_kind(built(overlay), "Deployment")
    ]
    for one in deployments:
        selector = one["spec"]["selector"]["matchLabels"].items()
        taken = [
            other["metadata"]["name"]
            for other in deployments
            if selector <= other["spec"]["template"]["metadata"]["labels"].items()
        ]
        assert taken == [one["metadata"]["name"]]


@pytest.mark.parametrize("overlay", ["prod/blue", "prod/green", "prod/canary"])
def test_workers_have_the_version_of_their_image(overlay: str) -> None:
    suffix = overlay.partition("/")[2]
    worker = named(built(overlay), "Deployment", f"cart-worker-{suffix}")
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    build_id = settings_of(built(overlay))["TEMPORAL_WORKER_BUILD_ID"]
    assert container["image"] == f"cart-service:{build_id}"


@pytest.mark.parametrize("overlay", ["dev", "staging"])
def test_workers_in_rolling_deployments_have_no_version(overlay: str) -> None:
    assert "TEMPORAL_WORKER_BUILD_ID" not in settings_of(built(overlay))


def test_rules_and_dashboards_are_shipped_as_config_maps() -> None:
    dashboards = {file.name for file in (ROOT / "deploy/grafana/dashboards").iterdir()}
    for folder, shipped in (
        ("deploy/prometheus", {"alerts.yml", "kubernetes.yml"}),
        ("deploy/grafana", dashboards),
    ):
        done = run("kubectl", "kustomize", folder)
        assert done.returncode == 0, done.stderr
        [config] = documents(done.stdout)
        assert config["metadata"]["namespace"] == "monitoring"
        assert set(config["data"]) == shipped
