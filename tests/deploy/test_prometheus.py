"""Rules and dashboards in a real Prometheus, which scrapes the running service; real faults."""

from dev.stack.stack import Stack
from models.events import ORDER_COMPLETED
from settings import Settings
from tests.deploy.prometheus import Prometheus, targets
from tests.deploy.queries import of_temporal, panels, rules
from tests.deploy.tools import needs
from tests.support.events import other_services
from tests.support.outages import down
from tests.support.shop import Shop
from tests.support.waiting import eventually

pytestmark = needs("prometheus")

# The SDK shows these from their first step on, and nothing here makes a run fail.
WHEN_IT_HAPPENS = {"temporal_workflow_failed_total"}


async def test_every_process_is_seen(seen: Prometheus, settings: Settings) -> None:
    async def all_up() -> None:
        found = (await seen.ask("targets"))["activeTargets"]
        assert {one["labels"]["job"]: one["health"] for one in found} == dict.fromkeys(
            targets(settings, 0), "up"
        ), [one["lastError"] for one in found]

    await eventually(all_up, timeout=30)


async def test_every_rule_is_well(seen: Prometheus) -> None:
    async def evaluated() -> None:
        groups = (await seen.ask("rules"))["groups"]
        found = [rule for group in groups for rule in group["rules"]]
        assert len(found) == len(rules())
        bad = [(rule["name"], rule.get("lastError")) for rule in found if rule["health"] != "ok"]
        assert not bad

    await eventually(evaluated, timeout=30)


async def test_every_query_of_a_dashboard_can_be_asked(seen: Prometheus) -> None:
    for board, title, query in panels():
        assert await seen.ask("format_query", query=query), f"{board}: {title}"
        await seen.ask("query", query=query)


async def test_a_dead_inventory_is_told_until_it_is_back(
    seen: Prometheus, shop: Shop, stack: Stack
) -> None:
    await shop.stock("headphones", 1000)
    async with down(stack, "inventory"):

        async def told() -> None:
            await shop.buyer().add()
            assert "CartInventoryDown" in await seen.alerts()

        await eventually(told, timeout=60)

    async def over() -> None:
        assert (await shop.buyer().add()).status_code == 201
        assert "CartInventoryDown" not in await seen.alerts()

    await eventually(over, timeout=60)


async def test_redis_is_missed_even_when_nobody_shops(seen: Prometheus, stack: Stack) -> None:
    async with down(stack, "redis"):
        await seen.fires("CartRedisDown")
    await seen.is_over("CartRedisDown")


async def test_temporal_is_missed(seen: Prometheus, shop: Shop, stack: Stack) -> None:
    await shop.stock("headphones", 5)
    async with down(stack, "temporal"):
        await shop.buyer().add()  # so that what the API asks it fails too
        await seen.fires("CartTemporalDown")

    async def added() -> None:
        assert (await shop.buyer().add()).status_code == 201

    await eventually(added, timeout=60)


async def test_a_poison_message_is_told(seen: Prometheus, shop: Shop, settings: Settings) -> None:
    async with other_services(settings) as others:
        await others.send(ORDER_COMPLETED, b"{", key=shop.store_id)
    await seen.fires("CartEventsParked")


async def test_temporals_own_metrics_have_the_names_that_are_asked_for(
    seen: Prometheus, shop: Shop
) -> None:
    await shop.stock("headphones", 5)
    assert (await shop.buyer().add()).status_code == 201
    asked = of_temporal([rule["expr"] for rule in rules()] + [query for _, _, query in panels()])

    async def shown() -> None:
        names = set(await seen.ask("label/__name__/values"))
        assert asked - names <= WHEN_IT_HAPPENS

    await eventually(shown, timeout=30)
