"""Apache Kafka for tests: its jars by Maven, kept in the user's cache, and one broker of its own.

The local stack's broker keeps nothing and knows no idempotent producer, so what rests on either is
tested here. What is not in here: the tests' fixtures (`conftest`).
"""

import asyncio
import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

from adapters.events import ping
from deploy.local.ports import free_ports
from deploy.local.process import Process, ProcessSpec
from models.errors import DependencyUnavailable
from settings import LOCALHOST, Settings

POM = Path(__file__).with_name("pom.xml")
MAIN_JAR = "kafka_2.13-*.jar"
OLDEST_JAVA = 17
RESOLVE_SECONDS = 300
READY_SECONDS = 60
# Small and quick to start; a test's few thousand messages need no optimising compiler.
JVM = ("-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")


class NoKafkaHereError(Exception):
    """Why Apache Kafka cannot be run on this machine."""


def java() -> str:
    """The path of a Java that is new enough; raises `NoKafkaHereError`."""
    path = shutil.which("java")
    if path is None:
        raise NoKafkaHereError(f"no java: Apache Kafka needs Java {OLDEST_JAVA} or newer")
    answer = subprocess.run([path, "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "(\d+)', answer.stderr)
    if version is None or int(version[1]) < OLDEST_JAVA:
        found = answer.stderr.partition("\n")[0] or "it does not start"
        raise NoKafkaHereError(f"Apache Kafka needs Java {OLDEST_JAVA} or newer, not: {found}")
    return path


def jars() -> Path:
    """The folder with Kafka's jars, filled by Maven the first time."""
    pom = POM.read_bytes()
    version = re.search(rb"<artifactId>kafka_2.13</artifactId>\s*<version>(.+?)<", pom)
    assert version is not None
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cart-service"
    folder = cache / f"kafka-{version[1].decode()}-{hashlib.sha256(pom).hexdigest()[:8]}"
    if not any(folder.glob(MAIN_JAR)):
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as unfinished:
            _resolve(Path(unfinished) / "jars")
            with contextlib.suppress(OSError):  # somebody else was quicker
                (Path(unfinished) / "jars").rename(folder)
    return folder


def _resolve(folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise NoKafkaHereError("no mvn: Maven is needed once, to get Apache Kafka")
    command = [maven, "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
    command += [f"-DoutputDirectory={folder}", "-DincludeScope=runtime"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=RESOLVE_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise NoKafkaHereError(f"mvn has not finished within {RESOLVE_SECONDS} s") from None
    if done.returncode != 0:
        reason = (done.stdout + done.stderr).strip().partition("\n")[0]
        raise NoKafkaHereError(f"mvn cannot get Apache Kafka: {reason}")


class Broker:
    """One broker, which can be killed and started again on its data."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        """`settings` are those of the stack; `self.settings` the same with this broker."""
        ports = free_ports()
        self._folder = folder
        self._java = java()
        self._classpath = f"{jars()}/*"
        self.address = f"{LOCALHOST}:{ports['KAFKA_PORT']}"
        self.settings = with_brokers(settings, self.address)
        self._config = folder / "server.properties"
        self._config.write_text(_properties(self.address, ports["PORT"], folder / "data"))
        spec = ProcessSpec(
            name="apache-kafka", argv=self._command("kafka.Kafka", self._config), probe=_never
        )
        self._process = Process(spec, folder / "log")
        self._end: asyncio.Task[int] | None = None

    async def start(self) -> None:
        """Returns when it answers."""
        if not (self._folder / "data").exists():
            await self._format()
        await self._process.spawn()
        self._end = asyncio.create_task(self._process.wait())
        deadline = time.monotonic() + READY_SECONDS
        while True:
            assert self._process.running, "\n".join(self._process.tail())
            try:
                await ping(self.settings)
            except DependencyUnavailable:
                assert time.monotonic() < deadline, "\n".join(self._process.tail())
                await asyncio.sleep(0.1)
            else:
                return

    async def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self._process.kill()
        if self._end is not None:
            await self._end

    def freeze(self) -> None:
        """It keeps its connections and answers nothing."""
        self._process.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.signal(signal.SIGCONT)

    async def _format(self) -> None:
        cluster = str(uuid.uuid4())
        command = self._command("kafka.tools.StorageTool", "format", "-t", cluster, "-c")
        tool = await asyncio.create_subprocess_exec(
            *command, self._config, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await tool.communicate()
        assert tool.returncode == 0, output.decode()

    def _command(self, main_class: str, *arguments: str | Path) -> tuple[str, ...]:
        return (self._java, *JVM, "-cp", self._classpath, main_class, *map(str, arguments))


def with_brokers(settings: Settings, address: str) -> Settings:
    """These settings with `KAFKA_BROKERS` set, and what follows from it."""
    changed = settings.model_copy(update={"kafka_brokers": (address,)})
    for name in ("kafka", "kafka_idempotent_producer"):  # cached from the brokers before
        changed.__dict__.pop(name, None)
    return changed


def _properties(address: str, controller_port: int, data: Path) -> str:
    controller = f"{LOCALHOST}:{controller_port}"
    values = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{controller}",
        "listeners": f"PLAINTEXT://{address},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{address}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        "offsets.topic.num.partitions": "1",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        # After a kill the broker may come back only when its old session has ended: 9 s by default.
        "broker.session.timeout.ms": "2000",
        "broker.heartbeat.interval.ms": "500",
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


async def _never(_: Process) -> bool:
    raise NotImplementedError  # `Broker.start` asks for itself
