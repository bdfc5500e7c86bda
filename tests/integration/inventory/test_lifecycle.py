"""Start, shutdown, cancelled calls, and the database commands of a reserve."""

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from functools import partial

import httpx
import pytest
from pymongo import AsyncMongoClient, monitoring

import dev.inventory_service.mongo
from dev.inventory_service.store import Store
from tests.integration.inventory.service import (
    API,
    ROOT,
    Warehouse,
    a_warehouse,
    eventually,
    running_inventory,
    to_release,
    to_reserve,
)


async def test_a_shutdown_does_not_wait_for_a_fault(mongodb_uri: str) -> None:
    with running_inventory(mongodb_uri, INVENTORY_FAULTS="1") as service:
        async with a_warehouse(service.url) as warehouse:
            await warehouse.stock(10)
            await warehouse.fault("reserve", "commit_then_timeout", seconds=60)
            call = asyncio.create_task(warehouse.reserve("s1"))
            await eventually(warehouse.units, (9, 1, 0))
            service.process.send_signal(signal.SIGTERM)
            assert (await call)[0] == 500
            await asyncio.to_thread(service.process.wait, 20)


async def test_a_closed_connection_leaves_no_half_done_reserve(warehouse: Warehouse) -> None:
    await warehouse.stock(100)
    url = httpx.URL(warehouse.client.base_url)
    for number in range(30):
        call = warehouse.client.build_request(
            "POST", f"{API}/reserve", json=warehouse.reserve_body(f"s{number}", 2)
        )
        head = f"POST {API}/reserve HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        head += f"content-length: {len(call.content)}\r\n\r\n"
        _, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(head.encode() + call.content)
        await writer.drain()
        await asyncio.sleep(number % 6 * 0.001)
        writer.transport.abort()
    available, held, _ = await warehouse.units()
    assert available + held == 100
    for number in range(30):
        assert (await warehouse.reserve(f"s{number}", 2))[0] == 200
    assert await warehouse.units() == (40, 60, 0)


async def test_a_port_in_use_fails_the_start(mongodb_uri: str, inventory_url: str) -> None:
    port = httpx.URL(inventory_url).port
    own = {"MONGODB_URI": mongodb_uri, "INVENTORY_PORT": str(port), "CART_ENV_FILE": ""}
    command = [sys.executable, "-m", "inventory"]
    done = subprocess.run(  # noqa: ASYNC221 (nothing else runs meanwhile)
        command, cwd=ROOT, env=os.environ | own, capture_output=True, timeout=20, check=False
    )
    assert done.returncode != 0
    assert b"address already in use" in done.stdout


async def test_an_invalid_setting_fails_the_start_and_is_named() -> None:
    own = {"INVENTORY_PORT": "70000", "CART_ENV_FILE": ""}
    command = [sys.executable, "-m", "inventory"]
    done = subprocess.run(  # noqa: ASYNC221 (nothing else runs meanwhile)
        command, cwd=ROOT, env=os.environ | own, capture_output=True, timeout=20, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"INVENTORY_PORT='70000'")


async def test_a_reserve_is_one_transaction_of_three_round_trips(
    mongodb_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each add waits for it."""
    commands: list[tuple[str, bool]] = []

    class Listener(monitoring.CommandListener):
        def started(self, event: monitoring.CommandStartedEvent) -> None:
            in_transaction = event.command.get("autocommit") is False
            commands.append((event.command_name, in_transaction))

        def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
            pass

        def failed(self, event: monitoring.CommandFailedEvent) -> None:
            pass

    client = partial(AsyncMongoClient, event_listeners=[Listener()])
    monkeypatch.setattr(dev.inventory_service.mongo, "AsyncMongoClient", client)
    store, name = Store(mongodb_uri), uuid.uuid4().hex
    try:
        await store.prepare()
        await store.set_stock(name, "book", 10)
        commands.clear()
        assert (await store.reserve(to_reserve(name, "s1"))).success
        assert commands == [
            ("insert", True),
            ("findAndModify", True),
            ("commitTransaction", True),
        ]
        commands.clear()
        assert (await store.release(to_release(name, "s1"))).released == 1
        assert all(in_transaction for _, in_transaction in commands)
    finally:
        await store.close()
