"""What reconciling finds wrong with a cart: its holds, its pending effects and its cache."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

import orjson
import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.upkeep.cached_carts import CachedCarts, is_current
from activities.upkeep.repair import RepairActivities
from adapters.mongo.reconcile import BriefCart, PendingEffect, PendingOfCart
from adapters.redis.cart_cache import CachedCart
from models.cart import CartKey, CartVersion, cart_json
from models.cart_line import CartLine
from models.documents import Cart
from models.drift import DriftKind
from models.effects import EffectKind
from models.errors import DependencyUnavailable
from models.upkeep.reconcile import ExamineCart, Examined, ForgetCached
from tests.fakes.api import STORE, USER, cart_of

NOW = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)
KEY = CartKey(STORE, USER)


def line(product_id: str, quantity: int) -> CartLine:
    return CartLine(
        product_id=product_id,
        product_title=product_id,
        product_image=[],
        product_price=Decimal(10),
        product_quantity=quantity,
        reserved_at=NOW,
    )


def stored(*, version: int = 3, user: str = USER, **units: int) -> Cart:
    lines = [line(product, quantity) for product, quantity in units.items()]
    return cart_of(version=version, user_id=user, cart_items=lines)


def cached(cart: Cart, *, version: int | None = None) -> CachedCart:
    """What Redis has of a cart; with `version` of another one."""
    return CachedCart(version or cart.version, cart_json(cart.id, cart))


class FakeSystems:
    """MongoDB, the inventory and Redis; with `redis_down` the latter does not answer."""

    def __init__(self, *carts: Cart, **held: int) -> None:
        self.carts = {cart.user_id: cart for cart in carts}
        self.held = held
        self.pending_now = PendingOfCart()
        self.expires = False  # the cart, while it is examined
        self.redis: dict[str, CachedCart] = {}
        self.redis_down = False
        self.forgotten: list[CartKey] = []

    async def version(self, key: CartKey) -> CartVersion | None:
        cart = self.carts.get(key.user_id)
        return CartVersion(str(cart.id), cart.version) if cart else None

    async def cart(self, key: CartKey) -> Cart | None:
        cart = self.carts.get(key.user_id)
        if self.expires:
            del self.carts[key.user_id]
        return cart

    async def pending(self, _: CartKey, *, stuck_before: datetime, limit: int) -> PendingOfCart:
        assert stuck_before <= NOW
        assert limit
        return self.pending_now

    async def held_units(self, *_: str) -> dict[str, int]:
        return self.held

    async def whole(self, _: str, users: Collection[str]) -> list[Cart]:
        return [self.carts[user] for user in users if user in self.carts]

    async def users_with_cart(self, _: str, users: Collection[str]) -> set[str]:
        return {*users} & self.carts.keys()

    async def peek(self, _: str, users: Sequence[str]) -> list[CachedCart | None]:
        self._redis()
        return [self.redis.get(user) for user in users]

    async def cached_users(self, _: str, *, limit: int) -> list[str]:
        self._redis()
        return sorted(self.redis)[:limit]

    async def forget(self, key: CartKey) -> None:
        self._redis()
        self.forgotten.append(key)

    def _redis(self) -> None:
        if self.redis_down:
            raise DependencyUnavailable("redis", "down")


def repair_of(systems: FakeSystems) -> RepairActivities:
    system = cast(Any, systems)
    return RepairActivities(system, system, system, system)


async def examined(
    systems: FakeSystems, *, reserving: bool = True, caching: bool = True
) -> Examined:
    request = ExamineCart(
        store_id=STORE, user_id=USER, stuck_before=NOW, reserving=reserving, caching=caching
    )
    found: Examined = await ActivityEnvironment().run(repair_of(systems).examine, request)
    return found


async def test_a_cart_on_which_all_systems_agree_has_no_drifts() -> None:
    systems = FakeSystems(stored(lamp=2), lamp=2)
    systems.redis[USER] = cached(stored(lamp=2))
    assert (await examined(systems)).drifts == ()


async def test_units_that_no_cart_has_and_units_that_are_not_held_are_drifts() -> None:
    [orphaned, missing] = (await examined(FakeSystems(stored(mug=2), lamp=1, mug=1))).drifts
    assert (orphaned.kind, orphaned.product_id) == (DriftKind.ORPHANED_HOLD, "lamp")
    assert (missing.kind, missing.expected, missing.found) == (DriftKind.MISSING_HOLD, 2, 1)


async def test_lines_need_no_hold_where_nothing_is_reserved() -> None:
    assert (await examined(FakeSystems(stored(mug=2)), reserving=False)).drifts == ()


async def test_units_whose_release_is_pending_are_no_drift_but_a_stuck_release_is() -> None:
    systems = FakeSystems(lamp=1)
    effect = PendingEffect("r-1", EffectKind.RELEASE, "lamp", NOW)
    systems.pending_now.note(effect, is_stuck=False, limit=1)
    assert (await examined(systems)).drifts == ()
    systems.pending_now.note(effect, is_stuck=True, limit=1)
    [stuck] = (await examined(systems)).drifts
    assert (stuck.kind, stuck.effect_id) == (DriftKind.STUCK_EFFECT, "r-1")
    assert stuck.detail == "release pending since 2026-01-27 10:30:00 UTC"


async def test_stuck_effects_beyond_the_limit_are_counted() -> None:
    systems = FakeSystems()
    for number in range(5):
        effect = PendingEffect(f"e-{number}", EffectKind.EVENT, None, NOW)
        systems.pending_now.note(effect, is_stuck=True, limit=2)
    *named, further = (await examined(systems)).drifts
    assert [one.effect_id for one in named] == ["e-0", "e-1"]
    assert (further.kind, further.found) == (DriftKind.FURTHER, 3)


@pytest.mark.parametrize(
    ("in_redis", "detail"),
    [
        (cached(stored(lamp=1), version=2), "another version 2 is cached, version 3 is stored"),
        (cached(stored(lamp=9)), "another version 3 is cached, version 3 is stored"),
    ],
)
async def test_another_cart_in_the_cache_is_a_drift(in_redis: CachedCart, detail: str) -> None:
    systems = FakeSystems(stored(lamp=1), lamp=1)
    systems.redis[USER] = in_redis
    [drift] = (await examined(systems)).drifts
    assert (drift.kind, drift.detail) == (DriftKind.STALE_CACHE, detail)
    assert (await examined(systems, caching=False)).drifts == ()


async def test_a_cached_cart_that_is_not_stored_is_a_drift() -> None:
    systems = FakeSystems()
    systems.redis[USER] = cached(stored())
    [drift] = (await examined(systems)).drifts
    assert drift.detail == "another version 3 is cached, no cart is stored"


async def test_without_redis_the_cache_has_no_drifts() -> None:
    """Reads do not use it then."""
    systems = FakeSystems(stored(lamp=1), lamp=1)
    systems.redis[USER] = cached(stored(lamp=9))
    systems.redis_down = True
    assert (await examined(systems)).drifts == ()


async def test_a_cart_that_expires_meanwhile_is_not_judged() -> None:
    systems = FakeSystems(stored(lamp=1), lamp=1)
    systems.expires = True
    with pytest.raises(ApplicationError) as failed:
        await examined(systems)
    assert (failed.value.type, failed.value.non_retryable) == ("VersionConflict", True)


async def test_the_watch_finds_the_drifts_of_holds_alone() -> None:
    systems = FakeSystems(stored(lamp=1))
    systems.redis[USER] = cached(stored(lamp=9))
    [drift] = await repair_of(systems).hold_drifts(STORE, USER, reserving=True)
    assert drift.kind is DriftKind.MISSING_HOLD


async def test_a_stale_cart_is_forgotten() -> None:
    systems = FakeSystems()
    request = ForgetCached(store_id=STORE, user_id=USER)
    await ActivityEnvironment().run(repair_of(systems).forget, request)
    assert systems.forgotten == [KEY]


def cached_carts(systems: FakeSystems) -> CachedCarts:
    return CachedCarts(cast(Any, systems), cast(Any, systems))


async def test_stale_carts_of_a_store_are_found_among_many() -> None:
    carts = [stored(user=user, lamp=1) for user in ("ada", "bob", "cleo", "dan")]
    systems = FakeSystems(*carts[:3])
    systems.redis = {
        "ada": cached(carts[0]),
        "bob": cached(carts[1], version=2),
        "dan": cached(carts[3]),
    }
    brief = [BriefCart(cart.user_id, {}) for cart in carts]
    assert await cached_carts(systems).stale(STORE, brief) == {"bob", "dan"}
    systems.redis_down = True
    assert await cached_carts(systems).stale(STORE, brief) == set()


async def test_cached_carts_without_a_stored_one_are_found_up_to_a_limit() -> None:
    systems = FakeSystems(stored(user="ada"))
    systems.redis = {user: CachedCart(1, None) for user in ("ada", "bob", "cleo", "dan")}
    assert await cached_carts(systems).without_cart(STORE, limit=2) == {"bob", "cleo"}
    systems.redis_down = True
    assert await cached_carts(systems).without_cart(STORE, limit=2) == set()


async def test_a_cached_version_whose_text_is_gone_is_current() -> None:
    """Nothing wrong can be read from it."""
    systems = FakeSystems(stored(lamp=1), lamp=1)
    systems.redis[USER] = CachedCart(3, None)
    assert (await examined(systems)).drifts == ()


def test_the_order_of_fields_makes_no_cart_stale() -> None:
    cart = stored(lamp=1)
    fields = orjson.loads(cart_json(cart.id, cart))
    backwards = orjson.dumps(dict(reversed(fields.items())))
    assert is_current(CachedCart(3, backwards), cart)
