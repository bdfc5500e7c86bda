"""Random valid and invalid requests get responses that the OpenAPI document allows."""

from pathlib import Path

from tests.contract.fuzz import prepare, run_round
from tests.contract.raw_requests import send_raw
from tests.support.shop import World

EXAMPLES = 20
# Without those that need a cart which no earlier request has checked out or cleared.
EXPECTED_SUCCESSES = (
    "POST /api/v1/cart/{storeId}/store 201",
    "PUT /api/v1/cart/{id} 200",
    "DELETE /api/v1/cart/{id} 200",
    "DELETE /api/v1/cart/{id}/items/{productId} 200",
    "GET /api/v1/cart/{storeId}/store 200",
    "GET /api/v1/cart/{id} 200",
    "GET /api/v1/cart/{storeId}/admin/carts 200",
    "GET /api/v1/cart/{storeId}/operations/{operationId} 200",
)


async def test_all_responses_conform_to_the_document(world: World, tmp_path: Path) -> None:
    env = await prepare(world.settings, tmp_path)
    one = await run_round(world.settings, env, tmp_path, examples=EXAMPLES, seed=1)
    assert not one.failures, one.output
    # Each of these operations must have succeeded at least once.
    assert [label for label in EXPECTED_SUCCESSES if not one.statuses[label]] == [], str(one)
    assert one.cases > 500, str(one)


async def test_random_bytes_get_no_5xx(world: World, tmp_path: Path) -> None:
    env = await prepare(world.settings, tmp_path)
    token = env["CART_FUZZ_TOKEN"]
    seen = await send_raw(world.settings.port, 1000, seed=1, store="fuzz", token=token)
    assert seen.faults == []
    assert seen.statuses[200] > 20, seen.statuses
