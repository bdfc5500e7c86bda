"""What each answer of the product service leads to; over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from adapters.products import FAILING_PRODUCTS, ProductClient
from adapters.service_http import CONNECTIONS, MAX_BODY_BYTES
from cli.doctor.results import CheckReport, Status
from cli.doctor.services import check_products
from models.errors import DependencyTimeout, DependencyUnavailable, NotSent
from models.products import MAX_IMAGES, Product
from settings import Settings
from tests.support.certificates import certificates_in
from tests.support.http_answers import RawAnswer, RawServer, raw_server

IMAGE = "https://example.com/lamp.jpg"
LAMP = {"title": "Lamp", "images": [IMAGE], "price": 79.99, "currency": "EUR"}
OUTAGE = DependencyUnavailable
UNKNOWN = None


def lamp(**changed: Any) -> RawAnswer:
    body = {name: value for name, value in (LAMP | changed).items() if value is not ...}
    return RawAnswer(200, orjson.dumps(body))


def product(**changed: Any) -> Product:
    known = {"title": "Lamp", "images": (IMAGE,), "price": Decimal("79.99"), "currency": "EUR"}
    return Product.model_validate(known | changed)


ANSWERS: list[Any] = [
    (lamp(), product()),
    (lamp(stock=3, brand={"name": "x"}), product()),
    (lamp(currency=...), product(currency=None)),
    (lamp(currency=None), product(currency=None)),
    (lamp(images=...), product(images=())),
    (lamp(price="79.99"), product()),
    (lamp(price=0), product(price=Decimal("0.00"))),
    (lamp(price=-0.0), product(price=Decimal("0.00"))),
    (lamp(price=80), product(price=Decimal("80.00"))),
    (RawAnswer(404), UNKNOWN),
    (RawAnswer(404, b"<html>"), UNKNOWN),
    (RawAnswer(410), UNKNOWN),
    (RawAnswer(400, b'{"message": "no such id"}'), UNKNOWN),
    (RawAnswer(422), UNKNOWN),
    (lamp(price=79.999), OUTAGE),
    (lamp(price=-1), OUTAGE),
    (lamp(price=1_000_000.01), OUTAGE),
    (lamp(price="NaN"), OUTAGE),
    (lamp(price=...), OUTAGE),
    (lamp(title=...), OUTAGE),
    (lamp(title=" "), OUTAGE),
    (lamp(title="x" * 501), OUTAGE),
    (lamp(title="a\u0000b"), OUTAGE),
    (lamp(images=["javascript:alert(1)"]), OUTAGE),
    (lamp(images=[IMAGE] * (MAX_IMAGES + 1)), OUTAGE),
    (lamp(currency="euro"), OUTAGE),
    (RawAnswer(200), OUTAGE),
    (RawAnswer(204), OUTAGE),
    (RawAnswer(200, b"[]"), OUTAGE),
    (RawAnswer(200, b"<html>"), OUTAGE),
    (RawAnswer(200, b'{"padding": "' + b"x" * MAX_BODY_BYTES + b'"}'), OUTAGE),
    (RawAnswer(302, headers={"Location": "/elsewhere"}), OUTAGE),
    (RawAnswer(401), OUTAGE),
    (RawAnswer(403), OUTAGE),
    (RawAnswer(429), OUTAGE),
    (RawAnswer(500), OUTAGE),
    (RawAnswer(503), OUTAGE),
    (RawAnswer(silent=True), DependencyTimeout),
    (RawAnswer(200, orjson.dumps(LAMP), pause=0.05), DependencyTimeout),
]


@asynccontextmanager
async def product_service(
    answer: Callable[[str], RawAnswer], **settings: Any
) -> AsyncIterator[tuple[ProductClient, RawServer]]:
    async with raw_server(answer) as server:
        usual: dict[str, Any] = {
            "product_service_url": server.url,
            "product_service_timeout_seconds": 10,
        }
        client = ProductClient.of(Settings(**(usual | settings)))
        try:
            yield client, server
        finally:
            await client.close()


@pytest.mark.parametrize(("answer", "leads_to"), ANSWERS)
async def test_each_answer(answer: RawAnswer, leads_to: Any) -> None:
    seconds = 0.2 if leads_to is DependencyTimeout else 10
    async with product_service(lambda _: answer, product_service_timeout_seconds=seconds) as (
        client,
        server,
    ):
        if isinstance(leads_to, type):
            with pytest.raises(leads_to):
                await client.products("store-1", ["lamp"])
        else:
            known = {} if leads_to is UNKNOWN else {"lamp": leads_to}
            assert await client.products("store-1", ["lamp"]) == known
    assert server.lines == ["GET /api/v1/products/lamp?storeId=store-1 HTTP/1.1"]


async def test_each_of_several_products_is_asked_for_once() -> None:
    def answer(path: str) -> RawAnswer:
        return RawAnswer(404) if "/gone" in path else lamp()

    async with product_service(answer) as (client, server):
        known = await client.products("store-1", ["lamp", "gone", "cable", "lamp"])
    assert known == {"lamp": product(), "cable": product()}
    assert len(server.lines) == 3


async def test_one_product_that_keeps_failing_does_not_stop_the_others() -> None:
    def answer(path: str) -> RawAnswer:
        return RawAnswer(500) if "/sick" in path else lamp()

    async with product_service(answer) as (client, server):
        for _ in range(2 * FAILING_PRODUCTS):
            with pytest.raises(DependencyUnavailable):
                await client.products("store-1", ["sick"])
            assert await client.products("store-1", ["lamp"]) == {"lamp": product()}
        assert len([line for line in server.lines if "/sick" in line]) == FAILING_PRODUCTS
        assert [one.subject for one in client.breaker.failing()] == ["store-1/sick"]


async def test_one_product_that_hangs_does_not_take_the_connections_of_others() -> None:
    def answer(path: str) -> RawAnswer:
        return RawAnswer(silent=True) if "/sick" in path else lamp()

    async with product_service(answer, product_service_timeout_seconds=60) as (client, server):
        asking = [
            asyncio.create_task(client.products("store-1", ["sick"]))
            for _ in range(CONNECTIONS + 1)
        ]
        assert await client.products("store-1", ["lamp"]) == {"lamp": product()}
        assert await client.products("another", ["lamp"]) == {"lamp": product()}
        assert not any(task.done() for task in asking)
        assert len(server.lines) == 3
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(one) for one in found} == {DependencyUnavailable}


async def test_calls_are_not_sent_after_several_products_have_failed() -> None:
    async with product_service(lambda _: RawAnswer(500)) as (client, server):
        for product_id in ("a", "b", "c"):
            with pytest.raises(DependencyUnavailable):
                await client.products("store-1", [product_id])
        with pytest.raises(NotSent):
            await client.products("store-1", ["d"])
    assert len(server.lines) == 3


async def test_the_token_is_sent_and_never_shown() -> None:
    async with product_service(lambda _: RawAnswer(500), product_service_token="a-secret") as (
        client,
        server,
    ):
        with pytest.raises(DependencyUnavailable) as raised:
            await client.products("store-1", ["lamp"])
        assert "a-secret" not in str(raised.value)
    assert "authorization: bearer a-secret" in server.requests[0].lower()


async def test_an_own_authority_is_one_setting(tmp_path: Path) -> None:
    certificates = certificates_in(tmp_path)
    async with raw_server(lambda _: lamp(), certificates.server_tls()) as server:
        own = Settings(
            product_service_url=server.url, product_service_tls_ca_file=certificates.authority
        )
        for settings, is_trusted in (
            (own, True),
            (Settings(product_service_url=server.url), False),
        ):
            client = ProductClient.of(settings)
            if is_trusted:
                assert await client.products("store-1", ["lamp"]) == {"lamp": product()}
            else:
                with pytest.raises(DependencyUnavailable):
                    await client.products("store-1", ["lamp"])
            await client.close()


@pytest.mark.parametrize(("status", "state"), [(200, Status.OK), (503, Status.FAILED)])
async def test_the_doctor_asks_for_its_health(status: int, state: Status) -> None:
    async with raw_server(lambda _: RawAnswer(status)) as server:
        report = CheckReport()
        await check_products(Settings(product_service_url=server.url), report)
    [result] = report.results
    assert (result.part, result.state) == ("product service", state)


async def test_the_doctor_says_nothing_where_there_is_none() -> None:
    report = CheckReport()
    await check_products(Settings(), report)
    assert report.results == []


def test_two_logins_are_refused() -> None:
    with pytest.raises(ValueError, match="PRODUCT_SERVICE_TOKEN and the login"):
        Settings(product_service_url="https://me:secret@products", product_service_token="t")
