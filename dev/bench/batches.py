"""The cost of a batch of 20 products, compared with an add: answer and CPU time, in turns.

`python -m dev.bench.batches [--rounds 20] [--operations 10]`
"""

import argparse
import asyncio

from cli.token import mint_token
from dev.bench.client import RawClient, request
from dev.bench.data import ITEM, PRODUCTS, STORE, add_request, new_user, set_stock
from dev.bench.rig import local_stack
from dev.bench.turns import in_turns
from dev.stack.stack import Stack

SIZE = 20


def batch_request(stack: Stack, first: int) -> bytes:
    """Adds `SIZE` products to a new cart."""
    operations = [
        {"op": "add", "productId": f"product-{(first + number) % PRODUCTS}", **ITEM}
        for number in range(SIZE)
    ]
    token = mint_token(stack.settings, user=new_user(), name="Ada Lovelace")
    path = f"/api/v1/cart/{STORE}/store/batch"
    return request("POST", path, token=token, body={"operations": operations})


async def main(rounds: int, operations: int) -> None:
    """Sends as many batches as adds in a round."""
    async with local_stack() as stack, RawClient(stack.settings.port) as client:
        await set_stock(stack.settings)

        def batches() -> list[bytes]:
            return [batch_request(stack, index * SIZE) for index in range(operations)]

        def adds() -> list[bytes]:
            return [
                add_request(stack.settings, new_user(), f"product-{index}")
                for index in range(operations)
            ]

        await in_turns(
            stack, client, {f"a batch of {SIZE}": batches, "an add": adds}, rounds=rounds
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--operations", type=int, default=10)
    given = parser.parse_args()
    asyncio.run(main(given.rounds, given.operations))
