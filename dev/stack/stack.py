"""The local stack: which parts it starts, and a handle on each for tests.

A part whose address is set (`MONGODB_URI`, `REDIS_URL` or `REDIS_HOST`, `KAFKA_BROKERS`,
`TEMPORAL_ADDRESS` or a profile that has one, `INVENTORY_SERVICE_URL`) is external and not started.
Tests and the bench can use the servers of production (`dev.stack.production`). `dev.run` has the
commands.
"""

import asyncio
import fcntl
import os
import shutil
import signal
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self, TextIO

from temporalio.envconfig import ClientConfig, ClientConnectConfig

from cli.console import without_login
from cli.setup import set_up
from dev.stack import servers
from dev.stack.apps import APPS, SERVERS, app_specs
from dev.stack.ports import PORT_SETTINGS, PORTS, PortUse, check_ports
from dev.stack.process import FolderError, Process, ProcessSpec, StackError, check_folder
from dev.stack.production import servers as production
from dev.stack.supervisor import Echo, Supervisor, wait_until_ready
from settings import LOCALHOST, Settings

SETUP_SECONDS = 60


class Stack:
    """The local stack of one `LOCAL_DIR`, as an async context manager.

    `env` is the environment of the service's processes (default: that of this process). `parts`
    limits what is started; a part that is neither started nor external is assumed to run already.
    With `production`, Temporal runs on PostgreSQL, whose data is deleted at the end, and Kafka is
    Apache Kafka. `kafka_advertised` is the address that the broker gives to its clients (default:
    its own).
    """

    def __init__(
        self,
        settings: Settings,
        env: Mapping[str, str] | None = None,
        echo: Echo = lambda _: None,
        *,
        parts: Collection[str] = (*SERVERS, *APPS),
        production: bool = False,
        kafka_advertised: str = "",
    ) -> None:
        self.settings = settings
        self.local_dir = settings.local_dir.expanduser().absolute()
        self._given = dict(os.environ if env is None else env)
        self.external = external_parts(settings, self._given)
        ports = {name: str(getattr(settings, name.lower())) for name in PORT_SETTINGS}
        # Of the service's processes; it replaces any `.env` file.
        self.env = self._given | ports | {"CART_ENV_FILE": "", "PYTHONUNBUFFERED": "1"}
        self._echo = echo
        self._parts = [name for name in parts if name not in self.external]
        self._asked = tuple(parts)
        self._production = production
        self._kafka_advertised = kafka_advertised or f"{LOCALHOST}:{settings.kafka_port}"
        self._supervisor = self._supervise([])
        self._held = ExitStack()
        self._setting_up = asyncio.Lock()
        self._is_set_up = False

    # Running it

    def reset(self) -> None:
        """Deletes the data of the servers; raises `StackError`."""
        with self._locked(), _writing_to(self.local_dir):
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
            with _writing_to(self.local_dir):
                self._supervisor = self._supervise(self._specs())
            await self._supervisor.start()
            if set(SERVERS) <= set(self._asked):
                await self._set_up()  # already done if a process of the service was started
        except BaseException:
            await self.stop()
            raise

    async def wait(self) -> None:
        """Waits until a part fails for good; then stops all parts and raises `StackError`."""
        await self._supervisor.wait()

    async def stop(self) -> None:
        await self._supervisor.stop()
        self._held.close()

    def kill_all(self) -> None:
        """Sends SIGKILL to every process, without waiting."""
        self._supervisor.kill_all()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def reload(self) -> None:
        """Starts the service's processes again, with the present code.

        From then on one that ends is left down until the next time: it has been changed in a way
        that does not work.
        """
        processes = [self.process(name) for name in APPS if name in self._parts]
        for process in processes:
            process.restart = False
            process.killed_on_purpose = True
        await asyncio.gather(*(process.terminate() for process in processes))
        for process in processes:
            process.start_again.set()

    # For tests: one process

    def process(self, name: str) -> Process:
        return self._supervisor.process(name)

    async def kill(self, name: str, *, restart: bool | None = None) -> None:
        """Sends SIGKILL and waits; `restart=False` keeps it down until `start_again`."""
        process = self.process(name)
        if restart is not None:
            process.restart = restart
        process.killed_on_purpose = True
        process.kill()
        await process.wait()

    async def start_again(self, name: str, *, timeout: float = 60) -> None:
        """Starts a process that was kept down and waits until it is ready."""
        process = self.process(name)
        if process.running:
            raise StackError(f"{name} is running")
        process.restart = process.spec.restart
        process.start_again.set()
        await wait_until_ready(process, timeout)

    def pause(self, name: str) -> None:
        """Sends SIGSTOP: the process keeps its connections and does not respond."""
        self.process(name).signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        self.process(name).signal(signal.SIGCONT)

    async def wait_ready(self, name: str, *, timeout: float = 60) -> None:
        """Waits until it is up and its probe succeeds."""
        await wait_until_ready(self.process(name), timeout)

    # Its parts

    def _supervise(self, specs: Iterable[ProcessSpec]) -> Supervisor:
        return Supervisor(specs, log_dir=self.local_dir / "logs", echo=self._echo)

    def _specs(self) -> list[ProcessSpec]:
        data = servers.folder_of(self.local_dir, "data")
        kafka = production.kafka if self._production else servers.kafka
        make: dict[str, Callable[[], Iterable[ProcessSpec]]] = {
            "temporal": lambda: self._temporal(data),
            "mongodb": lambda: [servers.mongodb(self.settings, data)],
            "redis": lambda: [servers.redis(self.settings, data)],
            "kafka": lambda: [kafka(self.settings, data, self._kafka_advertised)],
        }
        specs = [spec for name in SERVERS if name in self._parts for spec in make[name]()]
        apps = app_specs(self.settings, self.env, self._set_up)
        specs += [spec for spec in apps if spec.name in self._parts]
        started = {spec.name for spec in specs}
        return [replace(spec, needs=spec.needs & started) for spec in specs]

    def _temporal(self, data: Path) -> Iterable[ProcessSpec]:
        namespace = _temporal_config(self._given).get("namespace") or "default"
        if not self._production:
            return [servers.temporal(self.settings, data, namespace)]
        # Not in `data`: its parent folders may not be accessible to the user of PostgreSQL.
        database = self._held.enter_context(
            TemporaryDirectory(prefix="cart-postgresql-", ignore_cleanup_errors=True)
        )
        return production.temporal(self.settings, data, Path(database), namespace)

    def _ports(self) -> list[PortUse]:
        uses = [
            PortUse(getattr(self.settings, setting.lower()), shown, setting)
            for name in self._parts
            for setting, shown in PORTS[name].items()
            if self.settings.enable_metrics or not setting.endswith("_METRICS_PORT")
        ]
        return [use for use in uses if use.port]

    async def _set_up(self) -> None:
        """Creates what the service needs on the servers, once, when they are ready."""
        async with self._setting_up:
            if self._is_set_up:
                return
            try:
                async with asyncio.timeout(SETUP_SECONDS):
                    await set_up(self.settings)
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                raise StackError(f"the servers could not be set up: {reason}") from error
            self._is_set_up = True

    def _locked(self) -> TextIO:
        """Locks `LOCAL_DIR`; raises `StackError` if another stack uses it or it is not writable."""
        check_folder(self.local_dir)
        with _writing_to(self.local_dir):
            file = (self.local_dir / "lock").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise StackError(
                f"another stack is using {self.local_dir}: stop it or set LOCAL_DIR"
            ) from None
        return file


@contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    """Raises `FolderError` in place of an `OSError` of the block."""
    try:
        yield
    except OSError as error:
        raise FolderError(Path(error.filename or folder), error) from None


def external_parts(settings: Settings, env: Mapping[str, str]) -> dict[str, str]:
    """The parts that run elsewhere, with their address without credentials."""
    found = {}
    if temporal := _temporal_config(env).get("target_host"):
        found["temporal"] = temporal
    if settings.mongodb_uri:
        found["mongodb"] = without_login(settings.mongodb_uri.get_secret_value())
    if settings.redis_url or settings.redis_host:
        found["redis"] = without_login(settings.redis.get_secret_value())
    if settings.kafka_brokers:
        found["kafka"] = ",".join(settings.kafka_brokers)
    if settings.inventory_service_url:
        found["inventory"] = without_login(settings.inventory)
    return found


def _temporal_config(env: Mapping[str, str]) -> ClientConnectConfig:
    """The settings in Temporal's own variables and configuration file."""
    try:
        return ClientConfig.load_client_connect_config(override_env_vars=env)
    except RuntimeError as error:
        raise StackError(f"Temporal's client configuration cannot be used: {error}") from None
