"""The programs and the commands in docs/tutorials do what the pages say."""

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cli.doctor.inventory import play
from cli.doctor.results import Status
from dev.stack.ports import more_free_ports
from settings import Settings
from tests.support.shop import Shop
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
TUTORIALS = ROOT / "docs/tutorials"
COMMANDS_SECONDS = 120
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page in this language."""
    text = (TUTORIALS / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def own_inventory(tmp_path: Path) -> Iterator[str]:
    """The address of the tutorial's inventory, which runs."""
    [program] = blocks("inventory.md", "python")
    file = tmp_path / "inventory_of_mine.py"
    file.write_text(program)
    [port] = more_free_ports(1)
    with subprocess.Popen([sys.executable, str(file), str(port)]) as process:
        yield f"http://127.0.0.1:{port}"
        process.terminate()


async def test_the_inventory_of_the_tutorial_keeps_all_rules(own_inventory: str) -> None:
    async with httpx.AsyncClient(base_url=own_inventory, timeout=30) as client:
        await eventually(lambda: client.get("/health"))
        settings = Settings(inventory_service_url=own_inventory)
        results = await asyncio.to_thread(play, settings, "store-1", "headphones")
        # It does not have the optional call.
        found = {one.part: one.state for one in results if one.state is not Status.OK}
        assert found == {"transfer": Status.WARN}
        url = "/api/v1/inventories/check/headphones?storeId=store-1"
        assert (await client.get(url)).json() == {"available": 10, "held": 0}


async def units(shop: Shop, product: str) -> tuple[int, int]:
    """The available and the held units of a product."""
    answer = await shop.world.inventory.get(
        f"/api/v1/inventories/check/{product}", params={"storeId": shop.store_id}
    )
    stock = answer.json()
    return stock["available"], stock["held"]


async def run_commands(page: str, shop: Shop, **replaced: str) -> str:
    """Runs the commands of a page, in this store and on this stack; returns their output."""
    script = "\n".join(blocks(page, "bash"))
    for old, new in {"store-1": shop.store_id, ":4007": f":{shop.world.settings.port}"}.items():
        script = script.replace(old, new)
    for old, new in replaced.items():
        script = script.replace(f"{old}.py", new)
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", script),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(COMMANDS_SECONDS):
        output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    return output


@needs_curl
async def test_a_first_cart_goes_as_the_page_says(shop: Shop) -> None:
    output = await run_commands("first-cart.md", shop)
    answers = re.findall(r"HTTP/1.1 (\d+)", output)
    assert answers == ["201", "200", "201", "201", "200"], output
    assert output.count("idempotent-replayed: true") == 1
    assert output.count('"code":"insufficient_stock"') == 1
    assert await units(shop, "lamp") == (3, 0)


@needs_curl
async def test_a_checkout_goes_as_the_page_says(shop: Shop, tmp_path: Path) -> None:
    [program] = blocks("checkout.md", "python")
    program = program.replace("store-1", shop.store_id)
    (tmp_path / "order_service.py").write_text(
        program.replace(":9092", f":{shop.world.settings.kafka_port}")
    )
    output = await run_commands(
        "checkout.md", shop, order_service=str(tmp_path / "order_service.py")
    )
    assert output.count('"checkoutId"') == 1
    assert output.count('"code":"cart_checked_out"') == 1

    async def is_sold() -> None:
        assert await units(shop, "kettle") == (3, 0)

    await eventually(is_sold)
