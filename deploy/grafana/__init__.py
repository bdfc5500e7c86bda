"""Dashboards for Grafana: `boards` says what they ask, `panels` how that is written for Grafana.

`python -m deploy.grafana` writes `dashboards/*.json`, which `provisioning` hands to Grafana.
"""
