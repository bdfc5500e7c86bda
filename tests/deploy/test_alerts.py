"""deploy/prometheus: each alert fires alone within a minute of its fault, has a runbook entry, and
uses metrics that exist."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.alert_cases import AT_FAULT, CASES, EVERY, WELL, Case, gauge
from tests.deploy.queries import RECORDED, alerts, rules, unknown
from tests.deploy.tools import ROOT, needs, run

RUNBOOK = (ROOT / "docs/runbook.md").read_text()
PROMETHEUS = ROOT / "deploy/prometheus"
IN_A_TEXT = re.compile(r"\$labels\.(\w+)")


def firing(case: Case) -> list[dict[str, Any]]:
    """The expected samples of `ALERTS`."""
    labels = {**case.labels, "severity": case.severity}
    return [sample(case.alert, labels), *(sample(name, more) for name, more in case.also.items())]


def sample(alert: str, labels: Any) -> dict[str, Any]:
    all_labels = {"alertname": alert, "alertstate": "firing", **labels}
    text = ", ".join(f'{name}="{value}"' for name, value in all_labels.items())
    return {"labels": f"ALERTS{{{text}}}", "value": 1}


def asked(at: str, samples: list[dict[str, Any]]) -> dict[str, Any]:
    """A check of the alerts that fire at a time."""
    return {"expr": 'ALERTS{alertstate="firing"}', "eval_time": at, "exp_samples": samples}


def promtool(tmp_path: Path, *groups: dict[str, Any]) -> None:
    """Evaluates the rules on the series of each group; fails on a difference."""
    file = tmp_path / "test.yml"
    whole = {
        "rule_files": [str(PROMETHEUS / "alerts.yml")],
        "evaluation_interval": EVERY,
        "tests": groups,
    }
    file.write_text(yaml.safe_dump(whole, width=1000))
    done = run("promtool", "test", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


def group(series: Mapping[str, str], tests: list[dict[str, Any]]) -> dict[str, Any]:
    """A test group of promtool."""
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    return {"interval": EVERY, "input_series": inputs, "promql_expr_test": tests}


@needs("promtool")
def test_promtool_accepts_the_rules_and_the_configurations(tmp_path: Path) -> None:
    done = run("promtool", "check", "rules", str(PROMETHEUS / "alerts.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    # Debian's build has no discovery of pods.
    text = (PROMETHEUS / "kubernetes.yml").read_text()
    without_pods = tmp_path / "kubernetes.yml"
    without_pods.write_text(text.replace("    kubernetes_sd_configs: [{role: pod}]\n", ""))
    for file in (PROMETHEUS / "prometheus.yml", without_pods):
        done = run("promtool", "check", "config", "--syntax-only", str(file))
        assert done.returncode == 0, done.stdout + done.stderr


@needs("promtool")
def test_each_fault_fires_its_alert_within_a_minute_and_no_other(tmp_path: Path) -> None:
    promtool(
        tmp_path,
        *(
            group(WELL | case.series, [asked(AT_FAULT, []), asked(case.by, firing(case))])
            for case in CASES
        ),
    )


@needs("promtool")
def test_no_alert_fires_in_normal_operation_or_without_traffic(tmp_path: Path) -> None:
    quiet = {name: values for name, values in WELL.items() if name.startswith("up{")}
    quiet['cart_event_consume_lag{topic="order.completed", partition="0"}'] = gauge(0, 0)
    silent = [asked(f"{minute}m", []) for minute in range(1, 11)]
    promtool(tmp_path, group(WELL, silent), group(quiet, silent))


def test_each_alert_has_a_case() -> None:
    assert {case.alert for case in CASES} == {rule["alert"] for rule in alerts()}


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_each_alert_has_a_severity_texts_and_a_runbook_entry(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    texts = rule["annotations"]
    assert set(texts) == {"summary", "description", "runbook_url"}
    file, _, anchor = texts["runbook_url"].partition("#")
    assert file == "docs/runbook.md"
    assert anchor == rule["alert"].lower()
    assert f"\n### {rule['alert']}\n" in RUNBOOK
    known = {name for case in CASES if case.alert == rule["alert"] for name in case.labels}
    assert set(IN_A_TEXT.findall(" ".join(texts.values()))) <= known


def test_the_runbook_describes_exactly_the_alerts() -> None:
    described = set(re.findall(r"^### (Cart\w+)$", RUNBOOK, re.MULTILINE))
    assert described == {rule["alert"] for rule in alerts()}


def test_the_recorded_metrics_are_known() -> None:
    assert {rule["record"] for rule in rules() if "record" in rule} == set(RECORDED)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_each_rule_uses_metrics_that_exist(rule: dict[str, Any]) -> None:
    assert unknown(rule["expr"]) == []
