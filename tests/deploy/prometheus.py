"""A Prometheus with the rules of the project, which scrapes the processes of a running stack."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from dev.stack.ports import free_ports
from dev.stack.process import ProcessSpec
from dev.stack.servers import http_probe
from dev.stack.supervisor import Supervisor
from settings import LOCALHOST, Settings
from tests.deploy.tools import ROOT
from tests.support.waiting import eventually

FOLDER = ROOT / "deploy/prometheus"
EVERY = "1s"
# The times of each rule -> its times in these tests.
SHORTER = {
    "[30s]": "[5s]",
    "[1m]": "[10s]",
    "[2m]": "[15s]",
    "[1h] offset 2m": "[45s] offset 20s",
    "> 1800": "> 5",
}


@dataclass(frozen=True)
class Prometheus:
    """A client of a running Prometheus."""

    http: httpx.AsyncClient

    async def ask(self, path: str, **parameters: str) -> Any:
        """The data of a response of its API, which must be a success without warnings."""
        answer = await self.http.get(f"/api/v1/{path}", params=parameters)
        assert answer.status_code == 200, f"{parameters}: {answer.text}"
        body = answer.json()
        assert body["status"] == "success"
        assert not body.get("warnings"), body
        return body["data"]

    async def alerts(self) -> set[str]:
        """The names of the alerts that fire."""
        found = (await self.ask("alerts"))["alerts"]
        return {one["labels"]["alertname"] for one in found if one["state"] == "firing"}

    async def fires(self, alert: str) -> None:
        async def firing() -> None:
            assert alert in await self.alerts()

        await eventually(firing, timeout=60, interval=0.25)

    async def is_over(self, alert: str) -> None:
        async def silent() -> None:
            assert alert not in await self.alerts()

        await eventually(silent, timeout=60, interval=0.25)


def targets(settings: Settings, port: int) -> dict[str, int]:
    """The jobs of prometheus.yml that run on this machine, and their ports."""
    return {
        "prometheus": port,
        "cart-api": settings.port,
        "cart-worker": settings.worker_metrics_port,
        "cart-consumer": settings.consumer_metrics_port,
    }


def configuration(settings: Settings, port: int) -> dict[str, Any]:
    """The project's configuration with local addresses and shorter intervals."""
    config: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": EVERY, "evaluation_interval": EVERY}
    here = targets(settings, port)
    config["scrape_configs"] = [
        {
            "job_name": job["job_name"],
            "static_configs": [{"targets": [f"{LOCALHOST}:{here[job['job_name']]}"]}],
        }
        for job in config["scrape_configs"]
        if job["job_name"] in here
    ]
    return config


def rules_with_short_times() -> dict[str, Any]:
    """The rules of the project with shorter ranges, and alerts after a second."""
    text = (FOLDER / "alerts.yml").read_text()
    for usual, short in SHORTER.items():
        text = text.replace(usual, short)
    rules: dict[str, Any] = yaml.safe_load(text)
    for group in rules["groups"]:
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = EVERY
    return rules


@asynccontextmanager
async def prometheus(settings: Settings, folder: Path) -> AsyncIterator[Prometheus]:
    """Runs a Prometheus on the loopback interface."""
    port = free_ports()["PORT"]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration(settings, port)))
    (folder / "alerts.yml").write_text(yaml.safe_dump(rules_with_short_times()))
    url = f"http://{LOCALHOST}:{port}"
    spec = ProcessSpec(
        name="prometheus",
        argv=(
            str(shutil.which("prometheus")),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={LOCALHOST}:{port}",
            "--log.level=warn",
        ),
        probe=http_probe(f"{url}/-/ready"),
    )
    async with (
        Supervisor([spec], log_dir=folder, echo=print),
        httpx.AsyncClient(base_url=url, timeout=10) as http,
    ):
        yield Prometheus(http)
