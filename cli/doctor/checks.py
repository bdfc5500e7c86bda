"""All checks, at the same time, each for a bounded time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from cli.console import reason
from cli.doctor import holds, kafka, mongodb, redis, services, settings_check, temporal
from cli.doctor.findings import Finding, Report
from settings import Settings

CHECK_SECONDS = 2.0
# For a check that was told to end to do so; one that does not is left behind.
GRACE_SECONDS = 0.5


@dataclass(frozen=True)
class Check:
    """`part` names the check when it raises or does not end; `advice` is for then."""

    part: str
    run: Callable[[Settings, Report], Awaitable[None]]
    advice: str = "check that it runs and can be reached from here"


CHECKS = (
    Check(settings_check.PART, settings_check.check_settings),
    Check(services.API, services.check_api),
    Check(temporal.TEMPORAL, temporal.check_temporal),
    Check(mongodb.MONGODB, mongodb.check_mongodb),
    Check(redis.PART, redis.check_redis),
    Check(kafka.KAFKA, kafka.check_kafka),
    Check(services.INVENTORY, services.check_inventory),
)
# The order in which they are shown; what one check says comes in any order.
PARTS = (
    settings_check.PART,
    services.API,
    temporal.WORKER,
    temporal.TEMPORAL,
    temporal.ATTRIBUTES,
    temporal.WEB_UI,
    mongodb.MONGODB,
    mongodb.INDEXES,
    mongodb.TRANSACTIONS,
    mongodb.PENDING,
    holds.PART,
    redis.PART,
    kafka.KAFKA,
    kafka.KAFKA_TOPICS,
    kafka.CONSUMER,
    services.INVENTORY,
)


@dataclass(frozen=True)
class Examination:
    """What was found, in the order of `PARTS`; `hanging` when a name look-up is still going on,
    which nothing but the end of the process can stop."""

    findings: list[Finding]
    hanging: bool


class _Lookups(ThreadPoolExecutor):
    """asyncio looks names up in threads; this tells whether one is still at it."""

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
        return bool(self._unfinished)


def examine(settings: Settings, checks: Sequence[Check] = CHECKS) -> Examination:
    """Runs the checks, and takes no longer than they may."""
    loop = asyncio.new_event_loop()
    lookups = _Lookups()
    loop.set_default_executor(lookups)
    try:
        findings = loop.run_until_complete(_examine(settings, checks))
    finally:
        loop.close()  # not `asyncio.run`, which waits for look-ups
    return Examination(
        sorted(findings, key=lambda finding: PARTS.index(finding.part)), hanging=lookups.busy
    )


async def _examine(settings: Settings, checks: Sequence[Check]) -> list[Finding]:
    reports = [Report() for _ in checks]
    tasks = [
        asyncio.ensure_future(check.run(settings, report))
        for check, report in zip(checks, reports, strict=True)
    ]
    await asyncio.sleep(0)  # the time begins when all have made their clients
    _, late = await asyncio.wait(tasks, timeout=CHECK_SECONDS)
    await _end(late)
    await _end(asyncio.all_tasks() - {asyncio.current_task()})  # what clients left behind
    for check, report, task in zip(checks, reports, tasks, strict=True):
        if task in late:
            report.failed(check.part, f"no answer within {CHECK_SECONDS:g} s", check.advice)
        elif (error := task.exception()) is not None:
            report.failed(check.part, f"{type(error).__name__}: {reason(error)}", check.advice)
    return [finding for report in reports for finding in report.findings]


async def _end(tasks: Iterable[asyncio.Task[Any] | None]) -> None:
    running = [task for task in tasks if task is not None and not task.done()]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running, timeout=GRACE_SECONDS)
