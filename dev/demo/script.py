"""The steps of the demo, in order."""

from typing import Any

from cli.console import without_login
from dev.demo import actions
from dev.demo.checkout import holds_and_checkout
from dev.demo.session import ADMIN_USER, REPLAYED, Answer, Call, DemoSession, Step
from models.events import CART_ITEM_OUT_OF_STOCK, INVENTORY_BACK_IN_STOCK, ORDER_COMPLETED
from workflows import ids

STOCK = 10
HEADPHONES = {
    "productId": "headphones",
    "productTitle": "Wireless headphones",
    "productImage": "https://example.com/headphones.jpg",
    "productPrice": 79.99,
    "productDescription": "Premium wireless headphones",
    "sellerId": "seller-1",
    "email": "shopper@example.com",
}
RECORD = {"productId": "record", "productTitle": "A record", "productPrice": 24.5}
COLLECTOR = "collector"
POSTER = {"productId": "poster", "productTitle": "The last poster", "productPrice": 19.99}
FIRST_ADD = "first-add"
NO_CART = {"message": "Cart not found"}
EXPIRING_USER = "expiring-user"


async def run_script(demo: DemoSession) -> None:
    """Runs all steps."""
    await check_service(demo)
    cart_id = await fill_cart(demo)
    await change_quantity(demo, cart_id)
    await refusals(demo)
    poster = await last_unit(demo)
    await admin(demo, cart_id)
    await events(demo, cart_id, poster)
    await holds_and_checkout(demo)
    await upkeep(demo)
    await batch_and_guest(demo)
    await empty_cart(demo, cart_id)


async def check_service(demo: DemoSession) -> None:
    await demo.check(
        "The service is healthy",
        Call("GET", f"{demo.settings.api_url}/health"),
        200,
        required="the service is not healthy: see cart doctor",
    )
    where = without_login(demo.settings.inventory)
    await demo.check(
        f"Stock {STOCK} headphones",
        demo.inventory("PUT", "stock/headphones", {"available": STOCK}),
        200,
        {"available": STOCK, "held": 0},
        required=f"the demo sets stock, which only the reference inventory takes ({where})",
    )


async def fill_cart(demo: DemoSession) -> str:
    """Adds headphones with and without an idempotency key; returns the cart's id."""
    await demo.check("A new shopper has no cart", demo.cart(), 404, NO_CART)
    add = demo.add(HEADPHONES, 2, key=FIRST_ADD)
    line = {"productId": "headphones", "productQuantity": 2, "productPrice": 79.99}
    first = await demo.check(
        "Add 2 headphones",
        add,
        201,
        {"quantity": 2, "totalPrice": 159.98, "version": 1, "cartItems": [line]},
        required="the next steps need this one: see cart doctor",
    )
    step = await demo.send("Send the same request again: the answer is repeated", add)
    step.expect(201)
    if not step.answers[0].replayed:
        got = step.answers[0].headers.get(REPLAYED)
        step.problems.append(f"expected header {REPLAYED}: true, got {got}")
    if step.answers[0].body != first.body:
        step.problems.append("expected the same body as the first time")
    demo.report(step)
    stock = {"available": STOCK - 2, "held": 2}
    await demo.check(
        "The stock was taken once", demo.inventory("GET", "check/headphones"), 200, stock
    )
    reuse = demo.add(HEADPHONES, 3, key=FIRST_ADD)
    code = {"code": "idempotency_key_reused"}
    await demo.check("The same key with another body is refused", reuse, 422, code)
    line = {"productId": "headphones", "productQuantity": 3}
    cart = await demo.check(
        "Add 1 more",
        demo.add(HEADPHONES, 1),
        201,
        {"quantity": 3, "totalPrice": 239.97, "version": 2, "cartItems": [line]},
    )
    names = ("_id", "userId", "storeId", "quantity", "totalPrice", "version", "cartItems")
    same = {name: cart.get(name) for name in names if cart.get(name, None) is not None}
    await demo.check("Get the cart", demo.cart(), 200, same or {"quantity": 3})
    return str(cart.get("_id"))


