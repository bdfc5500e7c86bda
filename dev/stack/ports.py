"""Which ports the local stack listens on, whether they are free, and free ones for tests.

Everything listens on 127.0.0.1 only.
"""

import itertools
import random
import socket
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from dev.stack.process import StackError
from settings import LOCALHOST, Settings

PORT_SETTINGS = (
    "PORT",
    "INVENTORY_PORT",
    "TEMPORAL_PORT",
    "TEMPORAL_UI_PORT",
    "MONGODB_PORT",
    "REDIS_PORT",
    "KAFKA_PORT",
    "WORKER_METRICS_PORT",
    "CONSUMER_METRICS_PORT",
)
_CONNECT_TIMEOUT = 0.5  # seconds
# Where tests look for ports: below what Linux (32768) and macOS (49152) give to outgoing
# connections. A port from that range may be taken by any client while a test keeps its server
# down, or a client that tries to reconnect to it may even reach itself.
_TEST_PORTS = range(15_000, 32_000)
# What this process has asked for, until it ends: a server under test is down now and then, and
# no other run of tests on this machine may take its port meanwhile.
_leases: list[socket.socket] = []


@dataclass(frozen=True)
class PortUse:
    """A port, the part of the stack that wants it, and the setting that moves it."""

    port: int
    part: str
    setting: str


def check_ports(uses: Iterable[PortUse]) -> None:
    """Raises `StackError` for the ports that are wanted twice or taken, all of them at once."""
    wanted = list(uses)
    problems = [
        f"port {one.port} is wanted by {one.part} and by {other.part}: "
        f"change {one.setting} or {other.setting}"
        for one, other in itertools.combinations(wanted, 2)
        if one.port == other.port
    ]
    problems += [
        f"port {use.port} ({use.part}) is taken: stop what is using it or set {use.setting}"
        for use in wanted
        if not is_free(use.port)
    ]
    if problems:
        raise StackError("\n".join(problems))


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 and nobody answers there."""
    with socket.socket() as server:
        # As servers do: what a closed connection leaves behind for a minute is no obstacle.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((LOCALHOST, port))
            server.listen(1)
        except OSError:
            return False
    # BSD and macOS allow the bind although somebody listens on all interfaces.
    with socket.socket() as client:
        client.settimeout(_CONNECT_TIMEOUT)
        return client.connect_ex((LOCALHOST, port)) != 0


def free_ports() -> dict[str, int]:
    """A free port for each of the port settings, by the setting's name; see `more_free_ports`."""
    return dict(zip(PORT_SETTINGS, more_free_ports(len(PORT_SETTINGS)), strict=True))


def more_free_ports(count: int, beside: Collection[int] = ()) -> list[int]:
    """So many free ports, none of them `beside`: those that are meant for something else.

    They are this process's until it ends: whoever asks here, in whatever process, gets others.
    """
    low, high = _TEST_PORTS.start, min(_TEST_PORTS.stop, _first_outgoing_port())
    tried = random.sample(range(low, high), high - low)
    chosen = (port for port in tried if port not in beside and is_free(port) and _lease(port))
    return list(itertools.islice(chosen, count))


def _lease(port: int) -> bool:
    """Takes the UDP port of that number, which no server here listens on, as a mark.

    The system gives it to one process alone and takes it back when that one ends, however.
    """
    mark = socket.socket(type=socket.SOCK_DGRAM)
    try:
        mark.bind((LOCALHOST, port))
    except OSError:
        mark.close()
        return False
    _leases.append(mark)
    return True


def ports_of(settings: Settings) -> set[int]:
    """The ports that the settings name."""
    return {getattr(settings, name.lower()) for name in PORT_SETTINGS}


def _first_outgoing_port() -> int:
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    except OSError:
        return _TEST_PORTS.stop
    first = int(text.split()[0])
    return first if first - _TEST_PORTS.start > len(PORT_SETTINGS) else _TEST_PORTS.stop
