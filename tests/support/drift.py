"""Nothing that drifts: what other tests left behind is put right, and the watch has seen it."""

import json

from models.cart import Cart
from tests.support.commands import cart
from tests.support.shop import World
from workflows.ids import WATCH_SCHEDULE


async def nothing_drifts() -> None:
    """Puts right what other tests have left behind; a cart that cannot be is thrown away."""
    output = (await cart("reconcile", "--json", "--limit", "2000", "--fix")).output
    report = json.loads(output[output.index("{\n") :])
    for finding in report["findings"]:
        if finding["drift"]["done"] is None:
            whose = {"storeId": finding["store_id"], "userId": finding["user_id"]}
            await Cart.find(whose).delete()


async def look_now(world: World) -> None:
    """Lets the watch look, where nothing is to be learnt from waiting for it."""
    await world.temporal.get_schedule_handle(WATCH_SCHEDULE).trigger()
