"""Builds with one known bug each, to show that the invariants detect it. For tests only.

A bug applies to the carts of users whose name begins with `bad-{bug}-`. The same processes serve
all other carts correctly, so that a run can compare both.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection
from temporalio import activity
from temporalio.client import Client

import worker
from activities.delivery import Delivery
from adapters.breaker import CircuitBreaker
from adapters.mongo import cart_writes
from adapters.mongo import operations as operation_store
from adapters.mongo.operations import Decision
from adapters.mongo.stores import StoreRegistry
from models.cart import CartKey
from models.cart_facts import CartFacts
from models.documents import Cart, OperationRecord
from models.effects import ReleaseEffect
from models.errors import DependencyUnavailable
from models.operations import RemoveItem, UpdateQuantity
from models.operations.merge_cart import MOVED
from models.orders import OrderRequest
from models.outcomes import OperationResult, Outcome, RefusalCode
from models.saga import SagaRun
from models.steps import PersistCart, ReserveInventory, SettleOperation
from workflows import ids


class KnownBug(StrEnum):
    """The bugs."""

    CLOCK = "clock"  # ids come from the clock instead of the run
    LATE_UNDO = "lateundo"  # an undo is registered after the step it undoes
    NO_SETTLING = "nosettling"  # an undo does not check first whether the pivot has committed
    NO_COMPARE = "nocompare"  # the cart is read outside the transaction that replaces it
    NO_EFFECTS = "noeffects"  # the record lacks the pending effects
    EARLY_RELEASE = "earlyrelease"  # units are released before the pivot
    WHOLE_QUANTITY = "wholequantity"  # an update reserves all units, not the difference
    TRUSTS_REDIS = "trustsredis"  # a read shows the latest version in Redis (`api_under_test`)
    LOOSE_DELETE = "loosedelete"  # a cleared cart is deleted outside the transaction
    RECORD_OF_RUN = "recordofrun"  # a run that is reset is another saga
    UNRECORDED_REFUSAL = "unrecordedrefusal"  # a refusal for too few units is not recorded
    FORGOTTEN = "forgotten"  # what a terminated run has reserved is not looked for
    COUNTS_ANSWERS = "countsanswers"  # a circuit opens by answers about one request
    ONE_CIRCUIT = "onecircuit"  # a circuit does not tell products apart
    PART_OF_BATCH = "partofbatch"  # the undo of a batch has one of its products
    STOPS_AT_FAILURE = "stopsatfailure"  # a relay's batch ends at its first failure
    NEVER_FROZEN = "neverfrozen"  # changes do not look whether the cart is checked out
    UNBOOKED = "unbooked"  # an order of a checkout takes what is in the cart by then
    KEEPS_MOVED = "keepsmoved"  # the undo of a merge does not give the guest's units back
    FREES_FIRST = "freesfirst"  # a merge releases the guest's units before it reserves them


def buggy_user(bug: KnownBug, rest: str) -> str:
    """A user whose carts are served with a bug."""
    return f"bad-{bug}-{rest}"


def with_known_bugs() -> None:
    """Puts the bugs outside the saga into their modules, each for its own users."""
    _ids_from_the_clock()
    _record_of_the_run()
    _no_compare_and_set()
    _delete_outside_the_transaction()
    _forgotten_runs()
    _batches_that_end_at_a_failure()
    _changes_of_frozen_carts()
    _orders_without_their_checkout()


def with_known_bugs_of_the_saga(adapters: dict[str, Any]) -> None:
    """The same for the bugs of the saga; they wrap the hooked adapters, and see injected errors."""
    _undo_after_the_step(adapters["inventory"], adapters["operations"])
    _release_before_the_pivot(adapters["inventory"], adapters["operations"], adapters["carts"])
    _whole_quantity(adapters["inventory"], adapters["carts"])
    _no_settling(adapters["operations"])
    _undo_less(adapters["operations"])
    _move_in_two_steps(adapters["inventory"])
    _unrecorded_refusals(adapters["operations"])
    _no_effects(adapters["operations"])
    _circuit_by_answers(adapters["inventory"])
    _circuit_of_all_products(adapters["inventory"])


def _has(bug: KnownBug) -> bool:
    """Whether the running activity is for a cart with that bug."""
    return activity.in_activity() and f"/bad-{bug}-" in (activity.info().workflow_id or "")


def _ids_from_the_clock() -> None:
    good: Callable[..., str] = ids.saga_id

    def saga_id(started_at: datetime, user_id: str, subject: str) -> str:
        if user_id.startswith(buggy_user(KnownBug.CLOCK, "")):
            started_at = datetime.fromtimestamp(time.time(), UTC)
        return good(started_at, user_id, subject)

    ids.saga_id = saga_id


def _record_of_the_run() -> None:
    good: Callable[..., SagaRun] = ids.saga_run

    def saga_run(*, run_id: str, user_id: str, **saga: Any) -> SagaRun:
        run = good(run_id=run_id, user_id=user_id, **saga)
        if not user_id.startswith(buggy_user(KnownBug.RECORD_OF_RUN, "")):
            return run
        return run.model_copy(update={"record_id": run_id})

    ids.saga_run = saga_run


def _undo_after_the_step(inventory: Any, operations: Any) -> None:
    """An undo that is registered after its step is missing if the step fails."""
    reserve, settle = inventory.reserve, operations.settle
    failed: set[str] = set()

    async def noting_failures(hold: ReserveInventory) -> Any:
        try:
            return await reserve(hold)
        except Exception:
            failed.add(hold.saga_id)
            raise

    async def without_the_failed(request: SettleOperation) -> OperationResult:
        if _has(KnownBug.LATE_UNDO):
            known = tuple(one for one in request.reserved or () if one.saga_id not in failed)
            request = request.model_copy(update={"reserved": known})
        result: OperationResult = await settle(request)
        return result

    inventory.reserve, operations.settle = noting_failures, without_the_failed


def _undo_less(operations: Any) -> None:
    """Some of what was reserved is not released."""
    settle = operations.settle

    async def settling(request: SettleOperation) -> OperationResult:
        undo = request.reserved or ()
        if _has(KnownBug.PART_OF_BATCH):
            request = request.model_copy(update={"reserved": undo[:1]})
        if _has(KnownBug.KEEPS_MOVED):
            kept = tuple(one for one in undo if not one.saga_id.endswith(MOVED))
            request = request.model_copy(update={"reserved": kept})
        result: OperationResult = await settle(request)
        return result

    operations.settle = settling


def _move_in_two_steps(inventory: Any) -> None:
    """For a moment the units are free."""
    transfer = inventory.transfer

    async def freeing(request: ReserveInventory) -> Any:
        if not _has(KnownBug.FREES_FIRST):
            return await transfer(request)
        freed = ReleaseEffect(
            id="freed",
            product_id=request.product_id,
            quantity=request.quantity,
            saga_id=f"{request.saga_id}-freed",
            reason="too early",
        )
        await inventory.release(request.store_id, request.from_user_id, freed)
        return await inventory.reserve(request.model_copy(update={"from_user_id": None}))

    inventory.transfer = freeing


def _no_settling(operations: Any) -> None:
    """Records the undo over the record that may be there."""
    settle = operations.settle

    async def unsettled(request: SettleOperation) -> OperationResult:
        if not _has(KnownBug.NO_SETTLING):
            result: OperationResult = await settle(request)
            return result
        record = OperationRecord.of(
            request.saga,
            outcome=Outcome.ABORTED,
            reason=request.reason,
            effects=request.reserved or (),
        )
        await record.save()
        operations._recent.keep(record.id, Decision(record, None, None))
        return record.result()

    operations.settle = unsettled


def _unrecorded_refusals(operations: Any) -> None:
    settle = operations.settle

    async def forgetful(request: SettleOperation) -> OperationResult:
        refusal = request.refusal
        if (
            refusal is None
            or refusal.code is not RefusalCode.INSUFFICIENT_STOCK
            or not _has(KnownBug.UNRECORDED_REFUSAL)
        ):
            result: OperationResult = await settle(request)
            return result
        return OperationRecord.of(request.saga, outcome=Outcome.REJECTED, refusal=refusal).result()

    operations.settle = forgetful


def _no_compare_and_set() -> None:
    """Reads the cart outside the transaction, and drops the version from the filter of the
    replacement."""
    find, replace_one = operation_store._find, AsyncCollection.replace_one

    async def read_outside(key: CartKey, session: Any = None) -> Any:
        return await find(key, None if _has(KnownBug.NO_COMPARE) else session)

    async def uncompared(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        if "version" in query and _has(KnownBug.NO_COMPARE):
            query = {name: value for name, value in query.items() if name != "version"}
        return await replace_one(self, query, *args, **kwargs)

    operation_store._find = read_outside
    AsyncCollection.replace_one = uncompared  # type: ignore[method-assign, assignment]


def _delete_outside_the_transaction() -> None:
    replace = cart_writes.replace_cart

    async def loose(before: Any, after: Any, session: Any) -> None:
        if before is not None and after is None and _has(KnownBug.LOOSE_DELETE):
            await Cart.find_one({"_id": before.id}).delete()
        else:
            await replace(before, after, session)

    cart_writes.replace_cart = loose


def _no_effects(operations: Any) -> None:
    """Deletes the pending effects from the record; the saga still has them."""
    persist = operations.persist

    async def forgetful(request: PersistCart) -> OperationResult:
        result: OperationResult = await persist(request)
        if _has(KnownBug.NO_EFFECTS):
            records = OperationRecord.get_pymongo_collection()
            await records.update_one(
                {"_id": result.record_id}, {"$set": {"effects": [], "pending": False, "due": {}}}
            )
        return result

    operations.persist = forgetful


def _release_before_the_pivot(inventory: Any, operations: Any, carts: Any) -> None:
    persist = operations.persist

    async def hasty(request: PersistCart) -> OperationResult:
        if _has(KnownBug.EARLY_RELEASE) and (freed := await _freed(carts, request)) is not None:
            await inventory.release(request.saga.store_id, request.saga.user_id, freed)
        result: OperationResult = await persist(request)
        return result

    operations.persist = hasty


async def _freed(carts: Any, request: PersistCart) -> ReleaseEffect | None:
    """The release that a pivot will make for its product."""
    operation = request.operation
    if not isinstance(operation, UpdateQuantity | RemoveItem):
        return None
    left = operation.quantity if isinstance(operation, UpdateQuantity) else 0
    quantity = await _units(carts, request.saga.key, operation.product_id) - left
    return ReleaseEffect(
        id="hasty",
        product_id=operation.product_id,
        quantity=quantity,
        saga_id=request.saga.saga_id,
        reason="too early",
    )


async def _units(carts: Any, key: CartKey, product_id: str) -> int:
    """How many units of a product are in the user's cart."""
    cart = await carts.cart(key)
    line = cart.line(product_id) if cart else None
    return line.product_quantity if line else 0


