"""The queries of rules and dashboards, and the metrics and labels that they use."""

import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import yaml

from telemetry.metrics import CATALOG
from tests.deploy.tools import ROOT

DASHBOARDS = ROOT / "deploy/grafana/dashboards"
# Variables that Grafana replaces.
VARIABLES = {"$__rate_interval": "1m", "$__range": "1h"}

_TEXT = re.compile(r'"[^"]*"')
_SELECTED = re.compile(r"\{([^}]*)\}")
_DURATION = re.compile(r"\[[^\]]*\]")
_LABELS = re.compile(
    r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)", re.MULTILINE
)
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_NAME = re.compile(r"\b([a-zA-Z_][\w:]*)\b(?!\s*\()")
_WORDS = {"and", "or", "unless", "offset", "bool", "by", "without", "on", "ignoring"}
_HISTOGRAM = ("_bucket", "_count", "_sum")

# Metrics of Prometheus and of each Python process.
OTHERS = {
    "up",
    "ALERTS",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
}
# Metrics that rules record, with their labels.
RECORDED = {
    "cart:call_down": {"dependency", "call"},
    "cart:call_seconds:mean": {"dependency", "call"},
    "cart:request_errors:ratio": {"window"},
}
EVERYWHERE = {"job", "instance", "le", "alertname", "alertstate", "severity"}


def rules() -> list[dict[str, Any]]:
    """The rules in deploy/prometheus."""
    text = (ROOT / "deploy/prometheus/alerts.yml").read_text()
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def panels(folder: Path = DASHBOARDS) -> Iterator[tuple[str, str, str]]:
    """(dashboard, title of a panel, query), with the query as Grafana sends it."""
    for file in sorted(folder.glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", ()):
                query = target["expr"]
                for name, value in VARIABLES.items():
                    query = query.replace(name, value)
                yield file.stem, panel["title"], query


def names(query: str) -> set[str]:
    """The metrics in a query."""
    bare = _LABELS.sub("", _DURATION.sub("", _SELECTED.sub("", _TEXT.sub("", query))))
    return {name for name in _NAME.findall(bare) if name not in _WORDS}


def labels(query: str) -> set[str]:
    """The labels in the selectors and groupings of a query."""
    without_text = _TEXT.sub('""', query)
    chosen = [name for part in _SELECTED.findall(without_text) for name in _MATCHER.findall(part)]
    grouped = [name.strip() for part in _LABELS.findall(without_text) for name in part.split(",")]
    return {name for name in (*chosen, *grouped) if name}


def shown() -> dict[str, set[str]]:
    """Name at `/metrics` -> labels, for each metric of the service."""
    found: dict[str, set[str]] = {}
    for metric in CATALOG.values():
        attributes = {name.replace(".", "_") for name in metric.attributes}
        ends = _HISTOGRAM if metric.kind == "histogram" else ("",)
        found |= {metric.shown_as + end: attributes for end in ends}
    return found


def unknown(query: str) -> list[str]:
    """The metrics and labels in a query that the service does not show.

    `test_prometheus` checks the metrics of Temporal's SDK, which only a running service has.
    """
    known = shown() | RECORDED
    wanted = names(query)
    ours = {name for name in wanted if not name.startswith("temporal_")}
    missing = sorted(ours - set(known) - OTHERS)
    if ours == wanted:
        has = EVERYWHERE.union(*(known.get(name, set()) for name in wanted))
        missing += sorted(labels(query) - has)
    return missing


def of_temporal(queries: Collection[str]) -> set[str]:
    """The metrics of Temporal's SDK in these queries."""
    return {name for query in queries for name in names(query) if name.startswith("temporal_")}
