"""What the passes over carts have in common: expiry, and the end of holds and checkouts.

Several runners page through the carts side by side, each through its own buckets. A page changes
its carts in MongoDB (`activities.upkeep.passes`); the relays then do their effects.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from models.runners import Share
    from models.upkeep.passes import PassInput, PassPage, PassResult, PassRunner
    from workflows import policies
    from workflows.runners import ended_of, page_through


class CartPass:
    """One pass. Carts that cannot be changed are left to the next."""

    def __init__(self, start: PassInput, *, step: Callable[..., Any], what: str, done: str) -> None:
        """`what` are the carts, and `done` says what was done to them."""
        self._step = step
        self._what = what
        self._done = done
        self._before: datetime = start.before or workflow.info().workflow_start_time
        self._runners = list(start.runners) or [PassRunner()] * policies.RUNNERS

    async def run(self) -> PassResult:
        """Returns how many carts were changed, and how many were left."""
        if not await page_through(self._runners, self._next_page, self._show):
            workflow.continue_as_new(PassInput(before=self._before, runners=tuple(self._runners)))
        return PassResult(changed=self._changed, left=self._left)

    async def _next_page(self, number: int, runner: PassRunner) -> PassRunner:
        page = await workflow.execute_activity_method(
            self._step,
            PassPage(
                before=self._before,
                at=workflow.now(),
                share=Share(runner=number, runners=len(self._runners)),
                left=runner.left,
                limit=policies.PASS_PAGE,
            ),
            **policies.CARTS_PAGE,
        )
        left = (*runner.left, *page.left)
        return PassRunner(
            changed=runner.changed + page.changed,
            left=left,
            ended=not page.more or len(left) >= policies.PASS_MOST_LEFT,
        )

    @property
    def _changed(self) -> int:
        return sum(runner.changed for runner in self._runners)

    @property
    def _left(self) -> int:
        return sum(len(runner.left) for runner in self._runners)

    def _show(self) -> None:
        workflow.set_current_details(
            f"{self._what} by {self._before:%Y-%m-%d %H:%M:%S} UTC: {self._changed} {self._done}, "
            f"{self._left} left to the next pass; {ended_of(self._runners)}"
        )
