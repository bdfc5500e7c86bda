"""Starts processes in the order of their needs, restarts them, and stops them.

A process that ends before it was ever ready, or that keeps failing, stops all processes with a
`StackError`. A process that has been ready before is restarted.

Not Honcho, because it starts all processes at once and stops all when one ends.
"""

import asyncio
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Self

from dev.stack.process import (
    FolderError,
    Process,
    ProcessSpec,
    StackError,
    check_folder,
    describe_exit,
)

Echo = Callable[[str], None]

PROBE_EVERY = 0.05  # seconds between two probes
PROBE_TIMEOUT = 5.0
STEADY_AFTER = 5.0  # an end this long after it was ready is not a quick failure
QUICK_FAILURES = 6  # consecutive ones after which the stack gives up
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
LOG_CHECK_EVERY = 30.0
# Ended from outside, for example by the kernel when memory is short: not a failure of its own.
_ENDED_FROM_OUTSIDE = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT}


class Supervisor:
    """Runs a fixed set of processes; `echo` receives a line for each change of state.

    Must be used from the main thread: on Linux the processes die with the thread that started
    them. Call `start`, then `wait`, then `stop`, or use it as an async context manager.
    """

    def __init__(
        self, specs: Iterable[ProcessSpec], *, log_dir: Path, echo: Echo = lambda _: None
    ) -> None:
        self.processes = {spec.name: Process(spec, log_dir / f"{spec.name}.log") for spec in specs}
        self._echo = echo
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Starts all processes and returns when they are ready.

        Raises `StackError`, with all processes stopped, if one cannot start.
        """
        work = [self._bound_logs(), *map(self._supervise, self.processes.values())]
        self._tasks = [asyncio.create_task(one) for one in work]
        ready = asyncio.create_task(self._all_ready())
        try:
            await _first_end(ready, *self._tasks)
        except BaseException:
            await self.stop()
            raise
        finally:
            ready.cancel()

    async def wait(self) -> None:
        """Waits until a process fails for good; stops all of them and raises `StackError`."""
        try:
            await _first_end(*self._tasks)
        except StackError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stops every process within its `stop_grace`, those that others need last."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for level in self._levels():
            await asyncio.gather(*(self._stop_one(process) for process in level))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _all_ready(self) -> None:
        for process in self.processes.values():
            await process.ready.wait()

    def kill_all(self) -> None:
        """Sends SIGKILL to every process, without waiting."""
        for process in self.processes.values():
            process.kill()

    def process(self, name: str) -> Process:
        try:
            return self.processes[name]
        except KeyError:
            raise StackError(f"{name} is not a part of this stack") from None

    async def _supervise(self, process: Process) -> None:
        """Runs one process until the supervisor stops."""
        quick_failures = 0
        while True:
            await self._wait_for_needs(process)
            if process.spec.before is not None and process.starts == 0:
                await process.spec.before()
            try:
                reason = await self._start_once(process)
            except OSError as error:  # its log cannot be written, or its program is missing
                raise self._error(process, f"could not be started: {error}") from None
            if reason is None:
                self._say(process, "ready", f"{process.age:5.1f} s   {process.spec.shown_as}")
                process.ready.set()
                ready_at = process.age
                code = await process.wait()
                reason = describe_exit(code)
                steady = process.age - ready_at > STEADY_AFTER or code in _ENDED_FROM_OUTSIDE
            else:
                steady = False
                if process.starts == 1:
                    raise self._error(process, f"could not be started: {reason}")
            has_its_needs = all(self.processes[name].ready.is_set() for name in process.spec.needs)
            blameless = steady or not has_its_needs
            quick_failures = 0 if blameless else quick_failures + 1
            if quick_failures >= QUICK_FAILURES:
                raise self._error(process, f"failed {quick_failures} times in a row: {reason}")
            await self._pause(process, reason, quick_failures)

    async def _wait_for_needs(self, process: Process) -> None:
        for name in process.spec.needs:
            needed = self.processes[name]
            # After the first start, a process that is kept down on purpose is not waited for.
            if process.starts == 0 or needed.restart:
                await needed.ready.wait()

    async def _start_once(self, process: Process) -> str | None:
        """Starts it and waits until it is ready; returns the reason if it fails."""
        await process.spawn()
        becoming = asyncio.create_task(self._become_ready(process))
        ending = asyncio.create_task(process.wait())
        try:
            await asyncio.wait({becoming, ending}, return_when=asyncio.FIRST_COMPLETED)
            if ending.done():
                return describe_exit(ending.result())
            becoming.result()
        except TimeoutError:
            detail = f" ({process.problem})" if process.problem else ""
            reason = f"was not ready after {process.spec.deadline:g} s{detail}"
        except StackError:
            raise
        except Exception as error:
            reason = f"could not be set up: {type(error).__name__}: {error}"
        else:
            return None
        finally:
            for task in (becoming, ending):
                task.cancel()
            await asyncio.wait({becoming, ending})  # not gather: a cancellation must propagate
        process.kill()
        await process.wait()
        return reason

    async def _become_ready(self, process: Process) -> None:
        async with asyncio.timeout(process.spec.deadline):
            await _probe_until_ready(process)
            if process.spec.after is not None:
                await process.spec.after()

    async def _pause(self, process: Process, reason: str, quick_failures: int) -> None:
        """Waits before a restart: a growing pause, or `start_again` if it does not restart."""
        if not process.restart:
            if not process.killed_on_purpose:
                self._say(process, "died", f"{reason}; it is left down", process.tail())
            await process.start_again.wait()
            return
        pause = min(FIRST_PAUSE * 2 ** max(quick_failures - 1, 0), LONGEST_PAUSE)
        self._say(process, "died", f"{reason}; starting it again; its last lines:", process.tail())
        await asyncio.sleep(pause)

    async def _stop_one(self, process: Process) -> None:
        if not process.running:
            return
        begun = time.monotonic()
        gently = await process.terminate()
        took = time.monotonic() - begun
        self._say(process, "stopped" if gently else "killed", f"{took:5.1f} s")

    async def _bound_logs(self) -> None:
        while True:
            await asyncio.sleep(LOG_CHECK_EVERY)
            for process in self.processes.values():
                try:
                    process.bound_log()
                except OSError as error:
                    self._say(process, "log", f"could not be shortened: {error}")

    def _levels(self) -> Iterator[list[Process]]:
        """The order of stopping: a process stops after all that need it."""
        order: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(self.processes, ()))
        for name, process in self.processes.items():
            for needed in process.spec.needs | process.spec.outlived_by:
                order.add(needed, name)
        order.prepare()
        while order.is_active():
            names = order.get_ready()
            yield [self.processes[name] for name in names if name in self.processes]
            order.done(*names)

    def _error(self, process: Process, reason: str) -> StackError:
        advice = process.spec.diagnose and process.spec.diagnose(process.output())
        lines = [f"{process.name} {reason}", *([advice] if advice else [])]
        try:
            check_folder(process.log.parent)
        except FolderError as unwritable:
            return unwritable
        tail = process.tail()
        if tail:
            lines += [f"its last lines ({process.log}):", *(f"    {line}" for line in tail)]
        return StackError("\n".join(lines))

    def _say(
        self, process: Process, state: str, detail: str = "", lines: Sequence[str] = ()
    ) -> None:
        shown = [f"  {process.name:<10} {state:<8} {detail}".rstrip()]
        self._echo("\n".join([*shown, *(f"    | {line}" for line in lines)]))


async def _first_end(*awaited: asyncio.Future[Any]) -> None:
    """Waits until one of them ends; raises its error. The supervisor's tasks only end by errors."""
    done, _ = await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
    for one in done:
        one.result()


async def _probe_until_ready(process: Process) -> None:
    """Probes until it is ready; `process.problem` is the latest error of a probe."""
    process.problem = ""
    while True:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                if await process.spec.probe(process):
                    return
        except StackError:
            raise
        except Exception as error:  # any error means "not yet"
            process.problem = f"{type(error).__name__}: {error}"[:200]
        await asyncio.sleep(PROBE_EVERY)


async def wait_until_ready(process: Process, timeout: float = 60) -> None:
    """Waits until a process is up and its probe succeeds, also after a pause."""
    async with asyncio.timeout(timeout):
        await process.ready.wait()
        await _probe_until_ready(process)
