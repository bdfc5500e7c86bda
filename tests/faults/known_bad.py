"""Builds with one known mistake each, to show that the invariants catch it. For tests only.

The mistake is in effect for the carts of users whose name begins with `bad-{mistake}-`; all other
carts of the same worker are served by the good build, so that both can be compared in one run.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection
from temporalio import activity

from models.messages import ReleaseEffect, RemoveLine, SetQuantity
from models.steps import CommitChange, Recorded, ReserveHold
from workflows import ids


class Mistake(StrEnum):
    """What is wrong with a build."""

    CLOCK = "clock"  # ids are made from the clock, not from the run
    LATE_UNDO = "lateundo"  # an undo is registered after the step it undoes
    NO_SETTLING = "nosettling"  # an undo does not ask first whether the pivot has committed
    NO_COMPARE = "nocompare"  # the cart's version is not compared when it is set
    BACKWARDS = "backwards"  # the cache's pointer may go back
    NO_EFFECTS = "noeffects"  # what is still to be done is not in the record
    EARLY_RELEASE = "earlyrelease"  # what is taken out is given back before the pivot
    WHOLE_QUANTITY = "wholequantity"  # an update reserves all units, not the difference
    NO_TOMBSTONE = "notombstone"  # a cleared cart stays in the cache


def bad_user(mistake: Mistake, rest: str) -> str:
    """A user whose carts are served with a mistake."""
    return f"bad-{mistake}-{rest}"


def with_known_mistakes(adapters: dict[str, Any]) -> None:
    """Puts the mistakes of the adapters themselves into them, each for its own users."""
    _ids_from_the_clock()
    _no_compare_and_set()
    _pointer_goes_back(adapters["cache"])


def with_known_mistakes_of_the_saga(adapters: dict[str, Any]) -> None:
    """The same for what a saga makes of its calls: these see them fail as a test wants it."""
    _undo_after_the_step(adapters["inventory"], adapters["carts"])
    _release_before_the_pivot(adapters["inventory"], adapters["carts"])
    _whole_quantity(adapters["inventory"], adapters["carts"])
    _no_tombstone(adapters["cache"])
    _no_settling(adapters["carts"])
    _no_effects(adapters["carts"])


def _has(mistake: Mistake) -> bool:
    """Whether the running step is for a cart of that build."""
    return activity.in_activity() and f"/bad-{mistake}-" in (activity.info().workflow_id or "")


def _ids_from_the_clock() -> None:
    good: Callable[..., str] = ids.saga_id

    def saga_id(started_at: datetime, user_id: str, subject: str) -> str:
        if user_id.startswith(bad_user(Mistake.CLOCK, "")):
            started_at = datetime.fromtimestamp(time.time(), UTC)
        return good(started_at, user_id, subject)

    ids.saga_id = saga_id


def _undo_after_the_step(inventory: Any, carts: Any) -> None:
    """What was registered only after a step that succeeded is missing when the step failed."""
    reserve, settle = inventory.reserve, carts.settle
    failed: set[str] = set()

    async def noting_failures(hold: Any) -> Any:
        try:
            return await reserve(hold)
        except Exception:
            failed.add(hold.saga_id)
            raise

    async def without_the_failed(run: Any, reason: str, releases: tuple[Any, ...]) -> Any:
        if _has(Mistake.LATE_UNDO):
            releases = tuple(r for r in releases if r.saga_id not in failed)
        return await settle(run, reason, releases)

    inventory.reserve, carts.settle = noting_failures, without_the_failed


def _no_settling(carts: Any) -> None:
    settle = carts.settle

    async def unsettled(run: Any, reason: str, releases: tuple[Any, ...]) -> Any:
        if not _has(Mistake.NO_SETTLING):
            return await settle(run, reason, releases)
        return Recorded(
            run_id=run.run_id,
            state="aborted",
            fingerprint=run.fingerprint,
            reason=reason,
            effects=releases,
        )

    carts.settle = unsettled


def _no_compare_and_set() -> None:
    """A replacement or update that names a version loses it, and hits whatever is there."""

    def uncompared(method: Any) -> Any:
        async def call(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
            if "version" in query and _has(Mistake.NO_COMPARE):
                query = {name: value for name, value in query.items() if name != "version"}
            return await method(self, query, *args, **kwargs)

        return call

    for name in ("replace_one", "update_one", "find_one_and_replace", "find_one_and_update"):
        setattr(AsyncCollection, name, uncompared(getattr(AsyncCollection, name)))


def _pointer_goes_back(cache: Any) -> None:
    put = cache.put

    async def unguarded(store_id: str, user_id: str, **cart: Any) -> Any:
        if _has(Mistake.BACKWARDS):
            key = f"Cart:{store_id}:{user_id}"
            async with cache._redis.asked("cart") as redis:
                await redis.delete(f"{key}:latest_version", f"{key}:epoch")
        return await put(store_id, user_id, **cart)

    cache.put = unguarded


def _no_effects(carts: Any) -> None:
    """The saga knows what is to be done, the record does not."""
    commit = carts.commit

    async def forgetful(request: Any) -> Any:
        pivot = await commit(request)
        if _has(Mistake.NO_EFFECTS):
            records = carts._client.get_default_database()["operations"]
            await records.update_one(
                {"_id": request.run.run_id}, {"$set": {"effects": [], "pending": False}}
            )
        return pivot

    carts.commit = forgetful


def _release_before_the_pivot(inventory: Any, carts: Any) -> None:
    commit = carts.commit

    async def hasty(request: CommitChange) -> Any:
        if _has(Mistake.EARLY_RELEASE) and (freed := await _freed(carts, request)) is not None:
            await inventory.release(request.run.store_id, request.run.user_id, freed)
        return await commit(request)

    carts.commit = hasty


async def _freed(carts: Any, pivot: CommitChange) -> ReleaseEffect | None:
    """What a pivot will give back of the product that it is about."""
    if not isinstance(pivot.change, SetQuantity | RemoveLine):
        return None
    product_id = pivot.change.request.product_id
    left = pivot.change.request.quantity if isinstance(pivot.change, SetQuantity) else 0
    quantity = await _units(carts, pivot.run.store_id, pivot.run.user_id, product_id) - left
    return ReleaseEffect(
        id="hasty",
        product_id=product_id,
        quantity=quantity,
        saga_id=pivot.run.saga_id,
        reason="too early",
    )


async def _units(carts: Any, store_id: str, user_id: str, product_id: str) -> int:
    """How many units of a product are in the user's cart."""
    cart = await carts.cart(store_id, user_id)
    line = cart.line(product_id) if cart else None
    return line.product_quantity if line else 0


def _whole_quantity(inventory: Any, carts: Any) -> None:
    reserve = inventory.reserve

    async def generous(hold: ReserveHold) -> Any:
        if _has(Mistake.WHOLE_QUANTITY):
            units = await _units(carts, hold.store_id, hold.user_id, hold.product_id)
            hold = hold.model_copy(update={"quantity": hold.quantity + units})
        return await reserve(hold)

    inventory.reserve = generous


def _no_tombstone(cache: Any) -> None:
    drop = cache.drop

    async def careless(store_id: str, user_id: str, *, announce: Any = None, **more: Any) -> None:
        if not _has(Mistake.NO_TOMBSTONE):
            await drop(store_id, user_id, announce=announce, **more)
        elif announce is not None:
            await cache.announce(announce)

    cache.drop = careless
