"""Rules and dashboards in a Prometheus that scrapes the running service, with outages."""

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

# The SDK shows these only after their first event, which no test causes.
NOT_YET_SHOWN = {"temporal_workflow_failed_total"}


async def test_every_process_is_scraped(running_prometheus: Prometheus, settings: Settings) -> None:
    async def all_up() -> None:
        found = (await running_prometheus.ask("targets"))["activeTargets"]
        assert {one["labels"]["job"]: one["health"] for one in found} == dict.fromkeys(
            targets(settings, 0), "up"
        ), [one["lastError"] for one in found]

    await eventually(all_up, timeout=30)


async def test_every_rule_is_evaluated_without_error(running_prometheus: Prometheus) -> None:
    async def evaluated() -> None:
        groups = (await running_prometheus.ask("rules"))["groups"]
        found = [rule for group in groups for rule in group["rules"]]
        assert len(found) == len(rules())
        bad = [(rule["name"], rule.get("lastError")) for rule in found if rule["health"] != "ok"]
        assert not bad

    await eventually(evaluated, timeout=30)


async def test_every_query_of_a_dashboard_is_valid(running_prometheus: Prometheus) -> None:
    for board, title, query in panels():
        assert await running_prometheus.ask("format_query", query=query), f"{board}: {title}"
        await running_prometheus.ask("query", query=query)


async def test_an_inventory_outage_fires_its_alert_until_its_end(
    running_prometheus: Prometheus, shop: Shop, stack: Stack
) -> None:
    await shop.stock("headphones", 1000)
    async with down(stack, "inventory"):

        async def reported() -> None:
            await shop.buyer().add()
            assert "CartInventoryDown" in await running_prometheus.alerts()

        await eventually(reported, timeout=60)

    async def over() -> None:
        assert (await shop.buyer().add()).status_code == 201
        assert "CartInventoryDown" not in await running_prometheus.alerts()

    await eventually(over, timeout=60)


async def test_a_redis_outage_fires_its_alert_without_traffic(
    running_prometheus: Prometheus, stack: Stack
) -> None:
    async with down(stack, "redis"):
        await running_prometheus.fires("CartRedisDown")
    await running_prometheus.is_over("CartRedisDown")


async def test_a_temporal_outage_fires_its_alert(
    running_prometheus: Prometheus, shop: Shop, stack: Stack
) -> None:
    await shop.stock("headphones", 5)
    async with down(stack, "temporal"):
        await shop.buyer().add()  # so that calls of the API fail too
        await running_prometheus.fires("CartTemporalDown")

    async def added() -> None:
        assert (await shop.buyer().add()).status_code == 201

    await eventually(added, timeout=60)


async def test_an_unusable_message_fires_its_alert(
    running_prometheus: Prometheus, shop: Shop, settings: Settings
) -> None:
    async with other_services(settings) as others:
        await others.send(ORDER_COMPLETED, b"{", key=shop.store_id)
    await running_prometheus.fires("CartEventsParked")


async def test_the_used_metrics_of_the_temporal_sdk_exist(
    running_prometheus: Prometheus, shop: Shop
) -> None:
    await shop.stock("headphones", 5)
    assert (await shop.buyer().add()).status_code == 201
    used = of_temporal([rule["expr"] for rule in rules()] + [query for _, _, query in panels()])

    async def shown() -> None:
        names = set(await running_prometheus.ask("label/__name__/values"))
        assert used - names <= NOT_YET_SHOWN

    await eventually(shown, timeout=30)
