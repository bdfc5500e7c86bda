"""`python -m dev.screenshots`: takes the screenshots of the Temporal Web UI in `docs/images`.

Starts a stack of its own with a committed, an undone and a waiting saga and a waiting relay. Needs
Chromium (`CHROMIUM`, default /usr/bin/chromium) and `pip install playwright pillow`.
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
from models.cart import CartKey
from models.documents import bucket_of
from models.effects import EffectKind
from settings import Settings
from tests.conftest import settings_of_its_own
from tests.support.waiting import eventually
from workflows.connection import connect
from workflows.ids import ATTENTION, cart_workflow_id, relay_workflow_id
from workflows.pages import Pages

IMAGES = Path(__file__).parents[1] / "docs" / "images"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
SIZE = ViewportSize(width=1700, height=1300)
HISTORY: Any = {"tab": "history", "height": 1270}
DETAILS: Any = {"tab": "user-metadata", "height": 560}
COLOURS = 128
TIMEOUT_MS = 90_000
STORE = "store-1"


class Camera:
    """A running stack, and a browser on its Web UI."""

    def __init__(self, settings: Settings, stack: Stack, temporal: Client, page: Page) -> None:
        self.stack = stack
        self.settings = settings
        self._temporal = temporal
        self._page = page
        self._pages = Pages(settings.temporal_ui, temporal.namespace)

    async def stock(self) -> None:
        path = f"/api/v1/inventories/stock/headphones?storeId={STORE}"
        await self._inventory("PUT", path, {"available": 100})

    async def refuse_reserves(self) -> None:
        """Makes the inventory fail for the next adds."""
        fault = {"action": "reserve", "fault": "error", "seconds": 1, "times": 3}
        await self._inventory("POST", "/faults", fault)

    async def _inventory(self, method: str, path: str, body: dict[str, Any]) -> None:
        async with httpx.AsyncClient(base_url=self.settings.inventory) as inventory:
            (await inventory.request(method, path, json=body)).raise_for_status()

    async def add(self, user: str) -> None:
        """Adds an item, whatever the response."""
        url = f"http://127.0.0.1:{self.settings.port}/api/v1/cart/{STORE}/store"
        body = {
            "productId": "headphones",
            "productTitle": "Wireless Headphones",
            "productPrice": 79.99,
            "quantity": 2,
        }
        headers = {"Authorization": f"Bearer {mint_token(self.settings, user=user)}"}
        async with httpx.AsyncClient(timeout=60) as http:
            await http.post(url, json=body, headers=headers)

    async def wait_for_attention(self, workflow_id: str) -> None:
        """Waits until the workflow needs attention."""

        async def needs_attention() -> None:
            query = f"WorkflowId = '{workflow_id}' AND {ATTENTION} = true"
            assert [run async for run in self._temporal.list_workflows(query)]

        await eventually(needs_attention, timeout=60)

    async def take(self, name: str, workflow_id: str, *, tab: str, until: str, height: int) -> None:
        """Takes the upper part of a page, once it shows the text `until`."""
        handle = self._temporal.get_workflow_handle(workflow_id)
        page = self._pages.workflow(workflow_id, (await handle.describe()).run_id)
        await self._page.goto(page.removesuffix("history") + tab)
        where: Page | FrameLocator = self._page
        if tab == DETAILS["tab"]:  # one frame for each Markdown text; the last is the current one
            where = self._page.locator("iframe").last.content_frame
        await where.get_by_text(until).first.wait_for(timeout=TIMEOUT_MS)
        clip = FloatRect(x=0, y=0, width=SIZE["width"], height=height)
        picture = Image.open(io.BytesIO(await self._page.screenshot(clip=clip))).convert("RGB")
        picture.quantize(COLOURS).save(IMAGES / f"{name}.png", optimize=True)
        print(f"docs/images/{name}.png", (IMAGES / f"{name}.png").stat().st_size)


async def take_all(camera: Camera) -> None:
    """Takes all screenshots, each with the system in the right state."""
    await camera.stock()
    await camera.add("alice")
    await camera.take(
        "saga-committed", cart_workflow_id(STORE, "alice"), until="reserve_inventory", **HISTORY
    )
    await camera.refuse_reserves()
    await camera.add("bob")
    await camera.take(
        "saga-undone", cart_workflow_id(STORE, "bob"), until="release_inventory", **HISTORY
    )

    await camera.stack.kill("kafka", restart=False)
    await camera.add("carol")
    shard = bucket_of(CartKey(STORE, "carol")) % camera.settings.relay_shards
    relay = relay_workflow_id(EffectKind.EVENT, shard)
    await camera.wait_for_attention(relay)
    await camera.take("relay-waiting", relay, until="waiting", **DETAILS)
    await camera.stack.start_again("kafka")

    await camera.stack.kill("mongodb", restart=False)
    await camera.add("dave")
    waiting = cart_workflow_id(STORE, "dave")
    await camera.wait_for_attention(waiting)
    await camera.take("saga-waiting", waiting, until="waiting for MongoDB", **DETAILS)
    await camera.stack.start_again("mongodb")


async def main(folder: Path) -> None:
    IMAGES.mkdir(exist_ok=True)
    with settings_of_its_own(folder) as settings:
        async with Stack(settings) as stack, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            page = await browser.new_page(viewport=SIZE)
            await take_all(Camera(settings, stack, await connect(settings), page))
            await browser.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(main(Path(temporary)))
