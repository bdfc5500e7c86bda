"""Look at a cart under its lock, and repair what has drifted."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.upkeep.repair import RepairActivities
    from models.drift import Drift, DriftKind
    from models.effects import EffectKind
    from models.operations import RepairCart
    from models.operations.base import UNDO, releases_of
    from models.outcomes import OperationResult
    from models.upkeep.reconcile import ExamineCart, ForgetCached
    from workflows import policies
    from workflows.cart_workflow import CartWorkflow
    from workflows.saga import Saga
    from workflows.steps import step


@workflow.defn(name=RepairCart.name)
class RepairCartWorkflow(CartWorkflow[RepairCart]):
    """Compare what is stored about the cart, reserve what is missing, record the repair, then
    release what is held and not in the cart."""

    def __init__(self) -> None:
        super().__init__()
        self._drifts: tuple[Drift, ...] = ()

    @workflow.run
    async def run(self, operation: RepairCart) -> OperationResult:
        """Returns the drifts, and what was done about each; `unchanged` when nothing was done."""
        result = await self.execute(operation)
        return result.model_copy(update={"drifts": self._drifts or None})

    async def steps(self, saga: Saga, operation: RepairCart) -> None:
        # Before the pivot.
        cart = await saga.load_cart()
        examined = await step(
            "inventory",
            workflow.execute_local_activity_method(
                RepairActivities.examine,
                ExamineCart(
                    store_id=operation.store_id,
                    user_id=operation.user_id,
                    stuck_before=operation.stuck_before,
                    reserving=operation.policy.reserve,
                    caching=operation.policy.cache,
                ),
                **policies.EXAMINE_CART,
            ),
        )
        self._drifts = examined.drifts
        if not operation.fix:
            return
        self._drifts = tuple([await _repair(saga, drift) for drift in examined.drifts])
        repaired = [drift for drift in self._drifts if drift.done is not None]
        if all(drift.kind is DriftKind.STUCK_EFFECT for drift in repaired):
            return
        # The pivot. Undo: settle_operation, unless the repair turns out to be recorded.
        await saga.persist_cart(
            operation.model_copy(update={"drifts": self._drifts}), expected=cart
        )
        # After the pivot. What fails here stays pending, and a relay does it.
        await saga.complete(saga.refresh_cache, saga.release_inventory)


async def _repair(saga: Saga, drift: Drift) -> Drift:
    """The drift with what is done about it; surplus units are released after the pivot."""
    done: str | None = None
    match drift.kind:
        case DriftKind.ORPHANED_HOLD:
            done = f"released {drift.found - drift.expected}"
        case DriftKind.MISSING_HOLD:
            done = await _reserve(saga, drift)
        case DriftKind.STALE_CACHE:
            await _forget_cached(saga)
            done = "cached again" if drift.expected else "removed from the cache"
        case DriftKind.STUCK_EFFECT:
            kind = EffectKind.RELEASE if drift.product_id else EffectKind.EVENT
            await saga.wake_relay(kind)
            done = f"woke the relay of {kind}s"
    workflow.logger.warning("Repair: %s, %s: %s", drift.kind, drift.detail, done)
    return drift.model_copy(update={"done": done})


async def _reserve(saga: Saga, drift: Drift) -> str | None:
    missing = drift.expected - drift.found
    # Undo: release_inventory.
    [undo] = releases_of(saga.run, {drift.product_id or "": missing}, UNDO)
    answer = await saga.try_reserve(undo)
    # Else the units are sold; the shopper must choose again.
    return f"reserved {missing}" if answer.granted else None


async def _forget_cached(saga: Saga) -> None:
    await step(
        "redis",
        workflow.execute_local_activity_method(
            RepairActivities.forget,
            ForgetCached(store_id=saga.run.store_id, user_id=saga.run.user_id),
            **policies.REFRESH_CACHE,
        ),
    )
