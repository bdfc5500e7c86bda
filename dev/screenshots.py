"""`python -m dev.screenshots`: takes the pictures in `docs/images` anew.

Starts a stack of its own, brings about a committed, an undone and a waiting saga and a waiting
relay, and photographs their pages in the Temporal Web UI. Needs Chromium (`CHROMIUM`, by default
/usr/bin/chromium) and `pip install playwright pillow`, which nothing else here needs.
"""

import asyncio
import io
import os
import tempfile
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from playwright.async_api import FloatRect, FrameLocator, Page, ViewportSize, async_playwright
from temporalio.client import Client

from cli.token import mint_token
from dev.stack.stack import Stack
from models.operation import shard_key
from models.relays import RelayKind
from settings import Settings
from tests.conftest import settings_of_its_own
from tests.support.waiting import eventually
from workflows.gateway import connect
from workflows.ids import ATTENTION, cart_workflow_id, relay_workflow_id
from workflows.pages import Pages

IMAGES = Path(__file__).parents[1] / "docs" / "images"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZE = ViewportSize(width=1700, height=1300)
HISTORY: Any = {"tab": "history", "height": 1270}
DETAILS: Any = {"tab": "user-metadata", "height": 560}
COLOURS = 128
PATIENCE_MS = 90_000
STORE = "store-1"


class Studio:
    """A running stack, and a browser in front of its Web UI."""

    def __init__(self, settings: Settings, stack: Stack, temporal: Client, page: Page) -> None:
        self.stack = stack
        self._settings = settings
        self._temporal = temporal
        self._page = page
        self._pages = Pages(settings.temporal_ui, temporal.namespace)

    async def stock(self) -> None:
        async with httpx.AsyncClient(base_url=self._settings.inventory) as inventory:
            answer = await inventory.put(
                "/api/v1/inventories/stock/headphones",
                params={"storeId": STORE},
                json={"available": 100},
            )
            answer.raise_for_status()

    async def refuse_reserves(self) -> None:
        """The inventory fails for the next adds."""
        async with httpx.AsyncClient(base_url=self._settings.inventory) as inventory:
            fault = {"action": "reserve", "fault": "error", "seconds": 1, "times": 3}
            (await inventory.post("/faults", json=fault)).raise_for_status()

    async def add(self, user: str) -> int:
        """The status of an add."""
        url = f"http://127.0.0.1:{self._settings.port}/api/v1/cart/{STORE}/store"
        body = {
            "productId": "headphones",
            "productTitle": "Wireless Headphones",
            "productPrice": 79.99,
            "quantity": 2,
        }
        headers = {"Authorization": f"Bearer {mint_token(self._settings, user=user)}"}
        async with httpx.AsyncClient(timeout=60) as http:
            return (await http.post(url, json=body, headers=headers)).status_code

    def shard(self, user: str) -> int:
        """Whose relay a user's cart is."""
        return shard_key(STORE, user) % self._settings.relay_shards

    async def waits(self, workflow_id: str) -> None:
        """Returns when the workflow asks for attention."""

        async def asks() -> None:
            query = f"WorkflowId = '{workflow_id}' AND {ATTENTION} = true"
            assert [run async for run in self._temporal.list_workflows(query)]

        await eventually(asks, timeout=60)

    async def photograph(
        self, name: str, workflow_id: str, *, tab: str, until: str, height: int
    ) -> None:
        """The upper part of a page, once it shows the text `until`."""
        handle = self._temporal.get_workflow_handle(workflow_id)
        page = self._pages.workflow(workflow_id, (await handle.describe()).run_id)
        await self._page.goto(page.removesuffix("history") + tab)
        where: Page | FrameLocator = self._page
        if tab == DETAILS["tab"]:  # markdown, each text in a frame of its own; the last is of now
            where = self._page.locator("iframe").last.content_frame
        await where.get_by_text(until).first.wait_for(timeout=PATIENCE_MS)
        clip = FloatRect(x=0, y=0, width=SIZE["width"], height=height)
        picture = Image.open(io.BytesIO(await self._page.screenshot(clip=clip))).convert("RGB")
        picture.quantize(COLOURS).save(IMAGES / f"{name}.png", optimize=True)
        print(f"docs/images/{name}.png", (IMAGES / f"{name}.png").stat().st_size)


async def take_all(studio: Studio) -> None:
    """One picture after the other: each needs a system to be as it is then."""
    await studio.stock()
    await studio.add("alice")
    await studio.photograph(
        "saga-committed", cart_workflow_id(STORE, "alice"), until="reserve_hold", **HISTORY
    )
    await studio.refuse_reserves()
    await studio.add("bob")
    await studio.photograph(
        "saga-undone", cart_workflow_id(STORE, "bob"), until="release_holds", **HISTORY
    )

    await studio.stack.kill("kafka", restart=False)
    await studio.add("carol")
    relay = relay_workflow_id(RelayKind.EVENTS, studio.shard("carol"))
    await studio.waits(relay)
    await studio.photograph("relay-waiting", relay, until="waiting", **DETAILS)
    await studio.stack.start_again("kafka")

    await studio.stack.kill("mongodb", restart=False)
    await studio.add("dave")
    waiting = cart_workflow_id(STORE, "dave")
    await studio.waits(waiting)
    await studio.photograph("saga-waiting", waiting, until="waiting for MongoDB", **DETAILS)
    await studio.stack.start_again("mongodb")


async def main(folder: Path) -> None:
    IMAGES.mkdir(exist_ok=True)
    with settings_of_its_own(folder) as settings:
        async with Stack(settings) as stack, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            page = await browser.new_page(viewport=SIZE)
            await take_all(Studio(settings, stack, await connect(settings), page))
            await browser.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(main(Path(temporary)))
