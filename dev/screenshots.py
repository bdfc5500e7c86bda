"""`python -m dev.screenshots`: takes the screenshots in `docs/images`.

They are of the Temporal Web UI and of the operators' page.

Starts a stack of its own with a committed, an undone and a waiting saga and a waiting relay. Needs
Chromium (`CHROMIUM`, default /usr/bin/chromium) and `pip install pillow`.
"""

import asyncio
import io
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image
from playwright.async_api import FloatRect, FrameLocator, Page, ViewportSize, async_playwright
from temporalio.client import Client

from cli.token import mint_token
from dev.stack.stack import Stack
from models.cart import CartKey
from models.documents import bucket_of
from models.effects import EffectKind
from tests.conftest import settings_of_its_own
from tests.support.shop import Buyer, Shop, World, world_of
from tests.support.waiting import eventually
from workflows.ids import ATTENTION, relay_workflow_id
from workflows.pages import Pages

IMAGES = Path(__file__).parents[1] / "docs" / "images"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
SIZE = ViewportSize(width=1700, height=1300)
OPS_SIZE = ViewportSize(width=1200, height=1000)
HISTORY: Any = {"tab": "history", "height": 1270}
DETAILS: Any = {"tab": "user-metadata", "height": 560}
COLOURS = 128
TIMEOUT_MS = 90_000
STORE = "store-1"


async def take_one(
    world: World, page: Page, name: str, workflow_id: str, *, tab: str, until: str, height: int
) -> None:
    """Takes the upper part of a page, once it shows the text `until`."""
    handle = world.temporal.get_workflow_handle(workflow_id)
    pages = Pages(world.settings.temporal_ui, world.temporal.namespace)
    history = pages.workflow(workflow_id, (await handle.describe()).run_id)
    await page.goto(history.removesuffix("history") + tab)
    where: Page | FrameLocator = page
    if tab == DETAILS["tab"]:  # one frame for each Markdown text; the last is the current one
        where = page.locator("iframe").last.content_frame
    await where.get_by_text(until).first.wait_for(timeout=TIMEOUT_MS)
    await save(page, name, height=height)


async def take_ops_page(world: World, page: Page, name: str, saga: str, *, until: str) -> None:
    """Takes what the operators' page shows of a saga, once it shows the text `until`."""
    await page.set_viewport_size(OPS_SIZE)
    await page.goto(f"{world.settings.api_url}/ops#show?saga={quote(saga, safe='')}")
    await page.fill("#token", mint_token(world.settings, user="erin", role="admin"))
    await page.keyboard.press("Enter")
    await page.get_by_text(until).first.wait_for(timeout=TIMEOUT_MS)
    await save(page, name, height=OPS_SIZE["height"])
    await page.set_viewport_size(SIZE)


async def save(page: Page, name: str, *, height: int) -> None:
    """Saves the upper part of the page as a picture of few colours."""
    width = (page.viewport_size or SIZE)["width"]
    clip = FloatRect(x=0, y=0, width=width, height=height)
    picture = Image.open(io.BytesIO(await page.screenshot(clip=clip))).convert("RGB")
    picture.quantize(COLOURS).save(IMAGES / f"{name}.png", optimize=True)
    print(f"docs/images/{name}.png", (IMAGES / f"{name}.png").stat().st_size)


async def wait_for_attention(temporal: Client, workflow_id: str) -> None:
    """Waits until the workflow needs attention."""

    async def needs_attention() -> None:
        query = f"WorkflowId = '{workflow_id}' AND {ATTENTION} = true"
        assert [run async for run in temporal.list_workflows(query)]

    await eventually(needs_attention, timeout=60)


async def take_all(stack: Stack, world: World, page: Page) -> None:
    """Takes all screenshots, each with the system in the right state."""
    take, shop = partial(take_one, world, page), Shop(world, STORE)
    alice, bob, carol, dave = (Buyer(shop, name, {}) for name in ("alice", "bob", "carol", "dave"))
    await shop.stock("headphones", 100)
    await alice.add(quantity=2)
    await take("saga-committed", alice.workflow_id, until="reserve_inventory", **HISTORY)
    await shop.fault("reserve", "error", times=3)  # for all tries of the next add
    await bob.add(quantity=2)
    await take("saga-undone", bob.workflow_id, until="release_inventory", **HISTORY)
    saga = f"{STORE}/{bob.user_id}"
    await take_ops_page(world, page, "ops-page", saga, until="What to do next")

    await stack.kill("kafka", restart=False)
    await carol.add(quantity=2)
    shard = bucket_of(CartKey(STORE, carol.user_id)) % world.settings.relay_shards
    relay = relay_workflow_id(EffectKind.EVENT, shard)
    await wait_for_attention(world.temporal, relay)
    await take("relay-waiting", relay, until="waiting", **DETAILS)
    await stack.start_again("kafka")

    await stack.kill("mongodb", restart=False)
    await dave.add(quantity=2)
    await wait_for_attention(world.temporal, dave.workflow_id)
    await take("saga-waiting", dave.workflow_id, until="waiting for MongoDB", **DETAILS)
    await stack.start_again("mongodb")


async def main(folder: Path) -> None:
    IMAGES.mkdir(exist_ok=True)
    with settings_of_its_own(folder) as settings:
        async with (
            Stack(settings) as stack,
            world_of(settings) as world,
            async_playwright() as playwright,
        ):
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            page = await browser.new_page(viewport=SIZE)
            await take_all(stack, world, page)
            await browser.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(main(Path(temporary)))
