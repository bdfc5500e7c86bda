"""All checks, run at the same time, each with a time limit."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from cli.doctor import (
    issuer,
    kafka,
    machine,
    mongodb,
    places,
    redis,
    services,
    settings_check,
    temporal,
)
from cli.doctor.places import Place
from cli.doctor.results import CheckReport, CheckResult, Part
from ops.words import reason
from settings import Settings

CHECK_SECONDS = 5.0
# For a cancelled check to end; one that does not is abandoned.
GRACE_SECONDS = 0.5
ADVICE = "check that it runs and can be reached from here"

# By the part that is reported when the check raises or exceeds its time.
Checks = Mapping[Part, Callable[[Settings, CheckReport], Awaitable[None]]]
CHECKS: Checks = {
    Part.SETTINGS: settings_check.check_settings,
    Part.MACHINE: machine.check_machine,
    Part.API: services.check_api,
    Part.ISSUER: issuer.check_issuer,
    Part.TEMPORAL: temporal.check_temporal,
    Part.MONGODB: mongodb.check_mongodb,
    Part.REDIS: redis.check_redis,
    Part.KAFKA: kafka.check_kafka,
    Part.LETTERS: kafka.check_letters,
    Part.INVENTORY: services.check_inventory,
    Part.PRODUCTS: services.check_products,
}
# The servers that the checks are about.
PLACES: Mapping[Part, Callable[[Settings], Place]] = {
    Part.API: places.api,
    Part.TEMPORAL: places.temporal,
    Part.MONGODB: places.mongodb,
    Part.REDIS: places.redis,
    Part.KAFKA: places.kafka,
    Part.INVENTORY: places.inventory,
    Part.PRODUCTS: places.products,
}


def examine(settings: Settings, checks: Checks = CHECKS) -> list[CheckResult]:
    """Runs the checks, within their time limit; the results are in the order of `Part`."""
    # Not `asyncio.run`, which would wait for name lookups that have no time limit. The process
    # does not wait for their threads either (`cli.main.console`).
    loop = asyncio.new_event_loop()
    try:
        results = loop.run_until_complete(_examine(settings, checks))
    finally:
        loop.close()
    return sorted(results, key=lambda result: [*Part].index(result.part))


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
            _late(settings, part, reports[part])
        elif (error := task.exception()) is not None:
            reports[part].failed(part, f"{type(error).__name__}: {reason(error)}", ADVICE)
    return [result for report in reports.values() for result in report.results]


def _late(settings: Settings, part: Part, report: CheckReport) -> None:
    if report.has(part):
        return  # it had only to close its connections
    if part in PLACES:
        report.unreachable(part, PLACES[part](settings), TimeoutError())
    else:
        report.warn(part, f"not known within {CHECK_SECONDS:g} s", ADVICE)


async def _end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running, timeout=GRACE_SECONDS)
