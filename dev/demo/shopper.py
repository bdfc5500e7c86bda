"""What the shopper, other buyers and the store's admin do on that day."""

from cli.console import without_login
from dev.demo.day import ADMIN_USER, HEADPHONES, POSTER, Day, Stopped
from dev.demo.walk import REPLAYED, Call, Step

STOCK = 10


async def health(day: Day) -> Step:
    step = await day.ask("The service is healthy", Call("GET", f"{day.api}/health"))
    step.expect(200)
    if not step.went_well:
        raise Stopped("the service is not healthy: see cart doctor")
    return step


async def stock_the_shop(day: Day) -> Step:
    step = await day.ask(f"The shop gets {STOCK} headphones", day.set_stock("headphones", STOCK))
    step.expect(200, {"available": STOCK, "held": 0})
    if not step.went_well:
        where = without_login(day.settings.inventory)
        raise Stopped(f"the demo sets stock, which only the reference inventory takes ({where})")
    return step


async def no_cart_yet(day: Day) -> Step:
    step = await day.ask("A new shopper has no cart", Call("GET", day.cart, day.shopper))
    step.expect(404, {"message": "Cart not found"})
    return step


async def add_two(day: Day) -> Step:
    step = await day.ask("Adds 2 headphones", day.add(HEADPHONES, 2, key="first-add"))
    line = {"productId": "headphones", "productQuantity": 2, "productPrice": 79.99}
    step.expect(201, {"quantity": 2, "totalPrice": 159.98, "version": 1, "cartItems": [line]})
    day.kept["first add"] = step.answer
    if not step.went_well:
        raise Stopped("all that follows builds on this: see cart doctor")
    return step


async def add_two_again(day: Day) -> Step:
    step = await day.ask(
        "Sends it again, as after a lost answer: the same answer",
        day.add(HEADPHONES, 2, key="first-add"),
    )
    step.expect(201, headers={REPLAYED: "true"})
    same = step.answer.body == day.kept["first add"].body
    step.expect_that(same, "expected the same body as the first time")
    return step


async def stock_taken_once(day: Day) -> Step:
    step = await day.ask("The stock was taken once", day.check_stock("headphones"))
    step.expect(200, {"available": STOCK - 2, "held": 2})
    return step


async def key_for_something_else(day: Day) -> Step:
    step = await day.ask(
        "The same key for something else is refused", day.add(HEADPHONES, 3, key="first-add")
    )
    step.expect(422, {"code": "idempotency_key_reused"})
    return step


async def add_one_more(day: Day) -> Step:
    step = await day.ask("Adds 1 more", day.add(HEADPHONES, 1))
    line = {"productId": "headphones", "productQuantity": 3}
    step.expect(201, {"quantity": 3, "totalPrice": 239.97, "version": 2, "cartItems": [line]})
    day.kept["cart"] = step.answer
    return step


async def look_at_the_cart(day: Day) -> Step:
    step = await day.ask("Looks at the cart", Call("GET", day.cart, day.shopper))
    before = day.kept["cart"].body
    names = ("_id", "userId", "storeId", "quantity", "totalPrice", "version", "cartItems")
    same = {name: before[name] for name in names if isinstance(before, dict) and name in before}
    step.expect(200, same or {"quantity": 3})
    return step


async def wants_five(day: Day) -> Step:
    step = await day.ask("Wants 5 of them after all", day.set_quantity(5))
    step.expect(200, {"quantity": 5, "totalPrice": 399.95, "version": 3})
    return step


async def wants_five_again(day: Day) -> Step:
    step = await day.ask("Says so again: nothing changes", day.set_quantity(5))
    step.expect(200, {"quantity": 5, "version": 3})
    return step


async def wants_three(day: Day) -> Step:
    step = await day.ask("Or rather 3: two are given back", day.set_quantity(3))
    step.expect(200, {"quantity": 3, "totalPrice": 239.97, "version": 4})
    return step


async def more_than_there_is(day: Day) -> Step:
    left = STOCK - 3
    step = await day.ask("Wants more than there is", day.add(HEADPHONES, left + 1))
    message = f"Insufficient stock. Only {left} available."
    step.expect(200, {"message": message, "code": "insufficient_stock", "available": left})
    return step


async def more_than_a_cart_takes(day: Day) -> Step:
    step = await day.ask("Wants more than 100 of a product", day.add(HEADPHONES, 98))
    step.expect(400)
    return step


async def bad_input(day: Day) -> Step:
    step = await day.ask("Asks for 0 of it", day.add(HEADPHONES, 0))
    step.expect(400, {"error": "Validation failed", "details": [{"field": "quantity"}]})
    return step


async def without_token(day: Day) -> Step:
    step = await day.ask("Somebody without a token", Call("GET", day.cart))
    step.expect(401)
    return step


async def the_last_one(day: Day) -> Step:
    stocked = await day.ask("There is one poster left", day.set_stock("poster", 1))
    stocked.expect(200, {"available": 1})
    return stocked


async def two_buyers(day: Day) -> Step:
    step = await day.ask(
        "Two buyers want it at once: one gets it",
        *(day.add(POSTER, 1, user=user) for user in ("buyer-1", "buyer-2")),
    )
    first, second = sorted(step.answers, key=lambda answer: answer.status, reverse=True)
    step.expect(201, {"quantity": 1, "totalPrice": 19.99}, of=first)
    step.expect(200, {"message": "Insufficient stock. Only 0 available."}, of=second)
    day.kept["poster"] = first
    return step


async def admin_looks(day: Day) -> Step:
    call = Call("GET", f"{day.api}/api/v1/cart/{day.store}/admin/carts", ADMIN_USER)
    step = await day.ask("An admin looks at the store's carts", call)
    carts = [{"userId": day.shopper, "quantity": 3}]
    step.expect(200, {"data": {"carts": carts}, "success": True})
    return step


async def admin_reads_one(day: Day) -> Step:
    step = await day.ask("And at the shopper's", Call("GET", day.cart_by_id, ADMIN_USER))
    step.expect(200, {"userId": day.shopper, "version": 4})
    return step


async def removes_the_headphones(day: Day) -> Step:
    call = Call("DELETE", f"{day.cart_by_id}/items/headphones", day.shopper)
    step = await day.ask("The shopper takes the headphones out", call)
    step.expect(200, {"message": "Item removed from cart"})
    return step


async def clears_the_cart(day: Day) -> Step:
    step = await day.ask("And clears the cart", Call("DELETE", day.cart, day.shopper))
    step.expect(200, {"message": "Cart cleared"})
    return step


async def no_cart_any_more(day: Day) -> Step:
    step = await day.ask("There is no cart any more", Call("GET", day.cart, day.shopper))
    step.expect(404, {"message": "Cart not found"})
    return step


async def stock_adds_up(day: Day) -> Step:
    step = await day.ask(
        "At the end the stock adds up", *map(day.check_stock, ("headphones", "poster"))
    )
    headphones, poster = step.answers
    step.expect(200, {"available": STOCK, "held": 0}, of=headphones)
    step.expect(200, {"available": 0, "held": 0, "sold": 1}, of=poster)
    return step
