#!/usr/bin/env python3
"""`docker` for a machine without a container engine: runs the service's containers as processes.

It reads the Compose files of the current folder by Docker Compose itself, and knows what
docs/tutorials/adopt.md needs: `compose up`, `kill`, `run` and `down`. Each container of the
service's image is a process of the environment `STANDIN_VENV`, with the container's environment,
arguments, mounted files and health check. The servers run already, at the ports that the file
publishes. `STANDIN_COMPOSE` is Docker Compose, `STANDIN_STATE` a folder for logs and process ids.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

VENV = Path(os.environ["STANDIN_VENV"])
STATE = Path(os.environ["STANDIN_STATE"])
HEALTHY_SECONDS = 300
# The order in which `depends_on` starts them, and what the image sets.
ORDER = ("setup", "inventory", "worker", "consumer", "api")
IMAGE_CHECK = ["CMD", "python", "-m", "heartbeat", "/tmp/heartbeat"]
IMAGE_COMMAND = ["python", "-m", "api"]
# Addresses inside the containers' network that the file publishes under another port.
INSIDE = {"kafka:19092": "kafka:9092"}


def project() -> dict[str, Any]:
    """The services of all profiles, as Docker Compose resolves them."""
    words = [os.environ["STANDIN_COMPOSE"], "--profile", "*", "config", "--format", "json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        sys.exit(done.stderr)
    services: dict[str, Any] = json.loads(done.stdout)["services"]
    return services


class Container:
    """One container of the service's image."""

    def __init__(self, name: str, services: dict[str, Any]) -> None:
        self.name, self.services, self.spec = name, services, services[name]
        self.pid_file, self.log = STATE / f"{name}.pid", STATE / f"{name}.log"
        self.heartbeat = STATE / f"{name}.heartbeat"

    @property
    def is_ours(self) -> bool:
        """Whether it runs the image of the service."""
        ours: bool = self.spec["image"] == self.services["api"]["image"]
        return ours

    def here(self, word: str) -> str:
        """A word of the container's arguments or environment, as this machine has it."""
        for inside, published in INSIDE.items():
            word = word.replace(inside, published)
        for name, service in self.services.items():
            for port in service.get("ports", ()):
                word = word.replace(f"{name}:{port['target']}", f"127.0.0.1:{port['published']}")
        for port in self.spec.get("ports", ()):
            word = word.replace(f"127.0.0.1:{port['target']}", f"127.0.0.1:{port['published']}")
            word = str(port["published"]) if word == str(port["target"]) else word
        for volume in self.spec.get("volumes", ()):
            word = word.replace(volume["target"], volume["source"])
        return word.replace("/tmp/heartbeat", str(self.heartbeat))

    def environment(self) -> dict[str, str]:
        given = self.spec["environment"]
        metrics = ("WORKER_METRICS_PORT", "CONSUMER_METRICS_PORT", "PORT")
        return {
            "PATH": f"{VENV}/bin",
            "HOME": str(STATE),
            **{name: os.environ[name] for name in metrics},
            **{name: self.here(value) for name, value in given.items()},
            "HOST": "127.0.0.1",
            "KAFKA_IDEMPOTENCE": "false",  # which the local broker refuses
            "HEARTBEAT_FILE": str(self.heartbeat),
        }

    def process(self, words: list[str], **options: Any) -> "subprocess.Popen[bytes]":
        program, *arguments = (self.here(word) for word in words)
        command = [str(VENV / "bin" / program), *arguments]
        return subprocess.Popen(command, env=self.environment(), cwd=STATE, **options)

    def start(self) -> None:
        self.heartbeat.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            words = self.spec.get("command") or IMAGE_COMMAND
            process = self.process(words, stdout=log, stderr=log, start_new_session=True)
        self.pid_file.write_text(str(process.pid))
        if self.name == "setup":
            if process.wait(HEALTHY_SECONDS):
                sys.exit(f"setup failed:\n{self.log.read_text()}")
        else:
            self._wait_until_healthy(process)

    def _wait_until_healthy(self, process: "subprocess.Popen[bytes]") -> None:
        check = self.spec.get("healthcheck", {}).get("test", IMAGE_CHECK)[1:]
        deadline = time.monotonic() + HEALTHY_SECONDS
        while self.process(check, stderr=subprocess.DEVNULL).wait():
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{self.name} is not healthy:\n{self.log.read_text()}")
            time.sleep(0.2)

    def end(self, number: signal.Signals) -> None:
        if self.pid_file.exists():
            pid = int(self.pid_file.read_text())
            self.pid_file.unlink()
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return

    @property
    def runs(self) -> bool:
        return self.pid_file.exists()


def compose(words: list[str]) -> int:
    services = project()
    options = {word for word in words if word.startswith("-")}
    match [word for word in words if word not in options or words[0] == "run"]:
        case ["up", *names]:
            assert {"-d", "--wait", "--no-build"} == options, options
            for name in ORDER:
                container = Container(name, services)
                assert container.is_ours, f"{name} needs another image: {container.spec['image']}"
                if not container.runs and (name in names or not names):
                    container.start()
        case ["kill", *names]:
            for name in names:
                Container(name, services).end(signal.SIGKILL)
        case ["down"]:
            for name in reversed(ORDER):
                Container(name, services).end(signal.SIGTERM)
        case ["run", "--rm", "-T", name, *arguments]:
            container = Container(name, services)
            assert container.is_ours, f"{name} needs another image: {container.spec['image']}"
            return container.process([*container.spec["entrypoint"], *arguments]).wait()
        case _:
            sys.exit(f"the stand-in has no compose {' '.join(words)}")
    return 0


if __name__ == "__main__":
    assert sys.argv[1] == "compose", sys.argv
    sys.exit(compose(sys.argv[2:]))
