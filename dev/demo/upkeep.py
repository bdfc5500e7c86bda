"""What the service does by itself on that day: it clears a forgotten cart, and finds a lost hold.

A month cannot be waited for, and holds are not lost: the demo dates a cart's end into the past, and
holds a unit for nobody, as no client could.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from temporalio.service import RPCError

from cli.console import CliError, reason
from cli.ops.desk import Desk, open_desk
from dev.demo.day import HEADPHONES, Day
from dev.demo.walk import Answer, Call, NoAnswer, Step
from models.cart import Cart
from models.errors import DependencyUnavailable
from models.upkeep.reconcile import ReconcileInput
from settings import Settings
from workflows import ids

FORGETFUL = "forgetful"


@asynccontextmanager
async def _desk(settings: Settings) -> AsyncIterator[Desk]:
    """An operator's connections; raises `NoAnswer`."""
    try:
        async with open_desk(settings) as desk:
            yield desk
    except (CliError, DependencyUnavailable, RPCError) as error:
        raise NoAnswer(reason(error)) from error


async def let_a_month_pass(settings: Settings, store: str, user: str) -> None:
    """Dates the end of a user's cart into the past, and starts the pass that comes every 5 min."""
    async with _desk(settings) as desk:
        await Cart.find_one({"storeId": store, "userId": user}).update(
            {"$set": {"expireAt": datetime.now(UTC)}}
        )
        await desk.temporal.get_schedule_handle(ids.EXPIRY_SCHEDULE).trigger()


async def repair(settings: Settings, store: str) -> tuple[list[dict[str, Any]], str]:
    """Repairs the carts of a store: (what was found and done, the page of the run)."""
    async with _desk(settings) as desk:
        run = await desk.gateway.reconcile(ReconcileInput(store_id=store, fix=True))
        report = await run.result()
        found = [
            finding.drift.model_dump(mode="json", include={"kind", "product_id", "detail", "done"})
            for finding in report.findings
        ]
        return found, desk.pages.workflow(run.id, run.first_execution_run_id)


async def somebody_forgets_a_cart(day: Day) -> Step:
    add = day.add(HEADPHONES, 1, user=FORGETFUL)
    step = await day.ask("Somebody takes headphones and forgets about them", add)
    step.expect(201, {"quantity": 1})
    return step


async def forgotten_cart_expires(day: Day) -> Step:
    step = await day.watch(
        f"After {day.settings.cart_expiry_days} days the cart is cleared",
        f"schedule {ids.EXPIRY_SCHEDULE}",
        let_a_month_pass(day.settings, day.store, FORGETFUL),
        Call("GET", day.cart, FORGETFUL),
        lambda answer: answer.status == 404,  # noqa: PLR2004
    )
    step.expect(404, {"message": "Cart not found"})
    return step


async def a_hold_is_lost(day: Day) -> Step:
    step = await day.ask("Somewhere a unit is held for nobody", day.hold("headphones", 1))
    step.expect(200)
    return step


async def lost_hold_is_repaired(day: Day) -> Step:
    step = Step(
        "The repair finds it and gives it back", f"cart reconcile --store {day.store} --fix"
    )
    found, page = await repair(day.settings, day.store)
    step.answers = [Answer(200, {"found": found}, {})]
    step.expect(200, {"found": [{"kind": "orphaned_hold", "done": "released 1"}]})
    step.sagas = [page]
    day.taken.append(step)
    return step
