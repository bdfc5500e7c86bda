"""Contenders beside the add: changes of a line that is there, and pages of the admins' list."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any

import orjson
from beanie import PydanticObjectId
from beanie.odm.utils.dump import get_dict

from api.auth.roles import ADMIN
from dev.bench.client import RawClient, request
from dev.bench.contenders import STORE, Contenders, new_user
from dev.bench.rounds import Operation, Prepare
from models.cart import Cart, empty_cart
from workflows import ids

PAGE = 100
MANY = 100_000
_CREATED = 201
_PRODUCT = "product-0"
_AT_ONCE = 5_000


class Changes:
    """Each change gets a cart of its own, with one line, which is not measured."""

    def __init__(self, contenders: Contenders, api: RawClient) -> None:
        self._contenders = contenders
        self._api = api
        self._last: dict[str, str] = {}

    async def update(self) -> Operation:
        """The answer to one unit more of a line."""
        user, cart_id = await self._cart("update")
        body = {"productId": _PRODUCT, "quantity": 2}
        return self._sent("PUT", f"/api/v1/cart/{cart_id}", user, body)

    async def remove(self) -> Operation:
        """The answer to the removal of a line."""
        user, cart_id = await self._cart("remove")
        return self._sent("DELETE", f"/api/v1/cart/{cart_id}/items/{_PRODUCT}", user)

    async def transitions(self, name: str) -> int:
        """State transitions of the latest `update` or `remove`, as the server counts them."""
        return await self._contenders.transitions_of(ids.cart_workflow_id(STORE, self._last[name]))

    async def admin_page(self, *, carts: int) -> Prepare:
        """The first page of 100 carts of a store that has so many."""
        store = f"bench-store-of-{carts}"
        stored = _carts(self._contenders, store)
        for begin in range(0, carts, _AT_ONCE):
            some = list(islice(stored, min(_AT_ONCE, carts - begin)))
            await Cart.get_pymongo_collection().insert_many(some, ordered=False)
        token = self._contenders.token("boss", roles=[ADMIN], store_ids=[store])
        raw = request("GET", f"/api/v1/cart/{store}/admin/carts?limit={PAGE}", token=token)

        async def prepare() -> Operation:
            return partial(self._api.send, raw)

        return prepare

    async def _cart(self, name: str) -> tuple[str, str]:
        user = self._last[name] = new_user()
        added = self._contenders.add_bytes(user, _PRODUCT)
        cart = orjson.loads(await self._api.send(added, expect=_CREATED))
        return user, cart["_id"]

    def _sent(self, method: str, path: str, user: str, body: Any = None) -> Operation:
        raw = request(method, path, token=self._contenders.token(user), body=body)
        return partial(self._api.send, raw)


def _carts(contenders: Contenders, store: str) -> Iterator[dict[str, Any]]:
    """Carts of one line without end, the way Beanie stores them, a second apart."""
    now = datetime.now(UTC)
    add = contenders.add_input("somebody", _PRODUCT)
    content = empty_cart(add, now).with_added(add, now)
    stored = get_dict(Cart(**content.model_dump()), to_db=True, keep_nulls=True)
    number = 0
    while True:
        time = now - timedelta(seconds=number)
        yield stored | {
            "_id": PydanticObjectId(),
            "storeId": store,
            "userId": f"user-{number}",
            "createdAt": time,
            "updatedAt": time,
        }
        number += 1
