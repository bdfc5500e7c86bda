"""For each known bug of one cart (`known_bugs`) the shortest scenario that shows it.

A correct build has no violation in the same scenario.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import count
from uuid import uuid4

from temporalio.client import WorkflowExecutionStatus

from api.schemas import AddItemBody
from models.cart import CartKey
from models.documents import bucket_of
from models.operations import AddItem
from tests.faults.cart_requests import PRICES, CartAction, CartRequest, Order, RetryHabit
from tests.faults.event_traffic import EventTraffic
from tests.faults.known_bugs import KnownBug
from tests.faults.partial.faults import INVENTORY, SickPart, applied
from tests.faults.proxy import Mode
from tests.faults.rig import FaultRig
from tests.faults.shoppers import Ledger, check_out, perform, prepare
from tests.faults.triggers import CONTINUE, DIE, CallPoint, Instruction, Trigger, error
from tests.support.actors import SHOPPER
from tests.support.call_faults import FOR_EVER, SHORT_DEADLINE
from tests.support.resets import reset_to_first_task
from tests.support.waiting import eventually
from workflows.add_item import AddItemWorkflow
from workflows.requests import fingerprint, policy_of

SECONDS = 30.0
SOON = 10.0
WELL, SICK = "lamp", "desk"
"""Products; the second one is sick in the scenarios of a partial fault."""
TASK_TIMEOUT = timedelta(seconds=1)
"""The timeout of a workflow task: a deadline takes effect only between two of its heartbeats."""


@dataclass
class BugScenario:
    """One shopper of one store; the scenarios of a correct and a buggy build run together."""

    rig: FaultRig
    ledger: Ledger
    user_id: str
    together: asyncio.Barrier  # both scenarios wait here before they break what they share

    def new_request(
        self,
        action: CartAction = CartAction.ADD,
        habit: RetryHabit = RetryHabit.RETRIES,
        *,
        user: str = "",
        product_id: str = WELL,
    ) -> CartRequest:
        """A request of the shopper, or of another one (`user`) of the same build."""
        number = len(self.ledger.requests)
        user_id = f"{self.user_id}{user}"
        return CartRequest(number, user_id, product_id, 2, f"key-{number}", habit, action)

    async def perform(
        self,
        action: CartAction = CartAction.ADD,
        habit: RetryHabit = RetryHabit.RETRIES,
        **other: str,
    ) -> CartRequest:
        request = self.new_request(action, habit, **other)
        await prepare(self.ledger, request)
        await perform(self.ledger, request)
        return request

    async def carry_out(self, workflow_id: str, *, deadline_seconds: float = 30) -> None:
        """Starts a saga without the API, and waits for its end."""
        request = self.new_request()
        self.ledger.requests.append(request)
        price = Decimal(PRICES[request.product_id])
        body = AddItemBody.model_validate(request.body() | {"productPrice": price})
        asked = body.model_dump(by_alias=True, exclude={"idempotency_key"}, exclude_none=True)
        policy = policy_of(self.rig.settings)
        await self.rig.temporal.execute_workflow(
            AddItemWorkflow.run,
            AddItem(
                store_id=self.ledger.store_id,
                user_id=request.user_id,
                operation_id=self.ledger.operation_id(request),
                attempt_id=uuid4().hex,
                fingerprint=fingerprint(AddItem.name, asked),
                actor=SHOPPER,
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

    async def ended_run(self, workflow_id: str) -> str:
        """Waits until the latest run has ended; its id."""

        async def ended() -> str:
            run = await self.rig.temporal.get_workflow_handle(workflow_id).describe()
            assert run.status is not WorkflowExecutionStatus.RUNNING
            return run.run_id

        return await eventually(ended, timeout=SECONDS)

    def neighbour(self) -> str:
        """Another shopper whose cart's effects are done by the same relay."""

        def shard(user: str) -> int:
            cart = CartKey(self.ledger.store_id, f"{self.user_id}{user}")
            return bucket_of(cart) % self.rig.settings.relay_shards

        return next(f"-{n}" for n in count() if shard(f"-{n}") == shard(""))

    def sick(self, call: str, *, status: int) -> AbstractAsyncContextManager[None]:
        """Inside, the inventory answers this for the sick product."""
        [fault] = [
            one
            for one in INVENTORY
            if one.inventory == {"action": call, "fault": "answer", "status": status}
        ]
        part = SickPart(self.ledger.store_id, self.user_id, SICK)
        return applied(self.rig, fault, part)

    def arm(
        self,
        call_point: CallPoint,
        fire: Callable[[Trigger], Awaitable[Instruction]],
        times: int = 1,
    ) -> Trigger:
        workflow_id = self.ledger.workflow_id(self.user_id)
        return self.rig.triggers.arm(Trigger(workflow_id, call_point, fire, times))


async def the_worker_dies_when_it_has_reserved(scenario: BugScenario) -> None:
    """All steps run again in another process, and must generate the same ids."""

    async def die(_: Trigger) -> Instruction:
        await scenario.together.wait()
        return DIE

    scenario.arm(CallPoint("reserve", "after"), die)
    await scenario.perform()


