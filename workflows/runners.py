"""Runners: activities of one workflow that page through carts side by side.

Each has its own share of the carts: some of their buckets, or some of the stores. Where the workers
are several processes, they share the runners out.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from models.runners import Runner

AnyRunner = TypeVar("AnyRunner", bound=Runner)


async def page_through(
    runners: list[AnyRunner],
    next_page: Callable[[int, AnyRunner], Awaitable[AnyRunner]],
    show: Callable[[], None],
) -> bool:
    """Does the pages of all runners, and keeps in `runners` how far each is.

    `next_page` does one page of a runner, `show` displays the progress. Returns whether all have
    ended; if not, the history is long, and the workflow continues as new with these runners.
    """

    async def run(number: int) -> None:
        while not runners[number].ended:
            runners[number] = await next_page(number, runners[number])
            show()
            if workflow.info().is_continue_as_new_suggested():
                return

    await asyncio.gather(*map(run, range(len(runners))))
    return all(runner.ended for runner in runners)


def ended_of(runners: list[AnyRunner]) -> str:
    """How many runners have ended, for the Web UI."""
    return f"{sum(runner.ended for runner in runners)} of {len(runners)} runners have ended"
