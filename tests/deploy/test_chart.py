"""deploy/chart: rendered by Helm, compared with the kustomize base, and validated.

The tests that need Helm are skipped without it; what the schema says is tested in any case.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from settings import Settings
from tests.deploy.test_kubernetes import Resources, named, of_kind, pods
from tests.deploy.tools import KNOWN, ROOT, SECRET, documents, needs, run

CHART = ROOT / "deploy/chart"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
IMAGE = "cart-service"
# Of the cluster that Helm would ask; a Helm without its release's build flags assumes 1.20.
CLUSTER = ("--kube-version", "1.34.0")
# Labels and annotations that only one of the two sources has.
OWN = {
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
    "checksum/config",
    "helm.sh/chart",
}
EXTENSIONS = {"HTTPRoute", "ScaledObject", "WorkerDeployment", "WorkerResourceTemplate"}
VARIANTS: dict[str, tuple[str, ...]] = {
    "defaults": (),
    "gateway": ("gateway.enabled=true",),
    "ingress": ("ingress.enabled=true",),
    "keda": (
        "consumer.keda.enabled=true",
        "consumer.keda.authentication=kafka",
        "consumer.keda.sasl=scram_sha512",
        "consumer.keda.tls=true",
    ),
    "manual": (
        "worker.versions.mode=manual",
        "image.tag=1.2.0",
        "worker.versions.draining={1.1.0,1.0.0}",
    ),
    "controller": (
        "worker.versions.mode=controller",
        "worker.versions.controller.connection=temporal",
    ),
}


@cache
def rendered(variant: str) -> Resources:
    """The chart's objects as the release `cart` in the namespace `shop`."""
    values = [word for value in VARIANTS[variant] for word in ("--set", value)]
    done = run("helm", "template", "cart", str(CHART), "--namespace", "shop", *CLUSTER, *values)
    assert done.returncode == 0, done.stderr
    return documents(done.stdout)


def refusal(*values: str) -> str:
    """What Helm says about values that it must refuse."""
    words = [word for value in values for word in ("--set", value)]
    done = run("helm", "template", "cart", str(CHART), *CLUSTER, *words)
    assert done.returncode != 0
    return done.stderr


def base() -> Resources:
    done = run("kubectl", "kustomize", str(ROOT / "deploy/k8s/base"))
    assert done.returncode == 0, done.stderr
    return documents(done.stdout)


def comparable(value: Any, config_map: str) -> Any:
    """Without the labels, names and defaults by which the two sources differ on purpose."""
    if isinstance(value, dict):
        kept = {
            key: comparable(one, config_map)
            for key, one in value.items()
            if key not in OWN and not (key == "imagePullPolicy" and one == "IfNotPresent")
        }
        return {key: one for key, one in kept.items() if key != "labels" or one}
    if isinstance(value, list):
        return [comparable(one, config_map) for one in value]
    if value == config_map:
        return "cart-config"
    if value == "cart-setup-1":
        return "cart-setup"
    if isinstance(value, str) and value.split(":")[0] == IMAGE:
        return IMAGE
    return value


def by_name(resources: Resources) -> dict[tuple[str, str], Any]:
    [config] = of_kind(resources, "ConfigMap")
    found = {}
    for each in resources:
        plain = comparable(each, config["metadata"]["name"])
        # kustomize labels only the pods and the objects of `labels`; who made an object is no fact
        # of the service.
        plain["metadata"].pop("labels", None)
        found[plain["kind"], plain["metadata"]["name"]] = plain
    return found


@needs("helm")
def test_helm_finds_no_problem() -> None:
    for variant in VARIANTS.values():
        values = [word for value in variant for word in ("--set", value)]
        done = run("helm", "lint", "--strict", str(CHART), *CLUSTER, *values)
        assert done.returncode == 0, done.stdout + done.stderr


@needs("helm")
def test_the_chart_has_the_objects_of_the_kustomize_base() -> None:
    ours, theirs = by_name(rendered("defaults")), by_name(base())
    assert ours.keys() == theirs.keys()
    for key, one in theirs.items():
        assert ours[key] == one, key


@needs("helm")
@pytest.mark.parametrize(
    ("variant", "kind", "file"),
    [
        ("gateway", "HTTPRoute", "components/gateway/http-route.yaml"),
        ("ingress", "Ingress", "components/ingress/ingress.yaml"),
    ],
)
def test_a_way_in_is_that_of_the_components(variant: str, kind: str, file: str) -> None:
    [ours] = of_kind(rendered(variant), kind)
    [theirs] = documents((ROOT / "deploy/k8s" / file).read_text())
    del ours["metadata"]["labels"]
    assert ours == theirs