def _whole_quantity(inventory: Any, carts: Any) -> None:
    reserve = inventory.reserve

    async def generous(hold: ReserveInventory) -> Any:
        if _has(KnownBug.WHOLE_QUANTITY):
            key = CartKey(hold.store_id, hold.user_id)
            units = await _units(carts, key, hold.product_id)
            hold = hold.model_copy(update={"quantity": hold.quantity + units})
        return await reserve(hold)

    inventory.reserve = generous


def _forgotten_runs() -> None:
    """Does not register a store before its first reservation, and skips terminated runs."""
    module: Any = worker
    register, stopped = StoreRegistry.register, module.stopped_sagas

    async def unregistered(self: StoreRegistry, store_id: str) -> None:
        if not _has(KnownBug.FORGOTTEN):
            await register(self, store_id)

    async def without_forgotten(client: Client, since: datetime, *, limit: int) -> list[SagaRun]:
        sagas: list[SagaRun] = await stopped(client, since, limit=limit)
        forgotten = buggy_user(KnownBug.FORGOTTEN, "")
        return [saga for saga in sagas if not saga.user_id.startswith(forgotten)]

    StoreRegistry.register = unregistered  # type: ignore[method-assign]
    module.stopped_sagas = without_forgotten


def _circuit_by_answers(inventory: Any) -> None:
    """A circuit of its own, so that it does not open for the correct build.

    An answer about one request is a failure of the inventory, and all products share one circuit.
    It opens at once, since calls of other products may succeed between two failures.
    """
    reserve = inventory.reserve
    circuit = CircuitBreaker("inventory", call="bug", failures=1, cooldown_seconds=10)

    async def counting(hold: ReserveInventory) -> Any:
        if not _has(KnownBug.COUNTS_ANSWERS):
            return await reserve(hold)
        async with circuit.guard():
            reservation = await reserve(hold)
            if not reservation.accepted:
                raise DependencyUnavailable("inventory", "answered 400")
        return reservation

    inventory.reserve = counting


