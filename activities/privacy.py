"""The steps of an erasure, one for each system. Each can be repeated."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.errors import as_application_error
from activities.heartbeats import heartbeats
from adapters.keyring import Keyring
from adapters.mongo.privacy import Person, PersonalData
from adapters.redis.cart_cache import CartCache
from adapters.redis.rate_limits import RateLimiter
from models.documents import Cart
from models.outcomes import OperationResult
from models.privacy import EraseInput, EraseRun, UserData
from models.user_id import path_safe

ERASURE = "erasure"
"""What the sealed user of an erasure is (`adapters.keyring`)."""

Clear = Callable[[Cart, EraseRun], Awaitable[OperationResult]]
"""Clears a cart by the ordinary operation, and waits for its end."""


class Histories(Protocol):
    """The user's runs in Temporal (`workflows.histories`)."""

    async def count(self, user_id: str, store_id: str | None, *, running: bool) -> int: ...
    async def delete(self, user_id: str, store_id: str | None) -> int: ...


class PrivacyActivities:
    """Activities on every system that has data of users."""

    def __init__(
        self,
        data: PersonalData,
        cache: CartCache,
        limiter: RateLimiter,
        histories: Histories,
        keyring: Keyring,
        *,
        clear: Clear,
    ) -> None:
        self._data = data
        self._cache = cache
        self._limiter = limiter
        self._histories = histories
        self._keyring = keyring
        self._clear = clear

    @activity.defn(name="erase_carts")
    async def erase_carts(self, run: EraseRun) -> int:
        """Clears the user's carts: their units are released, and the events published."""
        async with heartbeats():
            with as_application_error():
                carts = await self._data.carts(self._person(run.request))
                for cart in carts:
                    await self._clear(cart, run)
        return len(carts)

    @activity.defn(name="count_user_data")
    async def count(self, request: EraseInput) -> UserData:
        """What is left of the user, in all systems."""
        async with heartbeats():
            with as_application_error():
                person = self._person(request)
                stored = await self._data.count(person)
                who = (person.user_id, person.store_id)
                found = {
                    "cached": len(await self._cache.keys_of_user(*who)),
                    "histories": await self._histories.count(*who, running=False),
                    "running": await self._histories.count(*who, running=True),
                }
        return stored.model_copy(update=found)

    @activity.defn(name="erase_histories")
    async def erase_histories(self, request: EraseInput) -> int:
        """Deletes the histories of the user's runs that have ended."""
        async with heartbeats():
            with as_application_error():
                person = self._person(request)
                return await self._histories.delete(person.user_id, person.store_id)

    @activity.defn(name="erase_records")
    async def erase_records(self, request: EraseInput) -> int:
        """Removes the user from MongoDB."""
        async with heartbeats():
            with as_application_error():
                return await self._data.erase(self._person(request), request.pseudonym)

    @activity.defn(name="erase_cached")
    async def erase_cached(self, request: EraseInput) -> int:
        """Deletes the user's keys in Redis."""
        async with heartbeats():
            with as_application_error():
                person = self._person(request)
                if person.store_id is None:
                    await self._limiter.forget(f"user:{path_safe(person.user_id)}")
                return await self._cache.erase_user(person.user_id, person.store_id)

    def _person(self, request: EraseInput) -> Person:
        user_id = self._keyring.open(request.user, ERASURE)
        if user_id is None:
            message = "the user is sealed with a key that this worker does not have: DATA_SECRETS"
            raise ApplicationError(message, type="UnknownKey")
        return Person(user_id, request.store_id)