async def change_quantity(demo: DemoSession, cart_id: str) -> None:
    async def set_quantity(title: str, quantity: int, expected: dict[str, Any]) -> None:
        body = {"productId": "headphones", "quantity": quantity}
        call = demo.by_id(cart_id, "PUT", body=body)
        await demo.check(title, call, 200, {"quantity": quantity, **expected})

    await set_quantity("Change the quantity to 5", 5, {"totalPrice": 399.95, "version": 3})
    await set_quantity("Change it to 5 again: nothing changes", 5, {"version": 3})
    await set_quantity(
        "Change it to 3: 2 units are released", 3, {"totalPrice": 239.97, "version": 4}
    )


async def refusals(demo: DemoSession) -> None:
    left = STOCK - 3
    message = f"Insufficient stock. Only {left} available."
    refusal = {"message": message, "code": "insufficient_stock", "available": left}
    await demo.check("Add more than is available", demo.add(HEADPHONES, left + 1), 200, refusal)
    await demo.check("Add more than 100 of a product", demo.add(HEADPHONES, 98), 400)
    invalid = {"error": "Validation failed", "details": [{"field": "quantity"}]}
    await demo.check("Add 0 of a product", demo.add(HEADPHONES, 0), 400, invalid)
    await demo.check("Get the cart without a token", demo.cart(user=None), 401)


async def last_unit(demo: DemoSession) -> Answer:
    """Two shoppers add the last unit; returns the cart of the one who gets it."""
    stock = demo.inventory("PUT", "stock/poster", {"available": 1})
    await demo.check("Stock 1 poster", stock, 200, {"available": 1})
    adds = [demo.add(POSTER, 1, user=user) for user in ("buyer-1", "buyer-2")]
    step = await demo.send("Two shoppers add it at once: one gets it", *adds)
    first, second = sorted(step.answers, key=lambda answer: answer.status, reverse=True)
    step.expect(201, {"quantity": 1, "totalPrice": 19.99}, answer=first)
    step.expect(200, {"message": "Insufficient stock. Only 0 available."}, answer=second)
    demo.report(step)
    return first


async def admin(demo: DemoSession, cart_id: str) -> None:
    carts = {"data": {"carts": [{"userId": "shopper", "quantity": 3}]}, "success": True}
    listing = demo.cart(path="/admin/carts", user=ADMIN_USER)
    await demo.check("An admin lists the store's carts", listing, 200, carts)
    cart = {"userId": "shopper", "version": 4}
    await demo.check(
        "An admin gets the shopper's cart", demo.by_id(cart_id, user=ADMIN_USER), 200, cart
    )


async def events(demo: DemoSession, cart_id: str, poster: Answer) -> None:
    """Events of other services change carts."""

    async def availability(title: str, topic: str, event: dict[str, Any], version: int) -> None:
        out = topic == CART_ITEM_OUT_OF_STOCK
        line = {
            "availabilityStatus": "out_of_stock" if out else "available",
            "unavailabilityReason": "Recalled" if out else None,
        }
        await demo.check_effect(
            title,
            f"event {topic}",
            actions.publish_event(demo.settings, topic, event),
            demo.cart(),
            status=200,
            body={"quantity": 3, "version": version, "cartItems": [line]},
        )

    unavailable = [{"productId": "headphones", "reason": "Recalled"}]
    await availability(
        "Event: headphones are unavailable; the line is marked",
        CART_ITEM_OUT_OF_STOCK,
        {"cartId": cart_id, "unavailableItems": unavailable},
        5,
    )
    await availability(
        "Event: headphones are back; the line is marked in every cart",
        INVENTORY_BACK_IN_STOCK,
        {"productId": "headphones", "storeId": demo.store},
        6,
    )
    buyer = str(poster.get("userId"))
    order = {
        "cartId": str(poster.get("_id")),
        "userId": buyer,
        "storeId": demo.store,
        "orderId": f"order-of-{buyer}",
    }
    await demo.check_effect(
        "Event: the poster's order is completed; its cart is cleared",
        f"event {ORDER_COMPLETED}",
        actions.publish_event(demo.settings, ORDER_COMPLETED, order),
        demo.cart(user=buyer),
        status=404,
        body=NO_CART,
    )


