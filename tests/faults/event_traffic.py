"""Events of other services as they would send them, recorded with the effect that each must have.

Each event is sent at least once; some are repeated later, and some are unusable.
"""

import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from adapters.kafka.publisher import Outgoing
from models.events import ORDER_CANCELLED, ORDER_COMPLETED
from models.incoming import MAX_EVENT_BYTES
from models.wire import timestamp, to_milliseconds
from tests.faults.cart_requests import CartAction, CartRequest, Order, RetryHabit, StockNews
from tests.faults.fault_injection import Check
from tests.faults.rig import FaultRig
from tests.faults.shoppers import Ledger


@dataclass
class EventTraffic:
    """`before` is called with the number of each event before it is sent."""

    rig: FaultRig
    ledger: Ledger
    rng: random.Random
    before: Callable[[int], Awaitable[None]]
    count: Counter[str] = field(default_factory=Counter)
    _sent: list[Outgoing] = field(default_factory=list)
    _orders: list[CartRequest] = field(default_factory=list)
    _acknowledged: list[str] = field(default_factory=list)
    _cancelled: set[str] = field(default_factory=set)
    _now: datetime = datetime(1970, 1, 1, tzinfo=UTC)

    async def order(
        self, user_id: str, cart_id: str, order: Order, *, product_id: str = "", quantity: int = 0
    ) -> CartRequest:
        """Sends an order of units that the cart or its checkout has, so that the order must have an
        effect unless it is cancelled."""
        request = self._request(
            CartAction.ORDER, user_id, cart_id, product_id, quantity, order=order
        )
        self.ledger.event_requests.append(request)
        body = self._body(request) | {"anUnknownField": [1]}
        await self._send("order", ORDER_COMPLETED, request.key, body, key=cart_id)
        self._orders.append(request)
        self._acknowledged.append(self.ledger.operation_id(request))
        return request

    async def cancellation(
        self, user_id: str, cart_id: str, checkout_id: str, *, order: CartRequest | None = None
    ) -> None:
        """Reports that the payment of a checkout has failed, or that an order is taken back."""
        request = self._request(CartAction.CANCELLATION, user_id, cart_id, "", 0)
        if order is not None:
            request.key = order.key
            self._cancelled.add(self.ledger.operation_id(order))
        self.ledger.event_requests.append(request)
        body = {
            "cartId": cart_id,
            "userId": user_id,
            "storeId": self.ledger.store_id,
            "orderId": request.key,
            "checkoutId": checkout_id,
        }
        await self._send("cancellation", ORDER_CANCELLED, request.key, body, key=cart_id)
        self._acknowledged.append(self.ledger.operation_id(request))

    async def line_out_of_stock(self, user_id: str, cart_id: str, product_id: str) -> None:
        """Reports a line of one cart as out of stock; the cart may be gone by then."""
        now = self._time()
        request = self._request(
            CartAction.STOCK_NEWS, user_id, cart_id, product_id, 0, news=StockNews(now, False)
        )
        self.ledger.event_requests.append(request)
        body = {"cartId": cart_id, "unavailableItems": [{"productId": product_id}]}
        await self._send("line out of stock", request.topic, request.key, body, key=cart_id, at=now)

    async def news(self, users: list[str], product_id: str, *, is_back: bool) -> None:
        """Reports a product as out of or back in stock; each cart with it has its own operation."""
        now = self._time()
        request = self._request(
            CartAction.STOCK_NEWS, "", None, product_id, 0, news=StockNews(now, is_back=is_back)
        )
        for user_id in users:
            own = CartRequest(
                request.number,
                user_id,
                product_id,
                0,
                request.key,
                request.habit,
                CartAction.STOCK_NEWS,
            )
            own.news = request.news
            self.ledger.event_requests.append(own)
        body = {"productId": product_id, "storeId": self.ledger.store_id}
        await self._send("product news", request.topic, request.key, body, key=product_id, at=now)

    async def repeat(self) -> None:
        """Sends an earlier event once more."""
        message = self.rng.choice(self._sent) if self._sent else None
        if message is not None:
            await self._deliver("repeat", message)

    async def unusable(self, cart_id: str) -> None:
        """Sends an event that can never be applied, of a random kind."""
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
                key, value = cart_id, json.dumps(order | {"userId": "another-user"}).encode()
            case "idempotency_key_reused":
                before = self.rng.choice(self._orders)
                other = {"items": [{"productId": "desk", "quantity": 77}], "cartVersion": None}
                assert before.cart_id is not None
                key, value = before.cart_id, json.dumps(self._body(before) | other).encode()
        await self._send("unusable", ORDER_COMPLETED, name, value, key=key)

    def settled(self) -> Check:
        """A check that all orders that are sent by now have had their effect, but for those that
        are cancelled by then: they have one only if they come first."""
        sent = list(self._acknowledged)

        async def check() -> None:
            orders = [one for one in sent if one not in self._cancelled]
            query = {"operationId": {"$in": orders}, "state": "committed"}
            done = await self.rig.database["operations"].count_documents(query)
            assert done == len(orders), f"{len(orders) - done} orders have had no effect"

        return check

    def _request(
        self,
        action: CartAction,
        user_id: str,
        cart_id: str | None,
        product_id: str,
        quantity: int,
        *,
        order: Order | None = None,
        news: StockNews | None = None,
    ) -> CartRequest:
        number = self._number()
        return CartRequest(
            number=number,
            user_id=user_id,
            product_id=product_id,
            quantity=quantity,
            key=f"{self.ledger.store_id}-{action}-{number}",
            habit=RetryHabit.RETRIES,
            action=action,
            cart_id=cart_id,
            order=order,
            news=news,
        )

    def _number(self) -> int:
        return len(self.ledger.event_requests) + len(self.ledger.unusable)

    def _body(self, request: CartRequest) -> dict[str, Any]:
        assert request.order is not None
        body: dict[str, Any] = {
            "cartId": request.cart_id,
            "userId": request.user_id,
            "storeId": self.ledger.store_id,
            "orderId": request.key,
            "cartVersion": request.order.cart_version,
        }
        if request.order.checkout_id is not None:
            body["checkoutId"] = request.order.checkout_id
        if request.order.whole:
            return body
        return body | {"items": [{"productId": request.product_id, "quantity": request.quantity}]}

    def _time(self) -> datetime:
        """The present time, and later than any earlier value."""
        self._now = max(to_milliseconds(datetime.now(UTC)), self._now + timedelta(milliseconds=1))
        return self._now

    async def _send(
        self,
        kind: str,
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
        await self._deliver(kind, message)
        self._sent.append(message)

    async def _deliver(self, kind: str, message: Outgoing) -> None:
        await self.before(self.count.total())
        self.count[kind] += 1
        await self.rig.producer.send(message)