@needs("helm")
@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_is_valid(variant: str, tmp_path: Path) -> None:
    known = [one for one in rendered(variant) if one["kind"] not in EXTENSIONS]
    manifest = tmp_path / "rendered.yaml"
    manifest.write_text(yaml.safe_dump_all(known))
    checked = run("kubernetes-validate", "--strict", str(manifest))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "WARN" not in checked.stdout + checked.stderr


@needs("helm")
def test_with_keda_the_lag_decides_how_many_consumers_there_are() -> None:
    assert "replicas" not in named(rendered("keda"), "Deployment", "cart-consumer")["spec"]
    [scaled] = of_kind(rendered("keda"), "ScaledObject")
    [trigger] = scaled["spec"]["triggers"]
    assert scaled["spec"]["scaleTargetRef"] == {"name": "cart-consumer"}
    assert trigger["authenticationRef"] == {"name": "kafka"}
    assert trigger["metadata"] == {
        "bootstrapServers": VALUES["config"]["KAFKA_BROKERS"],
        "consumerGroup": Settings.model_fields["kafka_group_id"].default,
        "lagThreshold": "100",
        "sasl": "scram_sha512",
        "tls": "enable",
    }


@needs("helm")
def test_workers_of_earlier_versions_stay_until_their_sagas_have_ended() -> None:
    resources = rendered("manual")
    workers = {
        each["metadata"]["name"]: each
        for each in of_kind(resources, "Deployment")
        if "worker" in each["metadata"]["name"]
    }
    assert set(workers) == {"cart-worker-1-2-0", "cart-worker-1-1-0", "cart-worker-1-0-0"}
    for name, each in workers.items():
        [container] = each["spec"]["template"]["spec"]["containers"]
        tag = name.removeprefix("cart-worker-").replace("-", ".")
        environment = {one["name"]: one["value"] for one in container["env"]}
        assert container["image"] == f"{IMAGE}:{tag}"
        assert environment["TEMPORAL_WORKER_BUILD_ID"] == tag
        selector = each["spec"]["selector"]["matchLabels"].items()
        selected = [
            other
            for other, that in workers.items()
            if selector <= that["spec"]["template"]["metadata"]["labels"].items()
        ]
        assert selected == [name]
        assert named(resources, "HorizontalPodAutoscaler", name)
    # `cart doctor` in the API's pod compares with it.
    [config] = of_kind(resources, "ConfigMap")
    assert config["data"]["TEMPORAL_WORKER_BUILD_ID"] == "1.2.0"


@needs("helm")
def test_the_worker_controller_gets_the_same_pod_and_a_name_that_our_settings_accept() -> None:
    resources = rendered("controller")
    [deployment] = of_kind(resources, "WorkerDeployment")
    usual = named(rendered("defaults"), "Deployment", "cart-worker")
    assert deployment["spec"]["template"] == usual["spec"]["template"]
    assert not [name for name, _ in pods(resources) if "worker" in name]
    [config] = of_kind(resources, "ConfigMap")
    name = config["data"]["TEMPORAL_DEPLOYMENT_NAME"]
    assert name == "shop/cart-worker", "as the controller names it"
    assert Settings(temporal_deployment_name=name).temporal_deployment_name == name
    [scaling] = of_kind(resources, "WorkerResourceTemplate")
    scaler = named(rendered("defaults"), "HorizontalPodAutoscaler", "cart-worker")
    expected = {**scaler["spec"], "scaleTargetRef": {}}
    assert scaling["spec"]["template"]["spec"] == expected


@needs("helm")
def test_values_that_cannot_be_meant_are_refused() -> None:
    for name in sorted(SECRET):
        assert name in refusal(f"config.{name}=x"), "a secret in the config map"
    assert "wroker" in refusal("wroker.resources.limits.memory=1Gi")
    assert "keda" in refusal("consumer.keda.minReplicas=0")
    assert "connection" in refusal("worker.versions.mode=controller")


def test_the_schema_describes_each_value() -> None:
    def check(schema: dict[str, Any], values: Any, path: str) -> None:
        assert path == "" or len(schema["description"]) > 10, path
        if "properties" in schema:
            assert schema["additionalProperties"] is False, path
            assert set(values) <= set(schema["properties"]), path
            for name, one in schema["properties"].items():
                assert name in values or name == "global", f"{path}.{name} is not in values.yaml"
                check(one, values.get(name), f"{path}.{name}")

    check(SCHEMA, VALUES, "")
    jsonschema.validate(VALUES, SCHEMA)


def test_the_schema_knows_which_settings_are_secret() -> None:
    assert set(SCHEMA["properties"]["config"]["propertyNames"]["not"]["enum"]) == SECRET
    assert set(VALUES["config"]) <= KNOWN