def _circuit_of_all_products(inventory: Any) -> None:
    """A circuit of its own, so that it does not open for the correct build; it opens at once."""
    reserve = inventory.reserve
    circuit = CircuitBreaker("inventory", call="bug", failures=1, cooldown_seconds=10)

    async def undivided(hold: ReserveInventory) -> Any:
        if not _has(KnownBug.ONE_CIRCUIT):
            return await reserve(hold)
        async with circuit.guard():
            return await reserve(hold)

    inventory.reserve = undivided


def _batches_that_end_at_a_failure() -> None:
    """A batch does the effects of carts one by one, up to one that fails, which stays the first."""
    module: Any = Delivery
    deliver, defer = module.deliver, module._defer
    bad = buggy_user(KnownBug.STOPS_AT_FAILURE, "")
    failed: set[Any] = set()

    async def up_to_a_failure(self: Any, carts: Sequence[CartKey], **limits: Any) -> None:
        await deliver(self, [cart for cart in carts if not cart.user_id.startswith(bad)], **limits)
        for cart in carts:
            if cart.user_id.startswith(bad) and self not in failed:
                await deliver(self, [cart], **limits)
        failed.discard(self)

    async def not_deferred(self: Any, record: Any, failure: Any) -> None:
        if record.user_id.startswith(bad):
            failed.add(self)
        else:
            await defer(self, record, failure)

    module.deliver, module._defer = up_to_a_failure, not_deferred


def _changes_of_frozen_carts() -> None:
    module: Any = operation_store
    facts_of = module.facts_of

    def thawed(*args: Any, **kwargs: Any) -> CartFacts:
        facts: CartFacts = facts_of(*args, **kwargs)
        return (
            facts.model_copy(update={"checkout_id": None}) if _has(KnownBug.NEVER_FROZEN) else facts
        )

    module.facts_of = thawed


def _orders_without_their_checkout() -> None:
    module: Any = operation_store
    find_ordered = module.find_ordered

    async def of_the_cart(order: OrderRequest, key: CartKey, cart: Any) -> Any:
        if _has(KnownBug.UNBOOKED):
            order = order.model_copy(update={"checkout_id": None})
        return await find_ordered(order, key, cart)

    module.find_ordered = of_the_cart
