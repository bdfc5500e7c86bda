"""Runs the tools that check the deployment files, and shared facts about the settings."""

import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import worker
from adapters.kafka import consumer as event_consumer
from settings import Settings

ROOT = Path(__file__).parents[2]
# Variables that the Temporal SDK reads.
TEMPORALS_OWN = {
    "TEMPORAL_ADDRESS",
    "TEMPORAL_API_KEY",
    "TEMPORAL_NAMESPACE",
    "TEMPORAL_TLS",
    "TEMPORAL_TLS_CLIENT_CERT_PATH",
    "TEMPORAL_TLS_CLIENT_KEY_PATH",
    "TEMPORAL_TLS_SERVER_CA_CERT_PATH",
    "TEMPORAL_TLS_SERVER_NAME",
}
KNOWN = {name.upper() for name in Settings.model_fields} | TEMPORALS_OWN
SECRET = {"KAFKA_SASL_USERNAME", "KAFKA_OAUTH_CLIENT_ID", "TEMPORAL_API_KEY"} | {
    name.upper()
    for name, field in Settings.model_fields.items()
    if "SecretStr" in str(field.annotation)
}
# The longest time from SIGTERM to the end of a process, in seconds.
_CLOSING = 2
DRAINS = {
    "api": math.ceil(Settings.model_fields["operation_wait_seconds"].default) + 1 + _CLOSING,
    "worker": worker.DRAIN_SECONDS + _CLOSING,
    "consumer": event_consumer.DRAIN_SECONDS + event_consumer.STOP_SECONDS + _CLOSING,
}


INSTALLED_BY = {
    "helm": "go install helm.sh/helm/v3/cmd/helm@v3.22.0",
    "actionlint": "go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12",
}


def needs(tool: str) -> pytest.MarkDecorator:
    """Skips a test without this tool."""
    missing = shutil.which(tool) is None
    how = INSTALLED_BY.get(tool, "Debian: apt-get install prometheus")
    return pytest.mark.skipif(missing, reason=f"no {tool} here ({how})")


def run(tool: str, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Runs a tool; the result of a failed one is returned too."""
    path = Path(sys.executable).with_name(tool)
    return subprocess.run(
        [str(path) if path.exists() else tool, *arguments],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def documents(text: str) -> list[dict[str, Any]]:
    """The YAML documents in a text."""
    return [document for document in yaml.safe_load_all(text) if document]
