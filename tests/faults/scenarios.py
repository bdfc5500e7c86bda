"""For each known mistake the shortest course of events in which it shows.

A good build goes through the same unharmed. What is not in here: the mistakes (`known_bad`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from api.schemas import AddItemBody
from models.messages import AddItemInput
from tests.faults.control import DIE, GO, Place, Reply, Trap, echo, error
from tests.faults.known_bad import Mistake
from tests.faults.rig import Rig
from tests.faults.traffic import Ledger, buy, prepare
from tests.faults.wishes import PRICES, Habit, Request, What
from workflows import ids
from workflows.add_item import AddItemWorkflow
from workflows.gateway import fingerprint, new_attempt, policy_of

FOR_EVER = 1000
SECONDS = 30.0
TASK_TIMEOUT = timedelta(seconds=1)
"""Of a workflow task: a deadline is heard only between two of its heartbeats."""


@dataclass
class Course:
    """One buyer of one store, in a course of events that may run beside others."""

    rig: Rig
    ledger: Ledger
    user_id: str
    together: asyncio.Barrier  # of all courses that run at once: a worker dies for all of them

    def wish(self, what: What = What.ADD, habit: Habit = Habit.INSISTS) -> Request:
        number = len(self.ledger.requests)
        return Request(number, self.user_id, "lamp", 2, f"key-{number}", habit, what)

    async def buy(self, what: What = What.ADD, habit: Habit = Habit.INSISTS) -> Request:
        request = self.wish(what, habit)
        await prepare(self.ledger, request)
        await buy(self.ledger, request)
        return request

    async def carry_out(self, workflow_id: str, *, deadline_seconds: float = 30) -> None:
        """Starts a saga past the API and waits for its end."""
        request = self.wish()
        self.ledger.requests.append(request)
        price = Decimal(PRICES[request.product_id])
        body = AddItemBody.model_validate(request.body() | {"productPrice": price})
        asked = body.model_dump(by_alias=True, exclude={"idempotency_key"}, exclude_none=True)
        policy = policy_of(self.rig.settings)
        await self.rig.temporal.execute_workflow(
            AddItemWorkflow.run,
            AddItemInput(
                store_id=self.ledger.store_id,
                user_id=request.user_id,
                operation_id=self.ledger.operation_id(request),
                attempt_id=new_attempt(),
                fingerprint=fingerprint(ids.ADD_ITEM, asked),
                policy=policy.model_copy(update={"deadline_seconds": deadline_seconds}),
                product_id=body.product_id,
                product_title=body.product_title,
                product_price=body.product_price,
                quantity=body.quantity,
            ),
            id=workflow_id,
            task_queue=self.rig.settings.temporal_task_queue,
            task_timeout=TASK_TIMEOUT,
        )

    def arm(self, place: Place, spring: Callable[[Trap], Awaitable[Reply]], times: int = 1) -> Trap:
        workflow_id = self.ledger.workflow_id(self.user_id)
        return self.rig.control.arm(Trap(workflow_id, place, spring, times))


async def the_worker_dies_when_it_has_reserved(course: Course) -> None:
    """All steps run again in another process, seconds later: they must make the same ids."""

    async def die(_: Trap) -> Reply:
        await course.together.wait()
        return DIE

    course.arm(Place("reserve", "after"), die)
    await course.buy()


async def the_reserves_answer_is_lost(course: Course) -> None:
    """The step fails and yet it was done: it must be undone all the same."""
    course.arm(Place("reserve", "after"), _always(error("inventory")), times=FOR_EVER)
    await course.buy(habit=Habit.LEAVES)


async def the_pivots_answer_is_lost_until_the_deadline(course: Course) -> None:
    """The saga gives up on a pivot that has committed: it must find out before it undoes."""
    trap = course.arm(Place("commit", "after"), _always(error("mongodb")), times=FOR_EVER)
    await course.carry_out(course.ledger.workflow_id(course.user_id), deadline_seconds=0.5)
    course.rig.control.disarm(trap)


async def a_second_saga_overtakes(course: Course) -> None:
    """Another saga, under an id of its own, changes the cart that the pivot has just read."""
    await course.buy()

    async def overtake(_: Trap) -> Reply:
        # As nothing in the service ever does: a cart's sagas share one id.
        await course.carry_out(course.ledger.workflow_id(course.user_id) + "/beside")
        return GO

    course.arm(Place("pivot", "before"), overtake)
    await course.buy()


async def a_write_to_the_cache_arrives_late(course: Course) -> None:
    """The first change's write comes once more after the second one's."""
    course.arm(Place("put", "after"), _always(echo(3.0)))
    echoed = course.arm(Place("put", "echoed"), _always(GO))
    await course.buy()
    second = await course.buy()
    async with asyncio.timeout(SECONDS):
        await echoed.sprung.wait()
    await course.ledger.read(second, second.told[-1])


async def the_event_cannot_be_published_at_once(course: Course) -> None:
    """What the saga could not publish is known from the record alone."""
    course.arm(Place("publish", "before"), _always(error("kafka")))
    await course.buy()


async def a_removal_does_not_come_to_its_pivot(course: Course) -> None:
    """It ends undone, and its line stays in the cart: so must its units."""
    await course.buy()
    # Longer than the deadline of a saga, after which it gives up.
    course.arm(Place("transaction", "before"), _always(error("mongodb")), times=FOR_EVER)
    await course.buy(What.REMOVE, Habit.LEAVES)


async def a_line_gets_more(course: Course) -> None:
    """Of its units some are held already."""
    await course.buy()
    await course.buy(What.MORE)


async def a_cart_is_cleared_and_read(course: Course) -> None:
    """Its reader has been told that it is gone."""
    await course.buy()
    cleared = await course.buy(What.CLEAR)
    await course.ledger.read(cleared, cleared.told[-1])


SCENARIOS: Mapping[Mistake, Callable[[Course], Awaitable[None]]] = {
    Mistake.CLOCK: the_worker_dies_when_it_has_reserved,
    Mistake.LATE_UNDO: the_reserves_answer_is_lost,
    Mistake.NO_SETTLING: the_pivots_answer_is_lost_until_the_deadline,
    Mistake.NO_COMPARE: a_second_saga_overtakes,
    Mistake.BACKWARDS: a_write_to_the_cache_arrives_late,
    Mistake.NO_EFFECTS: the_event_cannot_be_published_at_once,
    Mistake.EARLY_RELEASE: a_removal_does_not_come_to_its_pivot,
    Mistake.WHOLE_QUANTITY: a_line_gets_more,
    Mistake.NO_TOMBSTONE: a_cart_is_cleared_and_read,
}


def _always(reply: Reply) -> Callable[[Trap], Awaitable[Reply]]:
    async def spring(_: Trap) -> Reply:
        return reply

    return spring
