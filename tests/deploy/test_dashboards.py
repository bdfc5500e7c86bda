"""deploy/grafana: the dashboards are current, and use metrics that exist."""

import json

import pytest
import yaml

from dev.grafana.__main__ import FOLDER, files
from telemetry.metrics import CATALOG
from tests.deploy.queries import names, panels, unknown
from tests.deploy.tools import ROOT


def test_the_dashboards_are_current() -> None:
    written = {file: file.read_text() for file in FOLDER.iterdir()}
    assert written == files(), "python -m dev.grafana"


@pytest.mark.parametrize(
    ("title", "query"),
    [(f"{board}: {title}", query) for board, title, query in panels()],
)
def test_each_panel_uses_metrics_that_exist(title: str, query: str) -> None:
    assert unknown(query) == [], title


def test_each_metric_has_a_panel() -> None:
    used = set().union(*(names(query) for _, _, query in panels()))
    ends = ("", "_bucket", "_count")
    missing = [
        metric.shown_as
        for metric in CATALOG.values()
        if not used & {metric.shown_as + end for end in ends}
    ]
    assert missing == []


@pytest.mark.parametrize("name", [file.stem for file in files()])
def test_panels_do_not_overlap(name: str) -> None:
    covered: set[tuple[int, int]] = set()
    for panel in json.loads((FOLDER / f"{name}.json").read_text())["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & covered, panel["title"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        covered |= cells


def test_compose_mounts_the_dashboards_into_grafana() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    mounts = dict(
        volume.removesuffix(":ro").split(":")
        for volume in compose["services"]["grafana"]["volumes"]
        if volume.startswith("./")
    )
    provisioning = ROOT / "deploy/grafana/provisioning"
    provider = yaml.safe_load((provisioning / "dashboards/cart-service.yml").read_text())
    [source] = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    [folder] = [one["options"]["path"] for one in provider["providers"]]
    assert mounts == {
        "./deploy/grafana/provisioning": "/etc/grafana/provisioning",
        "./deploy/grafana/dashboards": folder,
    }
    assert source["url"] == "http://prometheus:9090"
