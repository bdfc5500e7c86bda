"""One supervised process: what it is (`ProcessSpec`) and the running thing (`Process`).

What is not in here: when it is started, started again and stopped, which is the supervisor's part.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

GUARD = Path(__file__).with_name("guard.py")
LOG_LIMIT = 20 * 1024 * 1024  # bytes; a longer log is set aside as `.1`, replacing the one before
TAIL_LINES, TAIL_WIDTH = 15, 300
_TAIL_BYTES = 16 * 1024


class StackError(Exception):
    """The local stack, or one part of it, cannot run; the text says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """A process to run.

    `probe` answers whether it is ready now; any exception it raises means "not yet". `after` runs
    once after each start, before the process counts as ready. `before` runs before the first
    start. `needs` names the processes that must be ready first and are stopped later, `outlived_by`
    those that are only stopped later. `diagnose` turns its last output
    into an advice for the user, if it knows one. Times are in seconds.
    """

    name: str
    argv: Sequence[str]
    probe: Callable[["Process"], Awaitable[bool]]
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    cwd: Path = field(default_factory=Path.cwd)
    needs: frozenset[str] = frozenset()
    outlived_by: frozenset[str] = frozenset()
    before: Callable[[], Awaitable[None]] | None = None
    after: Callable[[], Awaitable[None]] | None = None
    diagnose: Callable[[str], str | None] | None = None
    restart: bool = True
    deadline: float = 60
    stop_grace: float = 5
    shown_as: str = ""


class Process:
    """A spec's process, over all its starts. `ready` is set while it is up and answering."""

    def __init__(self, spec: ProcessSpec, log: Path) -> None:
        self.spec = spec
        self.name = spec.name
        self.log = log
        self.ready = asyncio.Event()
        self.start_again = asyncio.Event()
        self.exited = asyncio.Event()
        self.exited.set()
        self.restart = spec.restart
        self.starts = 0
        self.killed_on_purpose = False
        self._child: asyncio.subprocess.Process | None = None
        self._pipe: int | None = None  # the guard's: open as long as we live
        self._log_start = 0
        self._started = 0.0

    @property
    def pid(self) -> int:
        """The pid of the running process; raises `StackError` when there is none."""
        if self._child is None or self._child.returncode is not None:
            raise StackError(f"{self.name} is not running")
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.returncode is None

    @property
    def age(self) -> float:
        """Seconds since it was last started."""
        return time.monotonic() - self._started

    async def spawn(self) -> None:
        """Starts it in a session of its own, its output going to the log."""
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
        self.exited.clear()

    async def wait(self) -> int:
        """Waits for its end; the exit code, or minus the signal that ended it."""
        if self._child is None:
            return 0
        code = await self._child.wait()
        self.close_pipe()
        self.ready.clear()
        self.exited.set()
        return code

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the process; one that is gone is fine."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL to it and everything in its process group."""
        if self.running:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            self.signal(signal.SIGKILL)  # its session may not be its own yet

    async def terminate(self) -> bool:
        """Asks it to end and kills it after its grace; false if it had to be killed."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)  # a paused process hears nothing before this
        try:
            async with asyncio.timeout(self.spec.stop_grace):
                await self.wait()
        except TimeoutError:
            self.kill()
            await self.wait()
            return False
        return True

    def output(self, limit: int = _TAIL_BYTES) -> str:
        """The end of what it wrote since it was last started."""
        try:
            with self.log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(min(self._log_start, size), size - limit))
                return file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def tail(self, lines: int = TAIL_LINES) -> list[str]:
        """Its last log lines since it was last started, each cut to a readable length."""
        written = [line for line in self.output().splitlines() if line.strip()][-lines:]
        return [line if len(line) <= TAIL_WIDTH else f"{line[:TAIL_WIDTH]}…" for line in written]

    def bound_log(self) -> None:
        """Sets a log that has grown too long aside; the process goes on writing to its file."""
        try:
            if self.log.stat().st_size <= LOG_LIMIT:
                return
        except FileNotFoundError:
            return
        old = self.log.with_name(self.log.name + ".1")
        with self.log.open("rb") as source, old.open("wb") as target:
            source.seek(-LOG_LIMIT, os.SEEK_END)
            target.write(source.read(LOG_LIMIT))
        os.truncate(self.log, 0)  # it writes in append mode, so its next line stands at the start
        self._log_start = 0

    def close_pipe(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None


def describe_exit(code: int) -> str:
    """An exit code of `asyncio.subprocess` in words."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"ended by {signal.Signals(-code).name}"
        return f"ended by signal {-code}"
    return f"ended with exit code {code}"
