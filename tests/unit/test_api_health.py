"""The health endpoints."""

import time

import pytest

from tests.fakes.api import FakeApi

ALL_UP = {
    "mongodb": "connected",
    "redis": "connected",
    "kafka": "connected",
    "temporal": "connected",
    "inventory": "reachable",
}


@pytest.mark.parametrize(
    ("down", "status", "says"),
    [
        ((), 200, "healthy"),
        (("redis",), 200, "degraded"),
        (("kafka",), 200, "degraded"),
        (("inventory",), 200, "degraded"),
        (("redis", "kafka", "inventory"), 200, "degraded"),
        (("mongodb",), 503, "unhealthy"),
        (("temporal",), 503, "unhealthy"),
        (("mongodb", "redis"), 503, "unhealthy"),
    ],
)
async def test_health_names_the_systems_that_are_down(
    down: tuple[str, ...], status: int, says: str
) -> None:
    api = FakeApi(down=down)
    answer = await api.client.get("/health")
    body = answer.json()
    assert (answer.status_code, body["status"]) == (status, says)
    away = {name: "unreachable" if name == "inventory" else "disconnected" for name in down}
    assert body["services"] == ALL_UP | away
    assert body["timestamp"].endswith("Z")
    assert body["version"] == api.app.version

    ready = await api.client.get("/health/ready")
    assert ready.status_code == status
    assert set(ready.json()["services"]) == {"mongodb", "temporal"}
    live = await api.client.get("/health/live")
    assert live.status_code == 200


async def test_a_system_that_hangs_does_not_delay_the_health_check() -> None:
    api = FakeApi(hanging=("redis", "kafka", "inventory", "mongodb", "temporal"))
    started = time.perf_counter()
    answer = await api.client.get("/health")
    assert time.perf_counter() - started < 30  # each check has a timeout of 0.1 s here
    assert answer.json()["status"] == "unhealthy"
