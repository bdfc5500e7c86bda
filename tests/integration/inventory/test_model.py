"""Random sequences of calls have the same effect on the service and on a plain model."""

import random

import pytest

from tests.integration.inventory.service import Warehouse


class Model:
    """The rules for one product in plain Python."""

    def __init__(self, available: int) -> None:
        self.available, self.sold = available, 0
        self.holdings = {"ann": 0, "bob": 0}
        self.reserves: dict[str, tuple[str, int]] = {}
        self.releases: dict[str, int] = {}

    def reserve(self, saga: str, quantity: int, user: str) -> bool:
        if saga in self.releases:
            return False
        if saga in self.reserves:
            return True
        if quantity > self.available:
            return False
        self.available -= quantity
        self.holdings[user] += quantity
        self.reserves[saga] = (user, quantity)
        return True

    def release(self, saga: str, quantity: int, user: str, reason: str) -> int:
        if saga not in self.releases:
            if saga in self.reserves:
                user, quantity = self.reserves[saga]
            elif reason == "saga_aborted":
                quantity = 0
            freed = min(quantity, self.holdings[user])
            self.holdings[user] -= freed
            if reason == "order_completed":
                self.sold += freed
            else:
                self.available += freed
            self.releases[saga] = freed
        return self.releases[saga]


@pytest.mark.parametrize("seed", range(2))
async def test_a_random_sequence_of_calls_agrees_with_the_model(
    warehouse: Warehouse, seed: int
) -> None:
    chance = random.Random(seed)
    model = Model(available=25)
    await warehouse.stock(25)
    for _ in range(150):
        saga = f"s{chance.randint(0, 40)}"
        quantity, user = chance.randint(1, 6), chance.choice(["ann", "bob"])
        if chance.random() < 0.5:
            status, body = await warehouse.reserve(saga, quantity, user)
            success = model.reserve(saga, quantity, user)
            assert (status, body["success"]) == (200 if success else 409, success)
            assert body["available"] == model.available
        else:
            reason = chance.choice(["saga_aborted", "item_removed", "order_completed"])
            status, body = await warehouse.release(saga, quantity, reason, user)
            assert (status, body["released"]) == (
                200,
                model.release(saga, quantity, user, reason),
            )
        held = sum(model.holdings.values())
        assert await warehouse.units() == (model.available, held, model.sold)
        assert model.available + held + model.sold == 25
    assert await warehouse.held() == {
        (user, "book"): quantity for user, quantity in model.holdings.items() if quantity
    }
