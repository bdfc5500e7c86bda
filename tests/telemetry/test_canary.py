"""Personal data and secrets are in no log, event, span, metric or Temporal attribute.

Name and email address are in carts only: in no history, no record, no answer that is kept, and no
value in Redis but the cached cart.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from temporalio.client import WorkflowExecutionDescription

from adapters.redis.pool import RedisPool
from models.events import CART_ITEM_ADDED, ORDER_COMPLETED
from tests.support.dumps import dump_mongodb, dump_redis, dump_temporal, places_of
from tests.support.events import other_services
from tests.support.shop import Buyer, Shop
from tests.support.waiting import eventually
from tests.telemetry.conftest import Traced

EMAIL = "canary-mail@example.com"
BODY_EMAIL = "canary-body@example.org"
NAME = "Canary Fullname"
TITLE = "Canary Title"
DESCRIPTION = "Canary description"
IMAGE = "https://img.example.com/canary-image.png"
KEY = "canary-key-in-header"
BODY_KEY = "canary-key-in-body"
TOKEN = "canary.canary-claims.invalid"
ADDRESS = "203.0.113.77"  # a client's, in X-Forwarded-For; audit lines of refusals have it
BAGGAGE = "canary-baggage"
# Text that shows that an output has the end of the traffic.
SIGNS = {
    "api": '"status":503',
    "worker": "cart.cleared",
    "consumer": "dead_letter",
    "inventory": "Inventory is ready",
    "spans": "send cart.cleared",
    "metrics": "cart_event_publish_success",
}
CANARIES = ("canary", "Canary", ADDRESS)
# What only carts have. Titles and pictures are of the shop, and are also in inputs and answers.
PERSONAL = (EMAIL, BODY_EMAIL, NAME, KEY, BODY_KEY, ADDRESS, BAGGAGE)


async def traffic(traced: Traced, shop: Shop) -> tuple[Buyer, list[str]]:
    """Sends requests with every kind of outcome, with canaries; their buyer and tokens."""
    buyer = shop.buyer(name=NAME, email=EMAIL)
    tokens: list[str] = []

    async def send(method: str = "POST", body: Any = None, **more: str) -> httpx.Response:
        headers = buyer.headers | {"X-Forwarded-For": ADDRESS, "baggage": f"who={BAGGAGE}"} | more
        tokens.append(headers["Authorization"].removeprefix("Bearer "))
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
        return await traced.world.http.request(method, buyer.path, content=content, headers=headers)

    item = {
        "productId": "headphones",
        "productTitle": TITLE,
        "productDescription": DESCRIPTION,
        "productImage": IMAGE,
        "productPrice": 79.99,
        "quantity": 2,
    }
    await shop.stock("headphones", 10)
    expected: list[tuple[int, httpx.Response]] = [
        (201, await send(body=item | {"email": BODY_EMAIL, "idempotencyKey": BODY_KEY})),
        (201, await send(body=item, **{"Idempotency-Key": KEY})),
        (201, await send(body=item, **{"Idempotency-Key": KEY})),
        (422, await send(body=item | {"quantity": 3}, **{"Idempotency-Key": KEY})),
        (200, await send(body=item | {"quantity": 50})),  # insufficient stock
        (400, await send(body=item | {"email": "canary-no-mail"})),
        (400, await send(body=item | {"canary-field": "canary"})),
        (400, await send(body=item | {"idempotencyKey": BODY_KEY}, **{"Idempotency-Key": KEY})),
        (400, await send(body=b'{"productTitle": "Canary Title"')),
        (401, await send(body=item, Authorization=f"Bearer {TOKEN}")),
        (200, await send("GET")),
    ]
    await shop.fault("reserve", "error", times=3)
    expected.append((503, await send(body=item)))
    for status, answer in expected:
        assert answer.status_code == status, answer.text
    return buyer, tokens


async def send_orders(traced: Traced, shop: Shop, buyer: Buyer) -> None:
    """Sends an order of the cart, and an unusable order."""
    cart = await buyer.cart()
    assert cart is not None
    async with other_services(traced.world.settings) as others:
        await others.send(ORDER_COMPLETED, {"cartId": EMAIL, "userId": NAME}, key="poison")
        await others.order(buyer, str(cart.id), email=EMAIL, fullName=NAME)

        async def parked() -> None:
            assert await others.letters("poison")

        await eventually(parked)

    async def cleared() -> None:
        assert await buyer.cart() is None

    await eventually(cleared)


def without_refusals(log: str) -> str:
    """A log without the audit lines that name the address of a refused request."""
    refusals = ('"event":"token_refused"', '"event":"access_denied"')
    return "\n".join(
        line for line in log.splitlines() if not any(event in line for event in refusals)
    )


def shown_by_temporal(run: WorkflowExecutionDescription) -> str:
    """The data of a run that Temporal's lists, pages and searches show."""
    info = run.raw_description.workflow_execution_info
    config = run.raw_description.execution_config
    return f"{info}\n{config.user_metadata}"


