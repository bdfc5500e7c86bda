"""Dashboards for Grafana: `boards` says what they ask, `panels` how that is written for Grafana.

`python -m dev.grafana` writes `deploy/grafana/dashboards/*.json`, which
`deploy/grafana/provisioning` hands to Grafana.
"""
