"""The cost of holds that end and of limits: adds in a store with both and in one without, in turns.

`python -m dev.bench.holds [--rounds 30] [--adds 20]`

Both are stores of one local stack, so the processes are the same. Every second add is to a cart
that has a line.
"""

import argparse
import asyncio
from functools import partial

from cli.token import mint_token
from dev.bench.client import RawClient, request
from dev.bench.data import PRODUCTS, add_request, new_user, set_stock
from dev.bench.rig import local_stack
from dev.bench.turns import in_turns
from dev.stack.stack import Stack

LIMITED, PLAIN = "limited", "plain"
SETTINGS: dict[str, dict[str, float]] = {
    LIMITED: {"holdMinutes": 30, "maxUnits": 500, "maxValue": 100_000, "maxLines": 50},
    PLAIN: {"holdMinutes": 0, "maxUnits": 0, "maxValue": 0},
}


def adds_in(stack: Stack, store: str, count: int) -> list[bytes]:
    """Requests to add two products each to new carts."""
    users = [new_user() for _ in range(count // 2)]
    return [
        add_request(stack.settings, user, f"product-{(number + line) % PRODUCTS}", store=store)
        for number, user in enumerate(users)
        for line in range(2)
    ]


def settings_request(stack: Stack, store: str, settings: dict[str, float]) -> bytes:
    """A request to give a store settings of its own."""
    role = stack.settings.jwt_admin_role
    token = mint_token(stack.settings, user="boss", role=role, store=store)
    return request("PUT", f"/admin/stores/{store}/settings", token=token, body=settings)


async def main(rounds: int, adds: int) -> None:
    """Sends as many adds to each store in a round."""
    async with local_stack() as stack, RawClient(stack.settings.port) as client:
        for store, settings in SETTINGS.items():
            await set_stock(stack.settings, store)
            await client.send(settings_request(stack, store, settings))
        requests = {
            f"an add in a {store} store": partial(adds_in, stack, store, adds) for store in SETTINGS
        }
        await in_turns(stack, client, requests, rounds=rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--adds", type=int, default=20)
    given = parser.parse_args()
    asyncio.run(main(given.rounds, given.adds))
