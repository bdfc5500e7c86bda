"""The steps of an erasure: whose data is erased, and what ends or repeats a step."""

from typing import Any, cast

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.privacy import ERASURE, PrivacyActivities
from adapters.keyring import Keyring
from adapters.mongo.privacy import Person
from models.actor import Actor, ActorType
from models.documents import Cart
from models.errors import DependencyUnavailable, OperationAborted
from models.outcomes import OperationResult, Outcome
from models.privacy import EraseInput, EraseRun, UserData
from tests.fakes.api import cart_of, result_of
from tests.support.keys import KEYRING

USER = "ada@example.com"
OPERATOR = Actor(type=ActorType.OPERATOR, id="grace")


class FakeSystems:
    """MongoDB, Redis and Temporal with data of `USER`; `asked` has whose data was meant."""

    def __init__(self) -> None:
        self.stores = ["store-1", "store-2"]
        self.asked: list[tuple[str, str | None]] = []
        self.cleared: list[str] = []
        self.refuses: dict[str, Exception] = {}
        self.forgotten: list[str] = []
        self.pseudonyms: list[str] = []
        self.redis_down = False

    async def carts(self, person: Person) -> list[Cart]:
        self._ask(person.user_id, person.store_id)
        return [cart_of(user_id=person.user_id, store_id=store) for store in self.stores]

    async def count_stored(self, person: Person) -> UserData:
        self._ask(person.user_id, person.store_id)
        return UserData(carts=2, records=7, pending=1)

    async def erase(self, person: Person, pseudonym: str) -> int:
        self._ask(person.user_id, person.store_id)
        self.pseudonyms.append(pseudonym)
        return 7

    async def keys_of_user(self, user: str, store: str | None) -> list[bytes]:
        self._ask(user, store)
        return [b"Cart:1", b"Cart:2", b"Cart:3"]

    async def erase_user(self, user: str, store: str | None) -> int:
        if self.redis_down:
            raise DependencyUnavailable("redis", "down")
        self._ask(user, store)
        return 3

    async def forget(self, who: str) -> None:
        self.forgotten.append(who)

    async def count_runs(self, user: str, store: str | None, *, running: bool) -> int:
        self._ask(user, store)
        return 1 if running else 5

    async def delete(self, user: str, store: str | None) -> int:
        self._ask(user, store)
        return 5

    async def clear(self, cart: Cart, run: EraseRun) -> OperationResult:
        assert (run.run, run.request.actor) == ("run-1", OPERATOR)
        if cart.store_id in self.refuses:
            raise self.refuses[cart.store_id]
        self.cleared.append(cart.store_id)
        return result_of(Outcome.COMMITTED)

    def _ask(self, user: str, store: str | None) -> None:
        self.asked.append((user, store))


class _Counting:
    """One of two systems that are both asked to `count`."""

    def __init__(self, systems: FakeSystems, count: Any) -> None:
        self.count = count
        self.carts, self.erase, self.delete = systems.carts, systems.erase, systems.delete


@pytest.fixture
def systems() -> FakeSystems:
    return FakeSystems()


@pytest.fixture
def steps(systems: FakeSystems) -> PrivacyActivities:
    return PrivacyActivities(
        cast(Any, _Counting(systems, systems.count_stored)),
        cast(Any, systems),
        cast(Any, systems),
        _Counting(systems, systems.count_runs),
        KEYRING,
        clear=systems.clear,
    )


def request(store: str | None = None, *, keyring: Keyring = KEYRING) -> EraseInput:
    """The user is sealed: a history is data too."""
    sealed = keyring.seal(USER, ERASURE)
    assert USER not in sealed
    return EraseInput(user=sealed, store_id=store, actor=OPERATOR, pseudonym="p-1")


async def run(step: Any, argument: Any) -> Any:
    return await ActivityEnvironment().run(step, argument)


@pytest.mark.parametrize("store", [None, "store-1"])
async def test_each_step_is_about_the_sealed_user_in_the_store(
    steps: PrivacyActivities, systems: FakeSystems, store: str | None
) -> None:
    assert await run(steps.erase_carts, EraseRun(request=request(store), run="run-1")) == 2
    assert await run(steps.erase_histories, request(store)) == 5
    assert await run(steps.erase_records, request(store)) == 7
    assert await run(steps.erase_cached, request(store)) == 3
    assert set(systems.asked) == {(USER, store)}
    assert (systems.cleared, systems.pseudonyms) == (["store-1", "store-2"], ["p-1"])


async def test_what_is_left_is_counted_in_all_systems(steps: PrivacyActivities) -> None:
    left = await run(steps.count, request())
    assert left == UserData(carts=2, records=7, pending=1, cached=3, histories=5, running=1)
    assert left.total == 18  # a pending record is a record too


@pytest.mark.parametrize(
    ("store", "forgotten"), [(None, ["user:ada%40example.com"]), ("store-1", [])]
)
async def test_the_rate_limit_of_a_user_is_forgotten_with_all_stores_alone(
    steps: PrivacyActivities, systems: FakeSystems, store: str | None, forgotten: list[str]
) -> None:
    await run(steps.erase_cached, request(store))
    assert systems.forgotten == forgotten


async def test_a_cart_that_cannot_be_cleared_fails_the_step(
    steps: PrivacyActivities, systems: FakeSystems
) -> None:
    """Else the user's units would stay reserved."""
    systems.refuses = {"store-1": OperationAborted("inventory_unavailable")}
    with pytest.raises(ApplicationError) as failed:
        await run(steps.erase_carts, EraseRun(request=request(), run="run-1"))
    assert (failed.value.type, failed.value.non_retryable) == ("OperationAborted", False)


async def test_a_system_that_is_away_is_tried_again(
    steps: PrivacyActivities, systems: FakeSystems
) -> None:
    systems.redis_down = True
    with pytest.raises(ApplicationError) as failed:
        await run(steps.erase_cached, request())
    assert (failed.value.type, failed.value.non_retryable) == ("DependencyUnavailable", False)


async def test_a_user_sealed_with_another_key_is_named_with_its_setting(
    steps: PrivacyActivities, systems: FakeSystems
) -> None:
    other = Keyring(["another-secret-that-is-long-enough-for-this"])
    with pytest.raises(ApplicationError, match="DATA_SECRETS") as failed:
        await run(steps.erase_records, request(keyring=other))
    assert (failed.value.type, systems.asked) == ("UnknownKey", [])
