"""Look at a cart under its lock, and repair what has drifted."""

from functools import partial

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.upkeep.repair import RepairActivities
    from models.messages import (
        Drift,
        DriftKind,
        OperationResult,
        Refusal,
        RepairCart,
        RepairCartInput,
    )
    from models.relays import RelayKind
    from models.steps import LoadedCart, Recorded
    from models.upkeep.reconcile import ExamineCart, ForgetCached
    from workflows import ids, policies
    from workflows.cart_workflow import CartWorkflow
    from workflows.saga import Refused, Saga
    from workflows.steps import step


@workflow.defn(name=ids.REPAIR_CART)
class RepairCartWorkflow(CartWorkflow):
    """compensatable: examine, reserve what lacks · pivot: record · retriable: release what is too
    much, cache."""

    def __init__(self) -> None:
        super().__init__()
        self._drifts: tuple[Drift, ...] = ()

    @workflow.run
    async def run(self, request: RepairCartInput) -> OperationResult:
        """Answers the drifts, and what was done about each; `unchanged` when nothing was."""
        saga = Saga(ids.REPAIR_CART, request)
        result = await self.carry_out(saga, self._steps(saga, request))
        return result.model_copy(update={"drifts": self._drifts or None})

    async def _steps(self, saga: Saga, request: RepairCartInput) -> Recorded | None:
        cart = await saga.load()
        examination = ExamineCart(
            run=saga.run,
            stuck_before=request.stuck_before,
            reserving=request.policy.reserve,
            caching=request.policy.cache,
        )
        examined = await step(
            "inventory",
            workflow.execute_local_activity_method(
                RepairActivities.examine, examination, **policies.EXAMINE
            ),
        )
        self._drifts = examined.drifts
        if not request.fix:
            return None
        self._drifts = tuple([await self._mend(saga, drift) for drift in examined.drifts])
        mended = [drift for drift in self._drifts if drift.done is not None]
        if all(drift.kind is DriftKind.STUCK_EFFECT for drift in mended):
            return None
        return await saga.commit(
            RepairCart(request=request, drifts=self._drifts), partial(_refusal_unless_same, cart)
        )

    async def _mend(self, saga: Saga, drift: Drift) -> Drift:
        """The drift with what is done about it; what is too much is released after the pivot."""
        done: str | None = None
        match drift.kind:
            case DriftKind.ORPHANED_HOLD:
                done = f"released {drift.found - drift.expected}"
            case DriftKind.MISSING_HOLD:
                done = await self._reserved(saga, drift)
            case DriftKind.STALE_CACHE:
                await self._forget(saga)
                done = "cached anew"
            case DriftKind.STUCK_EFFECT:
                kind = RelayKind.RELEASES if drift.product_id else RelayKind.EVENTS
                await saga.leave_to_relay(kind)
                done = f"woke the relay of {kind}"
        workflow.logger.warning("Repair: %s, %s: %s", drift.kind, drift.detail, done)
        return drift.model_copy(update={"done": done})

    async def _reserved(self, saga: Saga, drift: Drift) -> str | None:
        missing = drift.expected - drift.found
        try:
            await saga.reserve(drift.product_id or "", missing)
        except Refused:
            return None  # they are sold to somebody else; the shopper has to be told
        return f"reserved {missing}"

    async def _forget(self, saga: Saga) -> None:
        request = ForgetCached(store_id=saga.run.store_id, user_id=saga.run.user_id)
        await step(
            "redis",
            workflow.execute_local_activity_method(
                RepairActivities.forget, request, **policies.SHOW
            ),
        )


def _refusal_unless_same(examined: LoadedCart, cart: LoadedCart) -> Refusal | None:
    """Whoever changed the cart without its lock must not be overwritten."""
    if (cart.cart_id, cart.version) == (examined.cart_id, examined.version):
        return None
    return Refusal(code="precondition_failed")