async def the_reserves_answer_is_lost(scenario: BugScenario) -> None:
    """The step fails although it was done, and must be undone."""
    scenario.arm(CallPoint("reserve", "after"), _always(error("inventory")), times=FOR_EVER)
    await scenario.perform(habit=RetryHabit.NEVER_RETRIES)


async def the_pivots_answer_is_lost_until_the_deadline(scenario: BugScenario) -> None:
    """The saga stops waiting for a pivot that has committed, and must check before it undoes."""
    trigger = scenario.arm(CallPoint("persist", "after"), _always(error("mongodb")), times=FOR_EVER)
    await scenario.carry_out(
        scenario.ledger.workflow_id(scenario.user_id), deadline_seconds=SHORT_DEADLINE
    )
    scenario.rig.triggers.disarm(trigger)


async def a_second_saga_overtakes(scenario: BugScenario) -> None:
    """Another saga changes the cart that the pivot has just read."""
    await scenario.perform()

    async def overtake(_: Trigger) -> Instruction:
        # The service never does this: all sagas of a cart share one workflow id.
        await scenario.carry_out(scenario.ledger.workflow_id(scenario.user_id) + "/beside")
        return CONTINUE

    scenario.arm(CallPoint("pivot", "before"), overtake)
    await scenario.perform()


async def the_event_cannot_be_published_at_once(scenario: BugScenario) -> None:
    """Only the record shows that the event is not published."""
    scenario.arm(CallPoint("publish", "before"), _always(error("kafka")))
    await scenario.perform()


async def a_removal_never_commits(scenario: BugScenario) -> None:
    """The removal ends undone; its line stays in the cart, so its units stay held."""
    await _never_commits(scenario, CartAction.REMOVE)


async def a_clear_never_commits(scenario: BugScenario) -> None:
    """The clear ends undone; the cart stays."""
    await _never_commits(scenario, CartAction.CLEAR)


async def _never_commits(scenario: BugScenario, action: CartAction) -> None:
    """Fails the transaction of a change of a cart for longer than the deadline of its saga."""
    await scenario.perform()
    failing = scenario.arm(
        CallPoint("transaction", "before"), _always(error("mongodb")), times=FOR_EVER
    )
    await scenario.perform(action, RetryHabit.NEVER_RETRIES)
    await scenario.ended_run(scenario.ledger.workflow_id(scenario.user_id))
    scenario.rig.triggers.disarm(failing)  # the watch repairs this cart later


async def a_batch_never_commits(scenario: BugScenario) -> None:
    """The batch ends undone, and no unit of its products stays held."""
    await _never_commits(scenario, CartAction.BATCH)


async def a_line_is_increased(scenario: BugScenario) -> None:
    """Some of the line's units are held already."""
    await scenario.perform()
    await scenario.perform(CartAction.INCREASE)


async def the_cache_misses_a_change(scenario: BugScenario) -> None:
    """Redis keeps the version before a change that the worker could not write."""
    await scenario.perform()
    await scenario.together.wait()
    async with scenario.rig.links["worker-redis"].broken(Mode.CUT):
        await scenario.perform()
        await scenario.together.wait()


async def a_completed_add_is_reset(scenario: BugScenario) -> None:
    """All steps of a committed saga run again."""
    await scenario.perform()
    workflow_id = scenario.ledger.workflow_id(scenario.user_id)
    run_id = await scenario.ended_run(workflow_id)
    await reset_to_first_task(scenario.rig.temporal, workflow_id, run_id)
    await scenario.ended_run(workflow_id)


async def there_are_units_again_after_a_refusal(scenario: BugScenario) -> None:
    """The worker dies after it has replied that there are too few units."""
    ledger = scenario.ledger
    await ledger.stock_up({"lamp": 1})
    await _until_replies_go_through_redis(scenario)

    async def restock_and_die(_: Trigger) -> Instruction:
        await ledger.stock_up({"lamp": 9})
        await scenario.together.wait()
        return DIE

    # Together, because the step that waits here for the other scenario times out.
    await scenario.together.wait()
    replied = scenario.arm(CallPoint("announce", "after"), restock_and_die)
    await scenario.perform(habit=RetryHabit.NEVER_RETRIES)
    async with asyncio.timeout(SECONDS):
        await replied.fired.wait()
    await scenario.ended_run(ledger.workflow_id(scenario.user_id))


async def _until_replies_go_through_redis(scenario: BugScenario) -> None:
    """Repeats a refused add: an earlier scenario may have had Redis down."""
    replied = scenario.arm(CallPoint("announce", "after"), _always(CONTINUE))
    async with asyncio.timeout(SECONDS):
        while not replied.fired.is_set():
            await scenario.perform(habit=RetryHabit.NEVER_RETRIES)


async def the_first_run_in_a_store_is_terminated(scenario: BugScenario) -> None:
    """Only the inventory, and the run in Temporal, know of the reservation."""

    async def terminate_and_die(trigger: Trigger) -> Instruction:
        temporal = scenario.rig.temporal
        run = temporal.get_workflow_handle(trigger.workflow_id, run_id=trigger.run_id)
        await run.terminate("a test")
        await scenario.together.wait()
        return DIE

    scenario.arm(CallPoint("reserve", "after"), terminate_and_die)
    await scenario.perform(habit=RetryHabit.NEVER_RETRIES)


