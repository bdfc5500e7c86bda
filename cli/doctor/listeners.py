"""Which process listens on a port of this machine, and whether it is stopped. Linux only."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from settings import LOCALHOST

_LISTENS = "0A"  # TCP_LISTEN, include/net/tcp_states.h
_STOPPED = "Tt"
_LOCAL_HOSTS = (LOCALHOST, "localhost", "0.0.0.0", "::1")
_PROC = Path("/proc")


@dataclass(frozen=True)
class ProcessState:
    """A process that exists."""

    pid: int
    name: str
    is_stopped: bool

    def __str__(self) -> str:
        return f"process {self.pid} ({self.name}) is {'stopped' if self.is_stopped else 'alive'}"

    @property
    def advice(self) -> str:
        """What to do about it, as it does not answer."""
        if self.is_stopped:
            return f"`kill -CONT {self.pid}` lets it go on"
        return (
            "it hangs or is overloaded: see its log; if it stays so, end it with "
            f"`kill -9 {self.pid}` and start it again (`make run` does that by itself)"
        )


def listener_at(address: str) -> ProcessState | None:
    """The process behind `host:port` or a URL, when that is on this machine and can be found."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    with suppress(ValueError):
        if parts.hostname in _LOCAL_HOSTS and parts.port:
            return listener(parts.port)
    return None


def listener(port: int) -> ProcessState | None:
    """The process that listens on a local port; None when there is none, or it is not ours."""
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    if not sockets:
        return None
    for folder in _PROC.glob("[0-9]*"):
        with suppress(OSError):
            for file in (folder / "fd").iterdir():
                with suppress(OSError):
                    if os.readlink(file) in sockets:
                        return process(int(folder.name))
    return None


def process(pid: int) -> ProcessState | None:
    """A process of this machine; None when there is none with this id."""
    with suppress(OSError):
        found = re.match(r"\d+ \((.*)\) (\S)", (_PROC / str(pid) / "stat").read_text(), re.DOTALL)
        if found:
            return ProcessState(pid, found[1], found[2] in _STOPPED)
    return None


def _listening(port: int) -> Iterator[str]:
    """The inodes of the sockets that listen on a port."""
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (_PROC / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]
