"""Audit lines of operators: a worker has them in its log, also those of commands."""

from typing import Any

import orjson

from dev.stack.stack import Stack
from tests.support.commands import cart
from tests.support.shop import Shop
from tests.support.waiting import eventually


def audit_lines(stack: Stack, name: str) -> list[dict[str, Any]]:
    """What a process has written to the audit log, by lines."""
    lines = stack.process(name).log.read_text().splitlines()
    audited = (orjson.loads(line) for line in lines if '"logger":"audit"' in line)
    return [line for line in audited if isinstance(line, dict)]


async def test_a_command_and_its_signal_are_audited(stack: Stack, shop: Shop) -> None:
    reason = f"a test of {shop.store_id}"
    try:
        paused = await cart("ops", "pause", "event/3", "--as", "ann", "--reason", reason)
        assert paused.code == 0, paused.output

        async def audited() -> list[dict[str, Any]]:
            lines = [one for one in audit_lines(stack, "worker") if one.get("reason") == reason]
            assert {line["event"] for line in lines} == {"operator_pause", "command_ops_pause"}
            return lines

        by_event = {line["event"]: line for line in await eventually(audited)}
        assert {line["operator"] for line in by_event.values()} == {"ann"}
        assert by_event["operator_pause"]["workflowId"] == "relay/event/3"
        command = by_event["command_ops_pause"]
        assert (command["count"], command["relays"]) == (1, ["event/3"])
    finally:
        assert (await cart("ops", "resume", "event/3", "--as", "ann")).code == 0


async def test_an_admins_change_has_the_admin_in_its_record_and_its_line(
    stack: Stack, shop: Shop
) -> None:
    await shop.stock("headphones", 10)
    buyer, admin = shop.buyer(), shop.buyer(role="admin", store=shop.store_id)
    cart_id = (await buyer.add()).json()["_id"]
    path = f"/api/v1/cart/{cart_id}"
    body = {"productId": "headphones", "quantity": 3}
    changed = await shop.world.http.put(path, json=body, headers=admin.headers)
    assert changed.status_code == 200, changed.text

    [added, updated] = await shop.records()
    assert str(added.actor) == f"user:{buyer.user_id}"
    assert str(updated.actor) == f"admin:{admin.user_id}"
    assert updated.user_id == buyer.user_id
    [line] = [one for one in audit_lines(stack, "api") if one.get("adminId") == admin.user_id]
    assert (line["event"], line["userId"]) == ("admin_cart_changed", buyer.user_id)
    assert line["actor"] == f"admin:{admin.user_id}"

    async def published() -> None:
        events = {event.value["version"]: event.value for event in await shop.events()}
        assert (events[1]["actorType"], events[2]["actorType"]) == ("user", "admin")
        assert admin.user_id not in repr(events)

    await eventually(published)
