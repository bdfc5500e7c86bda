"""`python -m dev.grafana`: writes `deploy/grafana/dashboards/*.json` from `boards.yml`.

Source of the format: Grafana's documentation, "Dashboard JSON model" and "Provision Grafana".
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import yaml

BOARDS = Path(__file__).with_name("boards.yml")
FOLDER = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards"
WIDTH, HEIGHT = 24, 8  # of a page, in columns, and of a panel, in rows
WIDTHS = {"timeseries": WIDTH // 3, "stat": WIDTH // 4}
TAG = "cart-service"
Json = dict[str, Any]


def files() -> dict[Path, str]:
    """The content of each dashboard file."""
    boards = yaml.safe_load(BOARDS.read_text())
    return {FOLDER / f"{name}.json": render(name, **board) for name, board in boards.items()}


def render(name: str, title: str, panels: Sequence[Json]) -> str:
    """A dashboard as Grafana reads it."""
    datasource = {"name": "datasource", "label": "Prometheus", "type": "datasource"}
    dashboard = {
        "uid": f"cart-{name}",
        "title": f"Cart: {title}",
        "tags": [TAG],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,  # one crosshair in all panels
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [datasource | {"query": "prometheus"}]},
        "links": [{"type": "dashboards", "tags": [TAG], "title": "", "keepTime": True}],
        "panels": list(_placed(panels)),
    }
    return json.dumps(dashboard, indent=1) + "\n"


def _placed(panels: Sequence[Json]) -> Iterator[Json]:
    """Places panels from left to right; one that does not fit begins the next row."""
    x = y = 0
    for number, panel in enumerate(panels, 1):
        width = panel.pop("width", WIDTHS[panel.get("kind", "timeseries")])
        if x + width > WIDTH:
            x, y = 0, y + HEIGHT
        position = {"x": x, "y": y, "w": width, "h": HEIGHT}
        yield {"id": number, "gridPos": position, **_panel(**panel)}
        x += width


def _panel(
    *,
    title: str,
    queries: dict[str, str],
    about: str = "",
    unit: str = "short",
    kind: str = "timeseries",
    stacked: bool = False,
) -> Json:
    defaults: Json = {"unit": unit, "min": 0}
    if kind == "stat":
        options: Json = {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "area"}
    else:
        stacking = {"mode": "normal" if stacked else "none"}
        defaults["custom"] = {"fillOpacity": 30 if stacked else 5, "stacking": stacking}
        legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
        options = {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    return {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "targets": [
            {"refId": letter, "expr": expr, "legendFormat": legend}
            for letter, (legend, expr) in zip(ascii_uppercase, queries.items(), strict=False)
        ],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
    }


if __name__ == "__main__":
    for file, text in files().items():
        file.write_text(text)
