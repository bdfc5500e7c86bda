"""One supervised process: its specification (`ProcessSpec`) and its state (`Process`).

`supervisor` decides when it is started, restarted and stopped.
"""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

GUARD = Path(__file__).with_name("guard.py")
LOG_LIMIT = 20 * 1024 * 1024  # bytes; a longer log is moved to `.1`
TAIL_LINES, TAIL_WIDTH = 15, 300
_TAIL_BYTES = 16 * 1024
DISK_PROBE = 64  # MiB that must be free: MongoDB does not start with less
# Variables that servers receive. Several servers would read variables meant for this service.
_PASSED_ON = ("PATH", "HOME", "USER", "TMPDIR", "TZ", "LANG", "LC_ALL", "LD_LIBRARY_PATH")
Probe = Callable[["Process"], Awaitable[bool]]
Action = Callable[[], Awaitable[None]]


class StackError(Exception):
    """The local stack, or a part of it, cannot run; the text says why and what to do."""

    exit_code = 1


class FolderError(StackError):
    """A folder cannot be written to."""

    exit_code = 2

    def __init__(self, folder: Path, error: OSError) -> None:
        super().__init__(
            f"cannot write to {folder}: {error.strerror or error}. "
            "Free space or change its permissions, or set LOCAL_DIR to another folder"
        )


def check_folder(folder: Path) -> None:
    """Makes a folder if it is missing; raises `FolderError` if it takes no more files."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            for _ in range(DISK_PROBE):
                file.write(bytes(1 << 20))
    except OSError as error:
        raise FolderError(folder, error) from None


def server_environment() -> Mapping[str, str]:
    """The part of the environment that servers receive."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """A process to run.

    `probe` returns whether it is ready; an exception means "not yet". `before` runs before the
    first start, `after` after each start, before the process counts as ready. `needs` names the
    processes that must be ready before its start and are stopped after it, `outlived_by` those
    that are only stopped after it. `diagnose` derives advice from its last output, or returns None.
    Times are in seconds.
    """

    name: str
    argv: Sequence[str]
    probe: Probe
    env: Mapping[str, str] = field(default_factory=server_environment, repr=False)
    cwd: Path = field(default_factory=Path.cwd)
    needs: frozenset[str] = frozenset()
    outlived_by: frozenset[str] = frozenset()
    before: Action | None = None
    after: Action | None = None
    diagnose: Callable[[str], str | None] | None = None
    restart: bool = True
    deadline: float = 60
    stop_grace: float = 5
    shown_as: str = ""


class Process:
    """A process across its starts.

    `ready` is set while it is up and its probe succeeds; `problem` is the probe's latest error.
    """

    def __init__(self, spec: ProcessSpec, log: Path) -> None:
        self.spec = spec
        self.name = spec.name
        self.log = log
        self.ready = asyncio.Event()
        self.start_again = asyncio.Event()
        self.restart = spec.restart
        self.starts = 0
        self.problem = ""
        self.killed_on_purpose = False
        self._child: asyncio.subprocess.Process | None = None
        self._pipe: int | None = None  # held open for the guard
        self._log_start = 0
        self._started = 0.0

    @property
    def pid(self) -> int:
        """The pid of the running process; raises `StackError` if it is not running."""
        if self._child is None or self._child.returncode is not None:
            raise StackError(f"{self.name} is not running")
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.returncode is None

    @property
    def age(self) -> float:
        """Seconds since the last start."""
        return time.monotonic() - self._started

    async def spawn(self) -> None:
        """Starts it in a new session; its output goes to the log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.bound_log()
        self.close_pipe()
        inherited, self._pipe = os.pipe()
        command = (
            *(sys.executable, "-I", "-S", str(GUARD), str(os.getpid()), str(inherited)),
            *self.spec.argv,
        )
        try:
            with self.log.open("ab") as output:
                self._log_start = output.tell()
                self._started = time.monotonic()
                self._child = await asyncio.create_subprocess_exec(
                    *command,
                    env=dict(self.spec.env),
                    cwd=self.spec.cwd,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=asyncio.subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(inherited,),
                )
        finally:
            os.close(inherited)
        self.starts += 1
        self.start_again.clear()
        self.killed_on_purpose = False

    async def wait(self) -> int:
        """Waits for its end; returns the exit code, or minus the signal that ended it."""
        if self._child is None:
            return 0
        code = await self._child.wait()
        self.close_pipe()
        self.ready.clear()
        return code

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal; ignored if the process has ended."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Sends SIGKILL to its process group."""
        if self.running:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            self.signal(signal.SIGKILL)  # it may not have its own session yet

    async def terminate(self) -> bool:
        """Sends SIGTERM, and SIGKILL after `stop_grace`; false if it had to be killed."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)  # a paused process handles SIGTERM only after SIGCONT
        try:
            async with asyncio.timeout(self.spec.stop_grace):
                await self.wait()
        except TimeoutError:
            self.kill()
            await self.wait()
            return False
        return True

    def output(self, limit: int = _TAIL_BYTES) -> str:
        """The end of its output since the last start; `limit` is in bytes."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(min(self._log_start, size), size - limit))
            return file.read().decode(errors="replace")

    def tail(self) -> list[str]:
        """Its last lines since the last start, cut to `TAIL_WIDTH` characters."""
        written = [line for line in self.output().splitlines() if line.strip()][-TAIL_LINES:]
        return [line if len(line) <= TAIL_WIDTH else f"{line[:TAIL_WIDTH]}…" for line in written]

    def bound_log(self) -> None:
        """Moves a log longer than `LOG_LIMIT` to `.1`; the process continues in the same file."""
        if not self.log.exists() or self.log.stat().st_size <= LOG_LIMIT:
            return
        old = self.log.with_name(self.log.name + ".1")
        with self.log.open("rb") as source, old.open("wb") as target:
            source.seek(-LOG_LIMIT, os.SEEK_END)
            target.write(source.read(LOG_LIMIT))
        os.truncate(self.log, 0)  # opened in append mode: writing continues at the start
        self._log_start = 0

    def close_pipe(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None


def describe_exit(code: int) -> str:
    """Describes an exit code of `asyncio.subprocess`."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"ended by {signal.Signals(-code).name}"
        return f"ended by signal {-code}"
    return f"ended with exit code {code}"
