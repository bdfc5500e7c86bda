"""The steps of the demo about holds that end, and checkouts."""

from typing import Any

from dev.demo import actions
from dev.demo.session import Answer, DemoSession
from models.events import ORDER_CANCELLED, ORDER_COMPLETED
from workflows import ids

BUYER = "checkout-user"
LAMP = {"productId": "lamp", "productTitle": "Desk lamp", "productPrice": 39.99}
STOCK = 2


async def holds_and_checkout(demo: DemoSession) -> None:
    """Holds end; a first payment fails, a second one succeeds."""
    stock = demo.inventory("PUT", "stock/lamp", {"available": STOCK})
    await demo.check(f"Stock {STOCK} lamps", stock, 200, {"available": STOCK})
    add = demo.add(LAMP, STOCK, user=BUYER)
    cart = await demo.check("A shopper adds both", add, 201, {"quantity": STOCK})
    await demo.check_effect(
        "The holds end: the units are given back",
        f"schedule {ids.HOLDS_SCHEDULE}",
        actions.end_holds(demo.settings, demo.store, BUYER),
        demo.inventory("GET", "check/lamp"),
        status=200,
        body={"available": STOCK, "held": 0},
    )
    lapsed = {"version": 2, "cartItems": [{"availabilityStatus": "hold_expired"}]}
    await demo.check("The cart keeps its line", demo.cart(user=BUYER), 200, lapsed)
    first = await _check_out(demo, "The checkout reserves them again, and freezes the cart", 3)
    frozen = {"code": "cart_checked_out"}
    await demo.check("Another tab cannot change it", demo.add(LAMP, 1, user=BUYER), 409, frozen)
    order = {"cartId": str(cart.get("_id")), "userId": BUYER, "storeId": demo.store}
    failed = order | {"orderId": f"failed-{demo.store}", "checkoutId": first.get("checkoutId")}
    await demo.check_effect(
        "Event: the payment failed; the cart can be changed again",
        f"event {ORDER_CANCELLED}",
        actions.publish_event(demo.settings, ORDER_CANCELLED, failed),
        demo.cart(user=BUYER),
        status=200,
        body={"version": 4, "quantity": STOCK},
    )
    second = await _check_out(demo, "The shopper checks out again", 5)
    paid = order | {"orderId": f"paid-{demo.store}", "checkoutId": second.get("checkoutId")}
    await demo.check_effect(
        "Event: the payment succeeded; exactly the frozen units are sold",
        f"event {ORDER_COMPLETED}",
        actions.publish_event(demo.settings, ORDER_COMPLETED, paid),
        demo.inventory("GET", "check/lamp"),
        status=200,
        body={"available": 0, "held": 0, "sold": STOCK},
        saga_of=BUYER,
    )


async def _check_out(demo: DemoSession, title: str, version: int) -> Answer:
    call = demo.cart("POST", "/store/checkout", user=BUYER)
    expected: dict[str, Any] = {"quantity": STOCK, "totalPrice": 79.98, "version": version}
    return await demo.check(title, call, 201, expected)
