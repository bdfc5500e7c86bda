"""The shopper's day: the steps, in order, and what each should be answered.

To add a step, write its function and name it in `STEPS`; it finds in the `Day` what came before.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

import httpx

from api.roles import ADMIN
from cli.console import CliError, without_login
from cli.demo import others
from cli.demo.walk import REPLAYED, Answer, Call, NoAnswer, Sagas, Step, send
from cli.token import TokenError, mint_token
from deploy.local.apps import api_url
from settings import Settings

INVENTORY = "/api/v1/inventories"
TIMEOUT_SECONDS = 15.0
TOKEN_SECONDS = 600
# An event is waited for: a consumer that has just been started takes some seconds to join.
EVENT_SECONDS = 20.0
LOOK_SECONDS = 0.1

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
POSTER = {"productId": "poster", "productTitle": "The last poster", "productPrice": 19.99}

KEY = "Idempotency-Key"
ADMIN_USER = "store-admin"


class Stopped(Exception):
    """The day cannot go on after this step."""


@dataclass
class Day:
    """One run of the demo, in a store of its own. `kept` is what steps remember for later ones."""

    settings: Settings
    api: str
    http: httpx.AsyncClient
    sagas: Sagas
    store: str = field(default_factory=lambda: f"demo-{token_hex(4)}")
    shopper: str = "shopper"
    taken: list[Step] = field(default_factory=list)
    kept: dict[str, Answer] = field(default_factory=dict)
    stopped: str | None = None

    @property
    def went_well(self) -> bool:
        return self.stopped is None and all(step.went_well for step in self.taken)

    @property
    def cart(self) -> str:
        """The URL of the caller's cart."""
        return f"{self.api}/api/v1/cart/{self.store}/store"

    async def steps(self) -> AsyncIterator[Step]:
        """Takes the steps one after the other."""
        for take in STEPS:
            try:
                yield await take(self)
            except NoAnswer as error:
                self.stopped = f"no answer ({error}); see cart doctor"
            except Stopped as error:
                yield self.taken[-1]
                self.stopped = str(error)
            if self.stopped:
                return

    async def ask(self, title: str, *calls: Call) -> Step:
        """Sends the requests at once, and finds the sagas that they started."""
        step = Step(title, "; ".join(dict.fromkeys(_shown(call) for call in calls)))
        step.answers = await asyncio.gather(*(self._send(call) for call in calls))
        for call, answer in zip(calls, step.answers, strict=True):
            if call.user and call.method != "GET":
                page = await self.sagas.page_of_new(self.store, call.user, answer)
                step.sagas += [page] if page else []
        self.taken.append(step)
        return step

    async def hear(
        self,
        title: str,
        told: tuple[str, dict[str, Any]],
        call: Call,
        had_effect: Callable[[Answer], bool],
    ) -> Step:
        """Another service tells an event (its topic and value); looks until it has had effect."""
        topic, event = told
        await others.tell(self.settings, topic, event)
        step = Step(title, f"event {topic}; {_shown(call)}")
        deadline = time.monotonic() + EVENT_SECONDS
        answer = await self._send(call)
        while not had_effect(answer) and time.monotonic() < deadline:
            await asyncio.sleep(LOOK_SECONDS)
            answer = await self._send(call)
        step.answers = [answer]
        if call.user:
            page = await self.sagas.page_of_new(self.store, call.user, answer)
            step.sagas += [page] if page else []
        self.taken.append(step)
        return step

    def cart_id(self, kept: str) -> str:
        """The id of a cart that an earlier step has kept; empty when it was none."""
        body = self.kept[kept].body
        return str(body.get("_id", "")) if isinstance(body, dict) else ""

    async def _send(self, call: Call) -> Answer:
        return await send(self.http, call, self.token(call.user) if call.user else None)

    def token(self, user: str) -> str:
        """A token of a shopper; raises `TokenError` when this machine cannot sign one."""
        if user == ADMIN_USER:
            return mint_token(
                self.settings, user=user, store=self.store, role=ADMIN, ttl_seconds=TOKEN_SECONDS
            )
        return mint_token(self.settings, user=user, name="Demo Shopper", ttl_seconds=TOKEN_SECONDS)

    def add(
        self, product: dict[str, Any], quantity: int, *, user: str | None = None, key: str = ""
    ) -> Call:
        """The request that adds units of a product to a cart."""
        body = {**product, "quantity": quantity}
        headers = {KEY: key} if key else {}
        return Call("POST", self.cart, user or self.shopper, body, headers=headers)

    @property
    def cart_by_id(self) -> str:
        """The URL of the shopper's cart by its id."""
        return f"{self.api}/api/v1/cart/{self.cart_id('cart')}"

    def set_quantity(self, quantity: int) -> Call:
        """The request that changes how many headphones the shopper has."""
        body = {"productId": "headphones", "quantity": quantity}
        return Call("PUT", self.cart_by_id, self.shopper, body)

    def set_stock(self, product_id: str, available: int) -> Call:
        """The request that sets the stock of the reference inventory."""
        url = f"{self.settings.inventory}{INVENTORY}/stock/{product_id}"
        return Call("PUT", url, body={"available": available}, query={"storeId": self.store})

    def check_stock(self, product_id: str) -> Call:
        """The request that asks the inventory what there is."""
        url = f"{self.settings.inventory}{INVENTORY}/check/{product_id}"
        return Call("GET", url, query={"storeId": self.store})


def _shown(call: Call) -> str:
    """The request as the demo shows it: method, path, and the key when it has one."""
    key = call.headers.get(KEY)
    return f"{call.method} {urlsplit(call.url).path}" + (f" ({KEY}: {key})" if key else "")


@asynccontextmanager
async def run_day(settings: Settings) -> AsyncIterator[Day]:
    """A day with its connections; raises `CliError` when the API does not answer at all."""
    api = api_url(settings)
    async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False) as http:
        try:
            await send(http, Call("GET", f"{api}/health/live"), None)
        except NoAnswer:
            raise CliError(f"the API does not answer at {api}: start it with make run") from None
        sagas = Sagas(settings)
        await sagas.connect()
        day = Day(settings, api, http, sagas)
        try:
            day.token(day.shopper)
        except TokenError as error:
            raise CliError(f"the demo cannot sign anybody in: {error}") from None
        yield day


# The steps


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


STEPS: tuple[Callable[[Day], Awaitable[Step]], ...] = (
    health,
    stock_the_shop,
    no_cart_yet,
    add_two,
    add_two_again,
    stock_taken_once,
    key_for_something_else,
    add_one_more,
    look_at_the_cart,
    wants_five,
    wants_five_again,
    wants_three,
    more_than_there_is,
    more_than_a_cart_takes,
    bad_input,
    without_token,
    the_last_one,
    two_buyers,
    admin_looks,
    admin_reads_one,
    others.nobody_has_headphones,
    others.headphones_are_back,
    others.poster_is_ordered,
    removes_the_headphones,
    clears_the_cart,
    no_cart_any_more,
    stock_adds_up,
)
