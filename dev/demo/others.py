"""What other services have to say on that day: their events, and what these do to carts."""

from collections.abc import Callable
from typing import Any

import orjson

from adapters.kafka.publisher import EventPublisher, Outgoing
from cli.console import reason
from dev.demo.day import Day
from dev.demo.walk import Answer, Call, NoAnswer, Step
from models.errors import DependencyUnavailable, EffectRefused
from models.events import CART_ITEM_OUT_OF_STOCK, INVENTORY_BACK_IN_STOCK, ORDER_COMPLETED
from settings import Settings


async def tell(settings: Settings, topic: str, event: dict[str, Any]) -> None:
    """Publishes an event as another service does; raises `NoAnswer`."""
    publisher = EventPublisher(settings)
    key = str(event.get("cartId") or event["productId"])
    message = Outgoing(key, topic, key.encode(), orjson.dumps(event), headers=())
    try:
        await publisher.warm_up()
        await publisher.send([message])
    except (DependencyUnavailable, EffectRefused) as error:
        raise NoAnswer(f"Kafka: {reason(error)}") from error
    finally:
        await publisher.close()


async def _hear(
    day: Day,
    title: str,
    told: tuple[str, dict[str, Any]],
    call: Call,
    had_effect: Callable[[Answer], bool],
) -> Step:
    """Another service tells an event (its topic and value); looks until it has had effect."""
    topic, event = told
    telling = tell(day.settings, topic, event)
    return await day.watch(title, f"event {topic}", telling, call, had_effect)


def _is_marked(answer: Answer, status: str) -> bool:
    lines = answer.body.get("cartItems", []) if isinstance(answer.body, dict) else []
    return any(line.get("availabilityStatus") == status for line in lines)


async def nobody_has_headphones(day: Day) -> Step:
    event = {
        "cartId": day.cart_id("cart"),
        "unavailableItems": [{"productId": "headphones", "reason": "Recalled"}],
    }
    step = await _hear(
        day,
        "The inventory says that nobody can have headphones",
        (CART_ITEM_OUT_OF_STOCK, event),
        Call("GET", day.cart, day.shopper),
        lambda answer: _is_marked(answer, "out_of_stock"),
    )
    line = {"availabilityStatus": "out_of_stock", "unavailabilityReason": "Recalled"}
    step.expect(200, {"quantity": 3, "version": 5, "cartItems": [line]})
    return step


async def headphones_are_back(day: Day) -> Step:
    step = await _hear(
        day,
        "And then that all can: the line is marked in each cart",
        (INVENTORY_BACK_IN_STOCK, {"productId": "headphones", "storeId": day.store}),
        Call("GET", day.cart, day.shopper),
        lambda answer: _is_marked(answer, "available"),
    )
    line = {"availabilityStatus": "available", "unavailabilityReason": None}
    step.expect(200, {"quantity": 3, "version": 6, "cartItems": [line]})
    return step


async def poster_is_ordered(day: Day) -> Step:
    body = day.kept["poster"].body
    buyer = str(body.get("userId", "")) if isinstance(body, dict) else ""
    event = {
        "cartId": day.cart_id("poster"),
        "userId": buyer,
        "storeId": day.store,
        "orderId": f"order-of-{buyer}",
    }
    step = await _hear(
        day,
        "The order of the poster is paid: its cart is cleared",
        (ORDER_COMPLETED, event),
        Call("GET", day.cart, buyer),
        lambda answer: answer.status == 404,  # noqa: PLR2004
    )
    step.expect(404, {"message": "Cart not found"})
    return step
