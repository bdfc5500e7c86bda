"""The product service over HTTP: what a product in a store is called, and what it costs.

It is read before a saga starts. What each answer means is decided here, and nothing of an answer
is used before it was checked; docs/products.md has the contract.
"""

import asyncio
from collections.abc import Collection
from decimal import Decimal
from functools import partial
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

from pydantic import BaseModel, Field, ValidationError

from adapters.breaker import CircuitBreaker
from adapters.service_http import HttpAnswer, ServiceHttp
from adapters.single_flight import SingleFlight
from models.errors import DependencyUnavailable
from models.money import MAX_PRICE, cents
from models.products import MAX_IMAGES, ImageUrl, Product, Title
from settings import Settings

SYSTEM = "product_service"
BASE = "/api/v1/products"
AT_ONCE = 16
FAILING_PRODUCTS = 3
LATEST_CALLS = 20
COOLDOWN_SECONDS = 1.0
_UNKNOWN = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.GONE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}
"""The answers by which the service has no such product: they are about this request alone."""


class _Answer(BaseModel):
    """The body of an answer. Fields that are not in here are ignored."""

    title: Title
    images: Annotated[list[ImageUrl], Field(max_length=MAX_IMAGES)] = []
    price: Annotated[Decimal, Field(ge=0, le=MAX_PRICE, decimal_places=2)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None


class ProductClient:
    """Calls the product service.

    Raises `DependencyUnavailable` when the service does not answer in time, cannot be reached,
    answers with an error, or with a body that breaks the rules, and while the circuit is open.
    """

    def __init__(self, http: ServiceHttp) -> None:
        self._http = http
        self.breaker = CircuitBreaker(
            SYSTEM,
            call="product",
            failures=FAILING_PRODUCTS,
            cooldown_seconds=COOLDOWN_SECONDS,
            window=LATEST_CALLS,
        )
        self._asked: SingleFlight[Product | None] = SingleFlight()

    @classmethod
    def of(cls, settings: Settings) -> "ProductClient":
        """A client of the configured service, with its credentials."""
        http = ServiceHttp(
            SYSTEM,
            settings.product_service,
            timeout_seconds=settings.product_service_timeout_seconds,
            headers=settings.product_service_credentials,
            tls=settings.product_service_tls(),
            proxy=settings.product_service_proxy,
        )
        return cls(http)

    async def close(self) -> None:
        await self._http.close()
        await self._asked.close()

    async def ping(self) -> None:
        """Raises unless the service is healthy."""
        answer = await self._http.call("GET", "/health")
        if not answer.is_success:
            raise DependencyUnavailable(SYSTEM, f"/health answered {answer.status}")

    async def products(self, store_id: str, product_ids: Collection[str]) -> dict[str, Product]:
        """The products of a store that the service knows, by their ids; `AT_ONCE` calls at a time.

        Waits for all calls, also when one has failed. All callers share one call of a product: so
        one that is slow, however many ask for it, does not take the connections of the others.
        """
        at_once = asyncio.Semaphore(AT_ONCE)

        async def one(product_id: str) -> Product | None:
            async with at_once:
                load = partial(self._product, store_id, product_id)
                return await self._asked.join((store_id, product_id), load)

        ids = [*dict.fromkeys(product_ids)]
        answers = await asyncio.gather(*map(one, ids), return_exceptions=True)
        found = {}
        for product_id, answer in zip(ids, answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            if answer is not None:
                found[product_id] = answer
        return found

    async def _product(self, store_id: str, product_id: str) -> Product | None:
        path = f"{BASE}/{quote(product_id, safe='')}?storeId={quote(store_id, safe='')}"
        async with self.breaker.guard(f"{store_id}/{product_id}"):
            answer = await self._http.call("GET", path)
            if answer.status in _UNKNOWN:
                return None
            if not answer.is_success:
                raise _unusable(answer, f"answered {answer.status}")
            return _product_of(answer)


def _product_of(answer: HttpAnswer) -> Product:
    try:
        body = _Answer.model_validate_json(answer.body())
    except ValidationError as error:
        flaw = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, flaw["loc"])) or "the body"
        raise _unusable(answer, f"is unusable: {where}: {flaw['msg']}") from None
    return Product(
        title=body.title,
        images=tuple(body.images),
        price=abs(cents(body.price)),  # -0.0 is 0.00
        currency=body.currency,
    )


def _unusable(answer: HttpAnswer, why: str) -> DependencyUnavailable:
    return DependencyUnavailable(SYSTEM, f"{answer.path} {why}")