async def a_product_is_not_accepted(scenario: BugScenario) -> None:
    """Another shopper keeps asking for a product for which the inventory answers 400."""
    await a_product_is_sick(scenario, status=400)


async def a_product_fails(scenario: BugScenario) -> None:
    """The same, and the inventory answers 500."""
    await a_product_is_sick(scenario, status=500)


async def a_product_is_sick(scenario: BugScenario, status: int) -> None:
    """Another shopper keeps asking for a product for which the inventory answers so."""
    ledger = scenario.ledger
    await ledger.stock_up({SICK: 100})
    async with scenario.sick("reserve", status=status):
        for _ in range(4):
            await scenario.perform(habit=RetryHabit.NEVER_RETRIES, user="-sick", product_id=SICK)
        request = await scenario.perform(habit=RetryHabit.NEVER_RETRIES)
    statuses = [reply.status for reply in request.replies]
    if not request.replies[-1].committed:
        ledger.noticed.append((scenario.user_id, f"another product was answered {statuses}"))


async def releases_of_a_product_fail(scenario: BugScenario) -> None:
    """They are pending, and another cart of the same shard has a release to do behind them."""
    ledger, once = scenario.ledger, _always(error("inventory"))
    await ledger.stock_up({SICK: 100})
    neighbour = scenario.neighbour()
    await scenario.perform()
    await scenario.perform(user=neighbour, product_id=SICK)
    async with scenario.sick("release", status=500):
        await scenario.perform(CartAction.REMOVE, user=neighbour, product_id=SICK)
        scenario.arm(CallPoint("release", "before"), once)
        await scenario.perform(CartAction.REMOVE)

        async def done() -> None:
            mine = {"storeId": ledger.store_id, "userId": scenario.user_id, "pending": True}
            assert await scenario.rig.database["operations"].find_one(mine) is None

        try:
            await eventually(done, timeout=SOON)
        except AssertionError:
            ledger.noticed.append((scenario.user_id, "a release of another product waits"))


async def a_frozen_cart_is_added_to(scenario: BugScenario) -> None:
    """The shopper has checked out, and adds in another tab."""
    await scenario.perform()
    await check_out(scenario.ledger, scenario.new_request(CartAction.CHECK_OUT))
    await scenario.perform(habit=RetryHabit.NEVER_RETRIES)


async def a_payment_comes_late(scenario: BugScenario) -> None:
    """The checkout was cancelled, and the cart has more units by then."""
    ledger = scenario.ledger
    await scenario.perform()
    checkout = scenario.new_request(CartAction.CHECK_OUT)
    await check_out(ledger, checkout)
    await perform(ledger, scenario.new_request(CartAction.THAW))
    added = await scenario.perform()
    cart = added.replies[-1].cart
    assert cart is not None
    traffic = EventTraffic(scenario.rig, ledger, random.Random(0), _nothing)
    order = Order(whole=True, checkout_id=ledger.operation_id(checkout))
    await traffic.order(scenario.user_id, cart["_id"], order)
    await eventually(traffic.settled(), timeout=SECONDS)


async def _nothing(_: int) -> None:
    pass


SCENARIOS: Mapping[KnownBug, Callable[[BugScenario], Awaitable[None]]] = {
    KnownBug.CLOCK: the_worker_dies_when_it_has_reserved,
    KnownBug.LATE_UNDO: the_reserves_answer_is_lost,
    KnownBug.NO_SETTLING: the_pivots_answer_is_lost_until_the_deadline,
    KnownBug.NO_COMPARE: a_second_saga_overtakes,
    KnownBug.NO_EFFECTS: the_event_cannot_be_published_at_once,
    KnownBug.EARLY_RELEASE: a_removal_never_commits,
    KnownBug.PART_OF_BATCH: a_batch_never_commits,
    KnownBug.WHOLE_QUANTITY: a_line_is_increased,
    KnownBug.TRUSTS_REDIS: the_cache_misses_a_change,
    KnownBug.LOOSE_DELETE: a_clear_never_commits,
    KnownBug.RECORD_OF_RUN: a_completed_add_is_reset,
    KnownBug.UNRECORDED_REFUSAL: there_are_units_again_after_a_refusal,
    KnownBug.FORGOTTEN: the_first_run_in_a_store_is_terminated,
    KnownBug.COUNTS_ANSWERS: a_product_is_not_accepted,
    KnownBug.ONE_CIRCUIT: a_product_fails,
    KnownBug.STOPS_AT_FAILURE: releases_of_a_product_fail,
    KnownBug.NEVER_FROZEN: a_frozen_cart_is_added_to,
    KnownBug.UNBOOKED: a_payment_comes_late,
}


def _always(reply: Instruction) -> Callable[[Trigger], Awaitable[Instruction]]:
    async def fire(_: Trigger) -> Instruction:
        return reply

    return fire
