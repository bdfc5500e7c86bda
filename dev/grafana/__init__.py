"""Grafana dashboards: `python -m dev.grafana` renders `boards.yml` for Grafana."""
