"""MongoDB: what reconciling has found."""

from collections.abc import Sequence
from datetime import UTC, datetime

from adapters.mongo.client import LIST_SECONDS, bounded
from models.upkeep.findings import CartFindings
from models.upkeep.reconcile import Finding

PAGE = 200


class FindingStore:
    """Stored findings. Raises `DependencyUnavailable` when MongoDB does not answer."""

    async def keep(self, run: str, cart: Sequence[Finding]) -> None:
        """Stores the findings of a cart, in place of earlier ones of the run."""
        first = cart[0]
        found = CartFindings(
            _id=f"{run}/{first.store_id}/{first.user_id}",
            run=run,
            store_id=first.store_id,
            user_id=first.user_id,
            record_id=first.record_id,
            drifts=[finding.drift for finding in cart],
            at=datetime.now(UTC),
        )
        async with bounded(LIST_SECONDS):
            await found.save()

    async def of_run(self, run: str) -> list[Finding]:
        """The findings of a run, by store and user; a run has a limit of carts."""
        findings: list[Finding] = []
        skip = 0
        while True:
            async with bounded(LIST_SECONDS):
                carts = CartFindings.find({"run": run}).sort("+storeId", "+userId")
                page = await carts.skip(skip).limit(PAGE).to_list()
            findings += [
                Finding(
                    store_id=cart.store_id,
                    user_id=cart.user_id,
                    record_id=cart.record_id,
                    drift=drift,
                )
                for cart in page
                for drift in cart.drifts
            ]
            if len(page) < PAGE:
                return findings
            skip += PAGE
