"""The policy of each store: what it sets itself, and how long a process uses what it has read."""

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter

from adapters.mongo.store_policies import FRESH_SECONDS, RETRY_SECONDS, StorePolicies
from models.errors import DependencyUnavailable
from models.limits import Policy
from models.store_settings import StoredSettings, StoreSettings
from settings import Settings
from workflows.requests import policy_of

USUAL = Policy(max_lines=20, max_units=7, currency="USD", publish=False)
OWN = StoreSettings(currency="EUR", max_units=0, expiry_days=3, reservation_policy="none")


class FakeStores:
    """Settings by store, the clock, and whether MongoDB answers. Reads wait for `gate`."""

    def __init__(self) -> None:
        self.stored: dict[str, StoreSettings] = {}
        self.reads = 0
        self.down = False
        self.now = 1000.0
        self.gate = asyncio.Event()
        self.gate.set()
        self.policies = StorePolicies(USUAL, self.read, clock=lambda: self.now)

    async def read(self, store_ids: Collection[str]) -> list[StoredSettings]:
        self.reads += 1
        await self.gate.wait()
        if self.down:
            raise DependencyUnavailable("mongodb", "down")
        return [
            StoredSettings.model_construct(
                None,
                id=store_id,
                settings=self.stored[store_id],
                version=1,
                by="admin-1",
                at=datetime(2026, 1, 27, tzinfo=UTC),
            )
            for store_id in store_ids
            if store_id in self.stored
        ]


@pytest.fixture
def stores() -> FakeStores:
    return FakeStores()


async def test_a_store_without_settings_has_the_services(stores: FakeStores) -> None:
    assert await stores.policies.of("s") == USUAL


async def test_a_store_changes_what_it_sets_and_nothing_else(stores: FakeStores) -> None:
    stores.stored["s"] = OWN
    changed = {"currency": "EUR", "max_units": 0, "expiry_days": 3, "reserve": False}
    assert await stores.policies.of("s") == USUAL.model_copy(update=changed)
    assert await stores.policies.reserves("s") is False
    assert await stores.policies.of("another") == USUAL


@pytest.mark.parametrize("service", [True, False])
def test_the_stores_own_reservation_policy_wins(service: bool) -> None:
    usual = Policy(reserve=service)
    assert StoreSettings().applied_to(usual).reserve is service
    assert StoreSettings(reservation_policy="cart").applied_to(usual).reserve is True
    never = StoreSettings(reservation_policy="none").applied_to(usual)
    assert (never.reserve, never.at_checkout.reserve) == (False, False)
    late = StoreSettings(reservation_policy="checkout").applied_to(usual)
    assert (late.reserve, late.at_checkout.reserve) == (False, True)
    assert StoreSettings.of(late).reservation_policy == "checkout"


def test_what_is_in_effect_says_all_settings() -> None:
    effective = StoreSettings.of(OWN.applied_to(USUAL))
    assert effective.model_dump(by_alias=True) == {
        "currency": "EUR",
        "maxLines": 20,
        "maxQuantity": 100,
        "maxUnits": 0,
        "maxValue": 0,
        "expiryDays": 3,
        "holdMinutes": 0,
        "holdMaxMinutes": 240,
        "checkoutMinutes": 15,
        "reservationPolicy": "none",
    }


def test_each_setting_takes_what_its_environment_variable_takes() -> None:
    fields = {
        "currency": "currency",
        "max_lines": "cart_max_lines",
        "max_quantity": "cart_max_quantity",
        "max_units": "cart_max_units",
        "max_value": "cart_max_value",
        "expiry_days": "cart_expiry_days",
        "hold_minutes": "hold_minutes",
        "hold_max_minutes": "hold_max_minutes",
        "checkout_minutes": "checkout_minutes",
    }
    settings = Settings(cart_max_lines=3, currency="CHF", hold_minutes=0.5)
    effective = StoreSettings.of(policy_of(settings))
    for name, variable in fields.items():
        assert getattr(effective, name) == getattr(settings, variable)
        rules = TypeAdapter(Settings.model_fields[variable].rebuild_annotation()).json_schema()
        own = TypeAdapter(StoreSettings.model_fields[name].rebuild_annotation()).json_schema()
        assert own["anyOf"] == [rules, {"type": "null"}]


def test_holds_are_in_seconds_in_the_policy() -> None:
    own = StoreSettings(hold_minutes=0.5, hold_max_minutes=2, checkout_minutes=3)
    policy = own.applied_to(USUAL)
    assert (policy.hold_seconds, policy.hold_max_seconds) == (30, 120)
    assert policy.checkout_seconds == 180
    assert own.applied_to(USUAL).lifetime.hold_seconds == 30


async def test_a_change_takes_effect_within_the_documented_time(stores: FakeStores) -> None:
    await stores.policies.of("s")
    stores.stored["s"] = OWN
    stores.now += FRESH_SECONDS - 0.1
    assert await stores.policies.of("s") == USUAL
    assert stores.reads == 1
    stores.now += 0.2
    assert (await stores.policies.of("s")).currency == "EUR"
    assert stores.reads == 2


async def test_the_process_that_changed_them_uses_them_at_once(stores: FakeStores) -> None:
    await stores.policies.of("s")
    stores.stored["s"] = OWN
    stores.policies.forget("s")
    assert (await stores.policies.of("s")).currency == "EUR"


async def test_many_operations_share_one_read(stores: FakeStores) -> None:
    stores.gate.clear()
    asking = [asyncio.create_task(stores.policies.of("s")) for _ in range(20)]
    await asyncio.sleep(0)
    stores.gate.set()
    assert set(await asyncio.gather(*asking)) == {USUAL}
    assert stores.reads == 1


async def test_the_policies_of_many_stores_are_one_read(stores: FakeStores) -> None:
    stores.stored = {"own": OWN, "known": OWN}
    await stores.policies.of("known")
    found = await stores.policies.of_all({"known", "own", "usual"})
    assert {store_id: one.currency for store_id, one in found.items()} == {
        "known": "EUR",
        "own": "EUR",
        "usual": "USD",
    }
    assert stores.reads == 2
    assert await stores.policies.of_all({"known", "own", "usual"}) == found
    assert await stores.policies.of("own") == found["own"]
    assert stores.reads == 2
    assert await stores.policies.of_all(()) == {}


async def test_without_mongodb_the_last_known_of_many_stores_are_used(stores: FakeStores) -> None:
    stores.stored["own"] = OWN
    known = await stores.policies.of_all({"own", "usual"})
    stores.down = True
    stores.now += 3600
    assert await stores.policies.of_all({"own", "usual"}) == known
    assert await stores.policies.of_all({"own", "usual"}) == known
    assert stores.reads == 2
    with pytest.raises(DependencyUnavailable):
        await stores.policies.of_all({"own", "another"})


async def test_without_mongodb_the_last_known_is_used(stores: FakeStores) -> None:
    stores.stored["s"] = OWN
    await stores.policies.of("s")
    stores.down = True
    stores.now += 3600
    assert (await stores.policies.of("s")).currency == "EUR"
    assert (await stores.policies.of("s")).currency == "EUR"
    assert stores.reads == 2  # not one for each operation
    stores.now += RETRY_SECONDS
    assert (await stores.policies.of("s")).currency == "EUR"
    assert stores.reads == 3


async def test_without_mongodb_and_anything_known_nothing_starts(stores: FakeStores) -> None:
    stores.down = True
    with pytest.raises(DependencyUnavailable):
        await stores.policies.of("s")
    stores.down = False
    assert await stores.policies.of("s") == USUAL
