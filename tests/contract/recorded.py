"""Records the answers of the contract's own routes, byte for byte, in `recorded_answers.txt`.

The requests use no feature that has come later, and all settings are at their defaults: so what
these clients get must never change. Ids, times and the store's name are replaced.
`python -m tests.contract.recorded` writes the file, on a stack of its own; `test_recorded` compares
it.
"""

import asyncio
import re
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson

from cli.token import mint_token
from dev.stack.stack import Stack
from tests.conftest import settings_of_its_own
from tests.support.shop import Shop, world_of
from tests.support.waiting import eventually

FILE = Path(__file__).parent / "recorded_answers.txt"
UNITS = 10
HEADPHONES: dict[str, Any] = {
    "productId": "507f1f77bcf86cd799439011",
    "productTitle": "Wireless Headphones",
    "productImage": "https://example.com/image.jpg",
    "productPrice": 79.99,
    "productDescription": "Premium wireless headphones",
    "email": "user@example.com",
    "sellerId": "507f1f77bcf86cd799439012",
}
CABLE: dict[str, Any] = {"productId": "cable", "productTitle": "Cable", "productPrice": 3.5}
PRODUCT = HEADPHONES["productId"]

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@dataclass
class Walk:
    """Sends the requests of the contract to a running service, in a store of its own."""

    shop: Shop
    lines: list[str] = field(default_factory=list)
    cart_id: str = ""

    async def run(self) -> str:
        """All requests and answers."""
        for product in (PRODUCT, "cable"):
            await self.shop.stock(product, UNITS)
        await self._own_cart()
        await self._changes()
        await self._admin()
        await self._end()
        return "\n".join(self.lines)

    async def _own_cart(self) -> None:
        own = self._own
        await self.row("no cart", "GET", own)
        await self.row("no token", "GET", own, user=None)
        first = HEADPHONES | {"quantity": 2, "idempotencyKey": "unique-request-id-123"}
        await self.row("an add", "POST", own, first)
        await self.row("the same again", "POST", own, first)
        await self.row("another body with its key", "POST", own, first | {"quantity": 3})
        await self.row("the product again", "POST", own, HEADPHONES | {"quantity": 1})
        await self.row("another product", "POST", own, CABLE | {"quantity": 4})
        await self.row("too many units", "POST", own, CABLE | {"quantity": 7})
        await self.row("an invalid add", "POST", own, {"productId": "cable", "quantity": 0})
        await self.row("the own cart", "GET", own)

    async def _changes(self) -> None:
        cart = f"/api/v1/cart/{self.cart_id}"
        await self.row("more units", "PUT", cart, {"productId": PRODUCT, "quantity": 5})
        await self.row("fewer units", "PUT", cart, {"productId": PRODUCT, "quantity": 1})
        await self.row("as many units", "PUT", cart, {"productId": PRODUCT, "quantity": 1})
        await self.row("no units", "PUT", cart, {"productId": PRODUCT, "quantity": 0})
        await self.row("too many units", "PUT", cart, {"productId": PRODUCT, "quantity": 50})
        await self.row("no quantity", "PUT", cart, {"productId": PRODUCT})
        await self.row("no such item", "PUT", cart, {"productId": "lamp", "quantity": 1})
        nowhere = f"/api/v1/cart/{'0' * 24}"
        await self.row("no such cart", "PUT", nowhere, {"productId": PRODUCT, "quantity": 1})
        await self.row("a removal", "DELETE", cart, {"productId": "cable"})
        await self.row("a removal of no product", "DELETE", cart, {})
        await self.row("a removal from no cart", "DELETE", nowhere, {"productId": "cable"})

    async def _admin(self) -> None:
        carts = f"/api/v1/cart/{self.shop.store_id}/admin/carts"
        await self.row("all carts", "GET", f"{carts}?page=1&limit=10", user="boss")
        await self.row("a page without carts", "GET", f"{carts}?page=2&limit=10", user="boss")
        await self.row("all carts, for a shopper", "GET", carts)
        await self.row("a cart by its id", "GET", f"/api/v1/cart/{self.cart_id}", user="boss")
        await self.row("no such cart", "GET", f"/api/v1/cart/{'0' * 24}", user="boss")

    async def _end(self) -> None:
        cart = f"/api/v1/cart/{self.cart_id}"
        await self.row("the last item", "DELETE", cart, {"productId": PRODUCT})
        await self.row("an empty cart", "GET", self._own)
        await self.row("a clear", "DELETE", self._own)
        await self.row("a cleared cart", "GET", self._own)

    async def row(
        self,
        what: str,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        user: str | None = "shopper",
    ) -> None:
        """Sends a request, and notes it with its answer."""
        headers = {"Authorization": f"Bearer {self._token(user)}"} if user else {}
        content = b"" if body is None else orjson.dumps(body)
        if body is not None:
            headers["Content-Type"] = "application/json"
        if method != "GET" and "idempotencyKey" not in (body or {}):
            headers["Idempotency-Key"] = f"row-{len(self.lines)}"

        async def finished() -> httpx.Response:
            """The answer, also of a busy machine: the same key again gets the same bytes."""
            answer = await self.shop.world.http.request(
                method, path, content=content, headers=headers
            )
            assert answer.status_code not in {202, 409, 503}, answer.text
            return answer

        answer = await eventually(finished, timeout=60)
        if not self.cart_id and answer.status_code == httpx.codes.CREATED:
            self.cart_id = answer.json()["_id"]
        kind = answer.headers["Content-Type"]
        shown = [f"# {what}", f"{method} {path}", content.decode(), f"{answer.status_code} {kind}"]
        self.lines += [self._fixed(line) for line in shown if line]
        self.lines += [self._fixed(answer.content.decode()), ""]

    def _token(self, user: str) -> str:
        settings = self.shop.world.settings
        if user == "boss":
            role = settings.jwt_admin_role
            return mint_token(settings, user=user, role=role, store=self.shop.store_id)
        return mint_token(settings, user=user, name="John Doe")

    def _fixed(self, text: str) -> str:
        """The text with fixed ids and times."""
        text = text.replace(self.shop.store_id, "STORE")
        if self.cart_id:
            text = text.replace(self.cart_id, "CART")
        return _TIME.sub("TIME", text)

    @property
    def _own(self) -> str:
        return f"/api/v1/cart/{self.shop.store_id}/store"


async def record() -> str:
    """The answers of a stack of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="cart-recorded-") as folder,
        settings_of_its_own(Path(folder)) as settings,
    ):
        async with Stack(settings, echo=lambda _: None), world_of(settings) as world:
            return await Walk(Shop(world)).run()


def main() -> int:
    """Writes the file."""
    FILE.write_text(asyncio.run(record()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
