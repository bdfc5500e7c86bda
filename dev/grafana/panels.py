"""Panels and dashboards, and the JSON that Grafana reads.

Source: Grafana's documentation, "Dashboard JSON model" and "Provision Grafana".
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, Literal

WIDTH = 24  # of a page, in Grafana's columns
HEIGHT = 8
TAG = "cart-service"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

Kind = Literal["timeseries", "stat"]
Unit = Literal["short", "reqps", "ms", "s", "percentunit", "percent", "bytes", "bool"]
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """What to ask Prometheus, and what to call each series; `{{label}}` is a label's value."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """`means` is what somebody needs to know to read it."""

    title: str
    queries: Sequence[Query]
    means: str = ""
    unit: Unit = "short"
    kind: Kind = "timeseries"
    stacked: bool = False
    width: int = WIDTH // 3


@dataclass(frozen=True, slots=True)
class Board:
    """A page of panels, in the order of reading."""

    name: str
    title: str
    panels: Sequence[Panel]


def text_of(board: Board) -> str:
    """The file that Grafana reads."""
    whole = {
        "uid": f"cart-{board.name}",
        "title": f"Cart: {board.title}",
        "tags": [TAG],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,  # one crosshair in all panels
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_choice_of_datasource()]},
        "links": [{"type": "dashboards", "tags": [TAG], "title": "", "keepTime": True}],
        "panels": list(_placed(board.panels)),
    }
    return json.dumps(whole, indent=1) + "\n"


def _choice_of_datasource() -> Json:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
    }


def _placed(panels: Iterable[Panel]) -> Iterable[Json]:
    """From left to right; one that does not fit begins the next line."""
    x = y = 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > WIDTH:
            x, y = 0, y + HEIGHT
        position = {"x": x, "y": y, "w": panel.width, "h": HEIGHT}
        yield {"id": number, "gridPos": position, **_panel(panel)}
        x += panel.width


def _panel(panel: Panel) -> Json:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.means,
        "datasource": DATASOURCE,
        "targets": [
            {"refId": letter, "expr": query.expr, "legendFormat": query.legend or panel.title}
            for letter, query in zip(ascii_uppercase, panel.queries, strict=False)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
    }


def _defaults(panel: Panel) -> Json:
    defaults: Json = {"unit": panel.unit, "min": 0}
    if panel.kind == "timeseries":
        stacking = {"mode": "normal" if panel.stacked else "none"}
        defaults["custom"] = {"fillOpacity": 30 if panel.stacked else 5, "stacking": stacking}
    return defaults


def _options(panel: Panel) -> Json:
    if panel.kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "area"}
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
    return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
