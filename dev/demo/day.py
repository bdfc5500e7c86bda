"""One run of the demo: whom it asks, and what its steps have in common.

The steps themselves are in `shopper`, `others` and `upkeep`, their order in `steps`.
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

from api.auth.roles import ADMIN
from cli.console import CliError
from cli.token import TokenError, mint_token
from dev.demo.walk import Answer, Call, NoAnswer, Sagas, Step, send
from settings import Settings

INVENTORY = "/api/v1/inventories"
TIMEOUT_SECONDS = 15.0
TOKEN_SECONDS = 600
# What happens by itself is waited for: a consumer that was just started takes seconds to join.
EVENT_SECONDS = 20.0
LOOK_SECONDS = 0.1

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


Take = Callable[["Day"], Awaitable[Step]]
"""A step: asks, and says what the answer should have been."""


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

    async def take(self, steps: tuple[Take, ...]) -> AsyncIterator[Step]:
        """Takes the steps one after the other."""
        for take in steps:
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

    async def watch(
        self,
        title: str,
        shown: str,
        act: Awaitable[None],
        call: Call,
        had_effect: Callable[[Answer], bool],
    ) -> Step:
        """Does what no request does (`shown` says what), and looks until it has had effect."""
        await act
        step = Step(title, f"{shown}; {_shown(call)}")
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

    def hold(self, product_id: str, quantity: int) -> Call:
        """The request that holds units in the inventory, for a user who has no cart."""
        body = {
            "storeId": self.store,
            "productId": product_id,
            "quantity": quantity,
            "userId": "nobody",
            "sagaId": f"lost-{self.store}",
            "reservationType": "cart",
        }
        return Call("POST", f"{self.settings.inventory}{INVENTORY}/reserve", body=body)

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
    api = settings.api_url
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