async def upkeep(demo: DemoSession) -> None:
    """Expiry and repair. The demo backdates a cart and reserves a unit that no cart has."""
    add = demo.add(HEADPHONES, 1, user=EXPIRING_USER)
    await demo.check("Another shopper adds headphones and leaves", add, 201, {"quantity": 1})
    await demo.check_effect(
        f"The cart expires after {demo.settings.cart_expiry_days} days and is cleared",
        f"schedule {ids.EXPIRY_SCHEDULE}",
        actions.expire_cart(demo.settings, demo.store, EXPIRING_USER),
        demo.cart(user=EXPIRING_USER),
        status=404,
        body=NO_CART,
    )
    body = {
        "storeId": demo.store,
        "productId": "headphones",
        "quantity": 1,
        "userId": "no-cart",
        "sagaId": f"lost-{demo.store}",
        "reservationType": "cart",
    }
    reserve = demo.inventory("POST", "reserve", body)
    await demo.check("Reserve a unit without a cart", reserve, 200)
    step = Step("A repair finds and releases it", f"cart reconcile --store {demo.store} --fix")
    found, page = await actions.repair(demo.settings, demo.store)
    step.answers, step.sagas = [Answer(200, {"found": found})], [page]
    step.expect(200, {"found": [{"kind": "orphaned_hold", "done": "released 1"}]})
    demo.report(step)


async def batch_and_guest(demo: DemoSession) -> None:
    """Several changes at once, and a guest who signs in. All records are in their two carts."""
    stock = demo.inventory("PUT", "stock/record", {"available": 3})
    await demo.check("Stock 3 records", stock, 200, {"available": 3})

    def batch(*operations: dict[str, Any]) -> Call:
        body = {"operations": list(operations)}
        return demo.cart("POST", "/store/batch", user=COLLECTOR, body=body)

    both = [{"op": "add", "quantity": 1} | product for product in (RECORD, HEADPHONES)]
    del both[1]["email"]
    added = {"quantity": 2, "version": 1}
    await demo.check("A batch adds two products in one step", batch(*both), 201, added)
    more = {"op": "set", "productId": "record", "quantity": 5}
    short = {"code": "insufficient_stock", "lines": [{"productId": "record", "available": 2}]}
    gone = {"op": "remove", "productId": "headphones"}
    await demo.check("A batch of which a part cannot be had", batch(gone, more), 409, short)
    await demo.check("It changed nothing", demo.cart(user=COLLECTOR), 200, added)
    guests = Call("POST", f"{demo.settings.api_url}/api/v1/guests")
    token = (await demo.check("Become a guest", guests, 201)).get("token")
    guest = demo.guest(token)
    add = demo.cart("POST", user=guest, body=RECORD | {"quantity": 2})
    await demo.check("The guest adds the last 2 records", add, 201, {"quantity": 2})
    merge = demo.cart("POST", "/store/merge", user=COLLECTOR, body={"guestToken": token})
    line = {"productId": "record", "productQuantity": 3}
    await demo.check(
        "The guest signs in: the carts are merged, and the records stay held",
        merge,
        200,
        {"quantity": 4, "version": 2, "cartItems": [line]},
    )
    await demo.check("The guest's cart is gone", demo.cart(user=guest), 404, NO_CART)
    held = {"available": 0, "held": 3}
    await demo.check("No record is free", demo.inventory("GET", "check/record"), 200, held)
    clear = demo.cart("DELETE", user=COLLECTOR)
    await demo.check("Clear the merged cart", clear, 200, {"message": "Cart cleared"})


async def empty_cart(demo: DemoSession, cart_id: str) -> None:
    remove = demo.by_id(cart_id, "DELETE", "/items/headphones")
    removed = {"message": "Item removed from cart"}
    await demo.check("Remove the headphones", remove, 200, removed)
    await demo.check("Clear the cart", demo.cart("DELETE"), 200, {"message": "Cart cleared"})
    await demo.check("The cart is gone", demo.cart(), 404, NO_CART)
    checks = [demo.inventory("GET", f"check/{name}") for name in ("headphones", "poster")]
    step = await demo.send("The stock adds up", *checks)
    headphones, poster = step.answers
    step.expect(200, {"available": STOCK, "held": 0}, answer=headphones)
    step.expect(200, {"available": 0, "held": 0, "sold": 1}, answer=poster)
    demo.report(step)