async def test_no_token_email_name_or_idempotency_key_is_in_any_output(traced: Traced) -> None:
    shop = traced.shop()
    buyer, tokens = await traffic(traced, shop)
    await send_orders(traced, shop, buyer)

    async def outputs() -> dict[str, str]:
        temporal = traced.world.temporal
        runs = [
            await temporal.get_workflow_handle(run.id, run_id=run.run_id).describe()
            for run in await buyer.runs()
        ]
        found = traced.logs() | {
            "events": repr(await shop.events()),
            "temporal": "\n".join(shown_by_temporal(run) for run in runs),
            "spans": repr([one.span for one in traced.collector.spans]),
            "metrics": await traced.metrics(),
        }
        # The traffic has reached all outputs.
        assert found["events"].count(f"topic='{CART_ITEM_ADDED}'") == 2
        assert "topic='cart.cleared'" in found["events"]
        assert len(runs) >= 5
        for place, sign in SIGNS.items():
            assert sign in found[place], place
        return found

    texts = await eventually(outputs)
    for place, text in texts.items():
        for secret in (*CANARIES, *tokens, *(token.split(".")[1] for token in tokens)):
            shown = without_refusals(text) if secret == ADDRESS else text
            at = shown.find(secret)
            assert at < 0, f"{place}: …{shown[max(0, at - 300) : at + 100]}…"


async def test_name_and_email_address_are_stored_in_carts_only(traced: Traced) -> None:
    since = datetime.now(UTC) - timedelta(seconds=1)
    shop = traced.shop()
    buyer, tokens = await traffic(traced, shop)
    await shop.stock("lamp", 10)
    assert (await buyer.add("lamp", productTitle="A lamp" * 80, key=KEY + "-2")).status_code == 201
    assert (await buyer.get()).json()["fullName"] == NAME
    redis = RedisPool(traced.world.settings.redis)

    async def histories() -> dict[str, str]:
        dump = await dump_temporal(traced.world.temporal, since=since)
        assert sum("AddItem" in run for run in dump) >= 4
        return dump

    try:
        stored = {
            "temporal": await eventually(histories),
            "mongodb": await dump_mongodb(traced.world, but=("carts",)),
            "redis": await dump_redis(redis),
        }
    finally:
        await redis.close()
    cached = [key for key in stored["redis"] if key.startswith(f"Cart:{shop.store_id}:")]
    assert places_of(NAME, stored["redis"]), "the cached cart has it"
    for key in cached:
        del stored["redis"][key]
    assert stored["mongodb"]["answers"].count(buyer.user_id)
    for place, dump in stored.items():
        for secret in (*PERSONAL, *tokens):
            assert places_of(secret, dump) == [], f"{secret} is in {place}"
    cart = await buyer.cart()
    assert cart is not None
    assert (cart.full_name, cart.email) == (NAME, EMAIL)
