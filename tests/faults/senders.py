"""Other services: what they tell of carts, as they would send it, and what must come of it.

Everything is sent at least once; some of it again, later, and some that nobody can use.
"""

import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from adapters.kafka.publisher import Outgoing
from models.events import ORDER_COMPLETED
from models.incoming import MAX_EVENT_BYTES
from models.wire import timestamp, to_milliseconds
from tests.faults.inject import Check
from tests.faults.rig import Rig
from tests.faults.traffic import Ledger
from tests.faults.wishes import Habit, News, Order, Request, What


@dataclass
class Senders:
    """`before` is told the number of each event before it is sent."""

    rig: Rig
    ledger: Ledger
    rng: random.Random
    before: Callable[[int], Awaitable[None]]
    count: Counter[str] = field(default_factory=Counter)
    _sent: list[Outgoing] = field(default_factory=list)
    _orders: list[Request] = field(default_factory=list)
    _acknowledged: list[str] = field(default_factory=list)
    _now: datetime = datetime(1970, 1, 1, tzinfo=UTC)

    async def order(
        self, user_id: str, cart_id: str, order: Order, *, product_id: str = "", quantity: int = 0
    ) -> None:
        """Of a cart that has what is ordered, so that it must have an effect."""
        request = self._request(What.ORDER, user_id, cart_id, product_id, quantity, order=order)
        self.ledger.arrived.append(request)
        body = self._body(request) | {"aFieldThatNobodyKnows": [1]}
        await self._send("order", ORDER_COMPLETED, request.key, body, key=cart_id)
        self._orders.append(request)
        self._acknowledged.append(self.ledger.operation_id(request))

    async def line_cannot_be_had(self, user_id: str, cart_id: str, product_id: str) -> None:
        """A line of one cart; the cart may be gone by then."""
        now = self._time()
        request = self._request(What.NEWS, user_id, cart_id, product_id, 0, news=News(now, False))
        self.ledger.arrived.append(request)
        body = {"cartId": cart_id, "unavailableItems": [{"productId": product_id}]}
        await self._send("news of a line", request.topic, request.key, body, key=cart_id, at=now)

    async def news(self, users: list[str], product_id: str, *, is_back: bool) -> None:
        """Of a product, which goes to all carts that have it; each has an operation of its own."""
        now = self._time()
        request = self._request(What.NEWS, "", None, product_id, 0, news=News(now, is_back=is_back))
        for user_id in users:
            own = Request(
                request.number, user_id, product_id, 0, request.key, request.habit, What.NEWS
            )
            own.news = request.news
            self.ledger.arrived.append(own)
        body = {"productId": product_id, "storeId": self.ledger.store_id}
        await self._send(
            "news of a product", request.topic, request.key, body, key=product_id, at=now
        )

    async def repeat(self) -> None:
        """Something that was sent before, once more."""
        message = self.rng.choice(self._sent) if self._sent else None
        if message is not None:
            await self._deliver("repeat", message)

    async def unusable(self, cart_id: str) -> None:
        """What no try can help, of one kind or another."""
        kinds = ["malformed", "invalid", "too_large", "wrong_owner", "idempotency_key_reused"]
        kind = self.rng.choice(kinds if self._orders else kinds[:4])
        name = f"{self.ledger.store_id}-bad-{self._number()}"
        self.ledger.unusable[name] = kind
        key, value = name, b'{"cartId": '
        order = {"cartId": cart_id, "storeId": self.ledger.store_id, "orderId": name}
        match kind:
            case "invalid":
                value = json.dumps(order).encode()
            case "too_large":
                value = b"x" * (MAX_EVENT_BYTES + 1)
            case "wrong_owner":
                key, value = cart_id, json.dumps(order | {"userId": "nobody"}).encode()
            case "idempotency_key_reused":
                before = self.rng.choice(self._orders)
                other = {"items": [{"productId": "desk", "quantity": 77}], "cartVersion": None}
                assert before.cart_id is not None
                key, value = before.cart_id, json.dumps(self._body(before) | other).encode()
        await self._send("unusable", ORDER_COMPLETED, name, value, key=key)

    def settled(self) -> Check:
        """Whether all orders that are sent by now have had their effect."""
        orders = list(self._acknowledged)
        query = {"operationId": {"$in": orders}, "state": "committed"}

        async def check() -> None:
            done = await self.rig.database["operations"].count_documents(query)
            assert done == len(orders), f"{len(orders) - done} orders have had no effect"

        return check

    def _request(
        self,
        what: What,
        user_id: str,
        cart_id: str | None,
        product_id: str,
        quantity: int,
        *,
        order: Order | None = None,
        news: News | None = None,
    ) -> Request:
        number = self._number()
        return Request(
            number=number,
            user_id=user_id,
            product_id=product_id,
            quantity=quantity,
            key=f"{self.ledger.store_id}-{what}-{number}",
            habit=Habit.INSISTS,
            what=what,
            cart_id=cart_id,
            order=order,
            news=news,
        )

    def _number(self) -> int:
        return len(self.ledger.arrived) + len(self.ledger.unusable)

    def _body(self, request: Request) -> dict[str, Any]:
        assert request.order is not None
        body: dict[str, Any] = {
            "cartId": request.cart_id,
            "userId": request.user_id,
            "storeId": self.ledger.store_id,
            "orderId": request.key,
            "cartVersion": request.order.cart_version,
        }
        if request.order.whole:
            return body
        return body | {"items": [{"productId": request.product_id, "quantity": request.quantity}]}

    def _time(self) -> datetime:
        """Now, and later than ever before."""
        self._now = max(to_milliseconds(datetime.now(UTC)), self._now + timedelta(milliseconds=1))
        return self._now

    async def _send(
        self,
        what: str,
        topic: str,
        event_id: str,
        body: dict[str, Any] | bytes,
        *,
        key: str,
        at: datetime | None = None,
    ) -> None:
        at = at or self._time()
        message = Outgoing(
            id=event_id,
            topic=topic,
            key=key.encode(),
            value=body if isinstance(body, bytes) else json.dumps(body).encode(),
            headers=[("ce_id", event_id.encode()), ("ce_time", timestamp(at).encode())],
            timestamp=round(at.timestamp() * 1000),
        )
        await self._deliver(what, message)
        self._sent.append(message)

    async def _deliver(self, what: str, message: Outgoing) -> None:
        await self.before(self.count.total())
        self.count[what] += 1
        await self.rig.arrivals.send(message)
