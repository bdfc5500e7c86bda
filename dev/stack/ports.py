"""The ports of the local stack: checks whether they are free, and free ports for tests.

Everything listens on 127.0.0.1 only.
"""

import itertools
import random
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dev.stack.process import StackError
from settings import LOCALHOST

# The ports of each part of the stack: the setting, and a name to show.
PORTS = {
    "temporal": {"TEMPORAL_PORT": "Temporal", "TEMPORAL_UI_PORT": "Temporal Web UI"},
    "mongodb": {"MONGODB_PORT": "MongoDB"},
    "redis": {"REDIS_PORT": "Redis"},
    "kafka": {"KAFKA_PORT": "Kafka"},
    "inventory": {"INVENTORY_PORT": "inventory"},
    "api": {"PORT": "API"},
    "worker": {"WORKER_METRICS_PORT": "the worker's metrics"},
    "consumer": {"CONSUMER_METRICS_PORT": "the consumer's metrics"},
}
PORT_SETTINGS = tuple(setting for ports in PORTS.values() for setting in ports)
_CONNECT_TIMEOUT = 0.5  # seconds
# Below the range that Linux (from 32768) and macOS (from 49152) use for outgoing connections. A
# client could take a port of that range while a test keeps its server down, or connect to itself.
_TEST_PORTS = range(15_000, 32_000)
# Held until this process ends: while a server under test is down, no other test run on this
# machine may take its port.
_leases: list[socket.socket] = []


@dataclass(frozen=True)
class PortUse:
    """A port, the part of the stack that listens on it, and the setting that changes it."""

    port: int
    part: str
    setting: str


def check_ports(uses: Iterable[PortUse]) -> None:
    """Raises `StackError` naming all ports that are taken or used twice."""
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
    """Whether a server can listen on this port of 127.0.0.1 and none does."""
    with socket.socket() as server:
        # As servers do: a closed connection in TIME_WAIT does not block the port.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((LOCALHOST, port))
            server.listen(1)
        except OSError:
            return False
    # BSD and macOS allow the bind although a server listens on all interfaces.
    with socket.socket() as client:
        client.settimeout(_CONNECT_TIMEOUT)
        return client.connect_ex((LOCALHOST, port)) != 0


def free_ports() -> dict[str, int]:
    """A free port for each port setting, by name; see `more_free_ports`."""
    return dict(zip(PORT_SETTINGS, more_free_ports(len(PORT_SETTINGS)), strict=True))


def more_free_ports(count: int) -> list[int]:
    """`count` free ports.

    They are reserved until this process ends: later calls, in any process, return other ports.
    """
    low, high = _TEST_PORTS.start, min(_TEST_PORTS.stop, _first_outgoing_port())
    tried = random.sample(range(low, high), high - low)
    chosen = (port for port in tried if is_free(port) and _lease(port))
    return list(itertools.islice(chosen, count))


def _lease(port: int) -> bool:
    """Reserves a port by binding the UDP port of the same number, which no server uses.

    The system allows one process to bind it and frees it when that process ends.
    """
    mark = socket.socket(type=socket.SOCK_DGRAM)
    try:
        mark.bind((LOCALHOST, port))
    except OSError:
        mark.close()
        return False
    _leases.append(mark)
    return True


def _first_outgoing_port() -> int:
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    except OSError:
        return _TEST_PORTS.stop
    first = int(text.split()[0])
    return first if first - _TEST_PORTS.start > len(PORT_SETTINGS) else _TEST_PORTS.stop
