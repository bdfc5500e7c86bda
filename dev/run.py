"""`cart run` and `cart stack`: the local stack in the foreground."""

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import httpx
import orjson
import typer

from cli.console import CliError, say_whole, warn
from cli.token import mint_token
from dev.stack.apps import APPS, ROOT, SERVERS
from dev.stack.process import StackError
from dev.stack.stack import Stack
from dev.storefront.control import StorefrontControl
from settings import Settings, load_settings

DEMO_STORE, DEMO_PRODUCT = "store-1", "headphones"
DEMO_STOCK = {
    DEMO_PRODUCT: 100,
    "lamp": 100,
    "kettle": 20,
    "backpack": 20,
    "plant": 20,
    "poster": 3,
}
"""The units of the storefront's products (`api/storefront/products.json`)."""
DEMO_ITEM = {
    "productId": DEMO_PRODUCT,
    "productTitle": "Wireless headphones",
    "productPrice": 79.99,
    "quantity": 1,
}
TOKEN_SECONDS = 86_400
WATCHED = [
    ROOT / name
    for name in (
        *("activities", "adapters", "api", "models", "ops", "settings", "telemetry", "workflows"),
        *("heartbeat.py", "logs.py", "process.py", "worker.py", "consumer.py"),
        "dev/inventory_service",
    )
]
"""The code of the service's processes."""

Reset = Annotated[bool, typer.Option("--reset", help="Clear the data of the local servers first.")]


Reload = Annotated[
    bool, typer.Option("--reload", help="Start the processes again when their code changes.")
]


def run(reset: Reset = False, reload: Reload = False) -> None:
    """Start the local servers, inventory, worker, consumer and API; Ctrl-C stops them."""
    raise typer.Exit(_run((*SERVERS, *APPS), reset=reset, reload=reload))


def stack(reset: Reset = False) -> None:
    """Start only the local servers: Temporal, MongoDB, Redis, Kafka; Ctrl-C stops them."""
    raise typer.Exit(_run(SERVERS, reset=reset))


def _run(parts: Collection[str], *, reset: bool, reload: bool = False) -> int:
    """Returns the exit code: 0 after a signal, 1 after a failure, 2 for an unusable folder."""
    logging.getLogger().addHandler(logging.NullHandler())  # errors are printed below
    try:
        asyncio.run(_serve(load_settings(), parts, reset=reset, reload=reload))
    except StackError as error:
        warn("", *f"cart: {error}".split("\n"))
        return error.exit_code
    return 0


async def _serve(settings: Settings, parts: Collection[str], *, reset: bool, reload: bool) -> None:
    """Runs until a signal; raises `StackError` if a part fails for good."""
    control = StorefrontControl() if set(APPS) <= set(parts) else None
    if control is not None:
        settings = _with_storefront(control)
    local = Stack(settings, echo=_say, parts=parts)
    if reset:
        local.reset()
        _say(f"cleared the data in {local.local_dir}")
    _say(f"starting; data and logs are in {local.local_dir}")
    running = asyncio.create_task(_start_and_wait(local, control, reload=reload))
    _stop_on_signals(local, running)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await running
    finally:
        await local.stop()
    _say("stopped")


def _say(line: str) -> None:
    """Prints; a closed terminal must not prevent the stop of the processes."""
    with contextlib.suppress(OSError, CliError, SystemExit):
        say_whole(*line.split("\n"))


def _stop_on_signals(local: Stack, running: asyncio.Task[None]) -> None:
    """The first signal cancels the task; a second signal kills all processes."""

    def stop() -> None:
        if running.cancelling():
            local.kill_all()
            os._exit(128 + signal.SIGINT)
        _say("stopping")
        running.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)


def _with_storefront(control: StorefrontControl) -> Settings:
    """The settings of a stack whose API serves the storefront, unless they say otherwise."""
    os.environ.setdefault("ENABLE_STOREFRONT", "true")
    os.environ["STOREFRONT_CONTROL_URL"] = control.url
    return load_settings()


async def _start_and_wait(local: Stack, control: StorefrontControl | None, *, reload: bool) -> None:
    """Ends only by an error."""
    begun = time.monotonic()
    await local.start()
    lines = [f"ready in {time.monotonic() - begun:.1f} s"]
    async with contextlib.AsyncExitStack() as serving:
        if control is not None:
            lines += await _how_to_use(local)
            await serving.enter_async_context(control.serving(local))
        elif "temporal" not in local.external:
            lines.append(f"  Temporal Web UI   {local.settings.temporal_ui}")
        _say("\n".join([*lines, "", "Ctrl-C stops it."]))
        watching = [asyncio.create_task(_reload_on_changes(local))] if reload else []
        try:
            await local.wait()
        finally:
            for task in watching:
                task.cancel()


async def _reload_on_changes(local: Stack) -> None:
    # Only developers have it (the extra `dev`), and only `--reload` needs it.
    from watchfiles import PythonFilter, awatch  # noqa: PLC0415

    async for changes in awatch(*WATCHED, watch_filter=PythonFilter()):
        changed = sorted({str(Path(path).relative_to(ROOT)) for _, path in changes})
        _say(f"  reloading  {', '.join(changed)}")
        await local.reload()


async def _how_to_use(local: Stack) -> list[str]:
    settings = local.settings
    token = mint_token(settings, user="demo-user", name="Demo User", ttl_seconds=TOKEN_SECONDS)
    if "inventory" not in local.external:
        await stock_demo_products(settings)
    url = f"{settings.api_url}/api/v1/cart/{DEMO_STORE}/store"
    return [
        "",
        *([f"  Storefront        {settings.api_url}/shop"] if settings.enable_storefront else []),
        f"  API docs          {settings.api_url}/docs",
        f"  Temporal Web UI   {settings.temporal_ui}",
        f"  Operators' page   {settings.api_url}/ops (cart token --user YOU --role admin)",
        "",
        "A token for 24 hours (more: cart token --user USER):",
        "",
        token,
        "",
        "Add an item to a cart:",
        "",
        f"curl -sS -X POST {url} -H 'Authorization: Bearer {token}' "
        f"-H 'Content-Type: application/json' -d '{orjson.dumps(DEMO_ITEM).decode()}'",
    ]


async def stock_demo_products(settings: Settings) -> None:
    """Stocks the products of the storefront, unless the inventory already knows them."""
    base, store = f"{settings.inventory}/api/v1/inventories", {"storeId": DEMO_STORE}
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            for product, units in DEMO_STOCK.items():
                answer = await client.get(f"{base}/check/{product}", params=store)
                if not any(answer.raise_for_status().json().values()):
                    url, stock = f"{base}/stock/{product}", {"available": units}
                    (await client.put(url, params=store, json=stock)).raise_for_status()
    except (httpx.HTTPError, ValueError) as error:
        raise StackError(f"the inventory did not accept stock: {error}") from error
