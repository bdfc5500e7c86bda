"""All checks, run at the same time, each with a time limit."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from cli.console import reason
from cli.doctor import mongodb, services, settings_check, temporal
from cli.doctor.results import CheckReport, CheckResult, Part
from settings import Settings

CHECK_SECONDS = 2.0
# For a cancelled check to end; one that does not is abandoned.
GRACE_SECONDS = 0.5


ADVICE = "check that it runs and can be reached from here"

# By the part that is reported when the check raises or exceeds its time.
Checks = Mapping[Part, Callable[[Settings, CheckReport], Awaitable[None]]]
CHECKS: Checks = {
    Part.SETTINGS: settings_check.check_settings,
    Part.API: services.check_api,
    Part.TEMPORAL: temporal.check_temporal,
    Part.MONGODB: mongodb.check_mongodb,
    Part.REDIS: services.check_redis,
    Part.KAFKA: services.check_kafka,
    Part.INVENTORY: services.check_inventory,
}


@dataclass(frozen=True)
class Examination:
    """The results in the order of `Part`. While `hanging`, a name lookup is running that only the
    end of the process can stop."""

    results: list[CheckResult]
    hanging: bool


class _Lookups(ThreadPoolExecutor):
    """The threads in which asyncio looks up names."""

    def __init__(self) -> None:
        super().__init__(thread_name_prefix="doctor")
        self._unfinished: set[Future[Any]] = set()

    def submit(self, *args: Any, **kwargs: Any) -> "Future[Any]":
        future = super().submit(*args, **kwargs)
        self._unfinished.add(future)
        future.add_done_callback(self._unfinished.discard)
        return future

    @property
    def busy(self) -> bool:
        """Whether a lookup is still running."""
        return bool(self._unfinished)


def examine(settings: Settings, checks: Checks = CHECKS) -> Examination:
    """Runs the checks, within their time limit."""
    loop = asyncio.new_event_loop()
    lookups = _Lookups()
    loop.set_default_executor(lookups)
    try:
        results = loop.run_until_complete(_examine(settings, checks))
    finally:
        loop.close()  # not `asyncio.run`, which waits for lookups
    return Examination(
        sorted(results, key=lambda result: [*Part].index(result.part)), hanging=lookups.busy
    )


async def _examine(settings: Settings, checks: Checks) -> list[CheckResult]:
    reports = {part: CheckReport() for part in checks}
    tasks = {
        part: asyncio.ensure_future(check(settings, reports[part]))
        for part, check in checks.items()
    }
    await asyncio.sleep(0)  # the time starts when all have created their clients
    _, late = await asyncio.wait(tasks.values(), timeout=CHECK_SECONDS)
    await _end(late)
    await _end(asyncio.all_tasks() - {asyncio.current_task()})  # left by clients
    for part, task in tasks.items():
        if task in late:
            reports[part].failed(part, f"no answer within {CHECK_SECONDS:g} s", ADVICE)
        elif (error := task.exception()) is not None:
            reports[part].failed(part, f"{type(error).__name__}: {reason(error)}", ADVICE)
    return [result for report in reports.values() for result in report.results]


async def _end(tasks: Iterable[asyncio.Task[Any] | None]) -> None:
    running = [task for task in tasks if task is not None and not task.done()]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running, timeout=GRACE_SECONDS)
