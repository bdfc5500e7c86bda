"""The local stack: which parts run here, what they need, and a handle on each for tests.

A part whose address is set (`MONGODB_URI`, `REDIS_URL` or `REDIS_HOST`, `KAFKA_BROKERS`,
`TEMPORAL_ADDRESS` or a profile that has one, `INVENTORY_SERVICE_URL`) is somebody else's and is not
started. Tests and the bench can have the servers of production (`dev.stack.production`) in place
of their stand-ins. What is not in here: what is printed around it (`dev.run`).
"""

import asyncio
import fcntl
import os
import shutil
import signal
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from temporalio.envconfig import ClientConfig, ClientConnectConfig

from dev.stack import apps, servers
from dev.stack.ports import PORT_SETTINGS, PortUse, check_ports
from dev.stack.process import Process, ProcessSpec, StackError
from dev.stack.production import servers as production
from dev.stack.supervisor import Echo, Supervisor, wait_until_ready
from settings import LOCALHOST, Settings

SERVERS = ("temporal", "mongodb", "redis", "kafka")
APPS = tuple(apps.APPS)
SETUP_SECONDS = 60


class Stack:
    """The local stack of one `LOCAL_DIR`, as an async context manager.

    `env` is the environment of the service's processes (default: ours). `parts` limits what is
    started; a part that is neither started nor external is taken to run already. `only_once` names
    processes that are not started again when they die. With `production`, Temporal runs on
    PostgreSQL, whose data ends with the stack, and Kafka is Apache's. `kafka_advertised` is the
    address that Kafka's clients are told, if it is not the broker's own.
    """

    def __init__(
        self,
        settings: Settings,
        env: Mapping[str, str] | None = None,
        echo: Echo = lambda _: None,
        *,
        parts: Collection[str] = (*SERVERS, *APPS),
        only_once: Collection[str] = (),
        production: bool = False,
        kafka_advertised: str = "",
    ) -> None:
        self.settings = settings
        self.local_dir = settings.local_dir.expanduser().absolute()
        self._given = dict(os.environ if env is None else env)
        self.external = external_parts(settings, self._given)
        self.env = self._environment()
        self._echo = echo
        self._parts = [name for name in parts if name not in self.external]
        self._asked = tuple(parts)
        self._only_once = frozenset(only_once)
        self._production = production
        self._kafka_advertised = kafka_advertised or f"{LOCALHOST}:{settings.kafka_port}"
        self._supervisor: Supervisor | None = None
        self._held = ExitStack()
        self._setting_up = asyncio.Lock()
        self._is_set_up = False

    # Running it

    def reset(self) -> None:
        """Clears the data of the servers."""
        with self._locked():
            for name in SERVERS:
                folder = self.local_dir / "data" / name
                if folder.exists():
                    shutil.rmtree(folder)

    async def start(self) -> None:
        """Starts all parts and returns when they are ready; raises `StackError`."""
        self._held.enter_context(self._locked())
        try:
            check_ports(self._ports())
            for name, address in self.external.items():
                if name in self._asked:
                    self._echo(f"  {name:<10} external         {address}")
            self._supervisor = Supervisor(
                self._specs(), log_dir=self.local_dir / "logs", echo=self._echo
            )
            await self._supervisor.start()
            if set(SERVERS) <= set(self._asked):
                await self._set_up()  # no process of ours may have waited for it
        except BaseException:
            await self.stop()
            raise

    async def wait(self) -> None:
        """Waits until it cannot go on; then all is stopped and `StackError` raised."""
        await self._running.wait()

    async def stop(self) -> None:
        if self._supervisor is not None:
            await self._supervisor.stop()
        self._held.close()

    def kill_all(self) -> None:
        """SIGKILL to every process, without waiting."""
        if self._supervisor is not None:
            self._supervisor.kill_all()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    # For tests: one process

    def process(self, name: str) -> Process:
        return self._running.process(name)

    async def kill(self, name: str, *, restart: bool | None = None) -> None:
        """SIGKILL; returns when it is gone. With `restart=False` it is down until `start_again`."""
        process = self.process(name)
        if restart is not None:
            process.restart = restart
        process.killed_on_purpose = True
        process.kill()
        await process.exited.wait()

    async def start_again(self, name: str, *, timeout: float = 60) -> None:
        """Starts a process that was left down and waits until it is ready."""
        process = self.process(name)
        if process.running:
            raise StackError(f"{name} is running")
        process.restart = process.spec.restart
        process.start_again.set()
        await wait_until_ready(process, timeout)

    def pause(self, name: str) -> None:
        """SIGSTOP: it keeps its connections and answers nothing."""
        self.process(name).signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        self.process(name).signal(signal.SIGCONT)

    async def wait_ready(self, name: str, *, timeout: float = 60) -> None:
        """Waits until it is up and answers."""
        await wait_until_ready(self.process(name), timeout)

    # What it is made of

    @property
    def _running(self) -> Supervisor:
        if self._supervisor is None:
            raise StackError("the stack is not started")
        return self._supervisor

    def _specs(self) -> list[ProcessSpec]:
        data = self.local_dir / "data"
        data.mkdir(parents=True, exist_ok=True)
        make: dict[str, Callable[[], Iterable[ProcessSpec]]] = {
            "temporal": lambda: self._temporal(data),
            "mongodb": lambda: [servers.mongodb(self.settings, data)],
            "redis": lambda: [servers.redis(self.settings, data)],
            "kafka": lambda: [self._kafka(data)],
        }
        specs = [spec for name in SERVERS if name in self._parts for spec in make[name]()]
        for name, app in apps.APPS.items():
            if name in self._parts:
                spec = app(self.settings, self.env)
                everything = spec.needs.issuperset(SERVERS)
                specs.append(replace(spec, before=self._set_up if everything else None))
        started = {spec.name for spec in specs}
        return [
            replace(
                spec,
                needs=spec.needs & started,
                restart=spec.name not in self._only_once,
            )
            for spec in specs
        ]

    def _temporal(self, data: Path) -> Iterable[ProcessSpec]:
        namespace = _temporal_config(self._given).get("namespace") or "default"
        if not self._production:
            return [servers.temporal(self.settings, data, namespace)]
        # Not in `data`: the folders above that may be closed to the user that PostgreSQL runs as.
        database = self._held.enter_context(
            TemporaryDirectory(prefix="cart-postgresql-", ignore_cleanup_errors=True)
        )
        return production.temporal(self.settings, data, Path(database), namespace)

    def _kafka(self, data: Path) -> ProcessSpec:
        if not self._production:
            advertised = self._kafka_advertised
            return servers.kafka(self.settings, data, advertised, self._create_topics)
        return production.kafka(self.settings, data, self._kafka_advertised)

    def _ports(self) -> list[PortUse]:
        uses = {
            "temporal": [
                PortUse(self.settings.temporal_port, "Temporal", "TEMPORAL_PORT"),
                PortUse(self.settings.temporal_ui_port, "Temporal Web UI", "TEMPORAL_UI_PORT"),
            ],
            "mongodb": [PortUse(self.settings.mongodb_port, "MongoDB", "MONGODB_PORT")],
            "redis": [PortUse(self.settings.redis_port, "Redis", "REDIS_PORT")],
            "kafka": [PortUse(self.settings.kafka_port, "Kafka", "KAFKA_PORT")],
            "inventory": [PortUse(self.settings.inventory_port, "inventory", "INVENTORY_PORT")],
            "api": [PortUse(self.settings.port, "API", "PORT")],
            "worker": self._metrics_port("worker", self.settings.worker_metrics_port),
            "consumer": self._metrics_port("consumer", self.settings.consumer_metrics_port),
        }
        return [use for name in self._parts for use in uses.get(name, [])]

    def _metrics_port(self, name: str, port: int) -> list[PortUse]:
        if not self.settings.enable_metrics or not port:
            return []
        return [PortUse(port, f"the {name}'s metrics", f"{name.upper()}_METRICS_PORT")]

    def _environment(self) -> dict[str, str]:
        """The environment of our processes: complete, so that none reads another `.env`."""
        env = dict(self._given)
        for name in PORT_SETTINGS:
            env[name] = str(getattr(self.settings, name.lower()))
        return env | {"CART_ENV_FILE": "", "PYTHONUNBUFFERED": "1"}

    async def _set_up(self) -> None:
        """Makes what the service needs on the servers, once, when they are ready."""
        async with self._setting_up:
            if self._is_set_up:
                return
            from cli.provision import set_up  # noqa: PLC0415 (imports what only it needs)

            try:
                async with asyncio.timeout(SETUP_SECONDS):
                    await set_up(self.settings)
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                raise StackError(f"the servers could not be set up: {reason}") from error
            self._is_set_up = True

    async def _create_topics(self) -> None:
        from cli.provision import create_topics  # noqa: PLC0415

        await create_topics(self.settings)

    def _locked(self) -> ExitStack:
        """Holds `LOCAL_DIR`; raises `StackError` when another stack has it."""
        self.local_dir.mkdir(parents=True, exist_ok=True)
        held = ExitStack()
        file = held.enter_context((self.local_dir / "lock").open("w"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            held.close()
            raise StackError(
                f"another stack is using {self.local_dir}: stop it or set LOCAL_DIR"
            ) from None
        return held


def external_parts(settings: Settings, env: Mapping[str, str]) -> dict[str, str]:
    """The parts that run elsewhere, with an address to show (no credentials)."""
    found = {}
    temporal = _temporal_config(env).get("target_host")
    if temporal:
        found["temporal"] = temporal
    if settings.mongodb_uri:
        found["mongodb"] = _host(settings.mongodb_uri.get_secret_value())
    if settings.redis_url or settings.redis_host:
        found["redis"] = _host(settings.redis.get_secret_value())
    if settings.kafka_brokers:
        found["kafka"] = ",".join(settings.kafka_brokers)
    if settings.inventory_service_url:
        found["inventory"] = settings.inventory_service_url
    return found


def _temporal_config(env: Mapping[str, str]) -> ClientConnectConfig:
    """What Temporal's own variables and configuration file say."""
    try:
        return ClientConfig.load_client_connect_config(override_env_vars=env)
    except RuntimeError as error:
        raise StackError(f"Temporal's client configuration cannot be used: {error}") from None


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2] or "local socket"
