"""Steps on Redis: cache the committed cart, and reply to the caller."""

from temporalio import activity

from activities.errors import as_application_error
from adapters.keyring import Keyring
from adapters.mongo.operations import OperationStore
from adapters.redis.answers import reply_message
from adapters.redis.cart_cache import CartCache
from models.cart import cart_json
from models.steps import RefreshCache, ReplyToCaller


class CacheActivities:
    """Activities on a `CartCache`. The `OperationStore` has the committed cart.

    Replies are signed with keys of the `Keyring`.
    """

    def __init__(self, cache: CartCache, operations: OperationStore, keyring: Keyring) -> None:
        self._keyring = keyring
        self._cache = cache
        self._operations = operations

    @activity.defn(name="refresh_cache")
    async def refresh_cache(self, request: RefreshCache) -> None:
        """Caches the committed cart, or deletes a cleared one, and replies to the caller."""
        saga = request.saga
        with as_application_error():
            decision = await self._operations.decision(saga)
            record, cart = decision.record, decision.cart
            reply = None
            if request.reply_to is not None:
                result = record.result().model_copy(update={"answer": decision.answer})
                reply = reply_message(self._keyring, request.reply_to, result)
            if not request.cache:
                if reply is not None:
                    await self._cache.announce(reply, saga.key)
            elif cart is None:
                await self._cache.drop(saga.key, version=(record.version or 1) - 1, reply=reply)
            else:
                await self._cache.put(
                    saga.key,
                    version=cart.version,
                    body=cart_json(cart.id, cart),
                    stale_products=request.products,
                    reply=reply,
                )

    @activity.defn(name="reply_to_caller")
    async def reply_to_caller(self, request: ReplyToCaller) -> None:
        """Sends the result to the caller. Does not fail without a receiver."""
        with as_application_error():
            reply = reply_message(self._keyring, request.reply_to, request.result)
            await self._cache.announce(reply)
