"""All checks, run at the same time, each with a time limit."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from cli.console import reason
from cli.doctor import (
    kafka,
    mongodb,
    redis,
    services,
    settings_check,
    temporal,
)
from cli.doctor.results import CheckReport, CheckResult, Part
from settings import Settings

CHECK_SECONDS = 2.0
# For a cancelled check to end; one that does not is abandoned.
GRACE_SECONDS = 0.5


@dataclass(frozen=True)
class Check:
    """`part` and `advice` are reported when the check raises or exceeds its time."""

    part: str
    run: Callable[[Settings, CheckReport], Awaitable[None]]
    advice: str = "check that it runs and can be reached from here"


CHECKS = (
    Check(Part.SETTINGS, settings_check.check_settings),
    Check(Part.API, services.check_api),
    Check(Part.TEMPORAL, temporal.check_temporal),
    Check(Part.MONGODB, mongodb.check_mongodb),
    Check(Part.REDIS, redis.check_redis),
    Check(Part.KAFKA, kafka.check_kafka),
    Check(Part.INVENTORY, services.check_inventory),
)


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


def examine(settings: Settings, checks: Sequence[Check] = CHECKS) -> Examination:
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


async def _examine(settings: Settings, checks: Sequence[Check]) -> list[CheckResult]:
    reports = [CheckReport() for _ in checks]
    tasks = [
        asyncio.ensure_future(check.run(settings, report))
        for check, report in zip(checks, reports, strict=True)
    ]
    await asyncio.sleep(0)  # the time starts when all have created their clients
    _, late = await asyncio.wait(tasks, timeout=CHECK_SECONDS)
    await _end(late)
    await _end(asyncio.all_tasks() - {asyncio.current_task()})  # left by clients
    for check, report, task in zip(checks, reports, tasks, strict=True):
        if task in late:
            report.failed(check.part, f"no answer within {CHECK_SECONDS:g} s", check.advice)
        elif (error := task.exception()) is not None:
            report.failed(check.part, f"{type(error).__name__}: {reason(error)}", check.advice)
    return [result for report in reports for result in report.results]


async def _end(tasks: Iterable[asyncio.Task[Any] | None]) -> None:
    running = [task for task in tasks if task is not None and not task.done()]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running, timeout=GRACE_SECONDS)
