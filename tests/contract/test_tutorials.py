"""The programs in docs/tutorials do what the pages say."""

import asyncio
import re
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
from tests.support.waiting import eventually

TUTORIAL = Path(__file__).parents[2] / "docs/tutorials/inventory.md"


@pytest.fixture
def own_inventory(tmp_path: Path) -> Iterator[str]:
    """The address of the tutorial's inventory, which runs."""
    [program] = re.findall(r"^```python\n(.*?)^```", TUTORIAL.read_text(), re.MULTILINE | re.DOTALL)
    file = tmp_path / "inventory_of_mine.py"
    file.write_text(program)
    [port] = more_free_ports(1)
    with subprocess.Popen([sys.executable, str(file), str(port)]) as process:
        yield f"http://127.0.0.1:{port}"
        process.terminate()


async def test_the_inventory_of_the_tutorial_keeps_all_rules(own_inventory: str) -> None:
    async with httpx.AsyncClient(base_url=own_inventory) as client:
        await eventually(lambda: client.get("/health"))
        settings = Settings(inventory_service_url=own_inventory)
        results = await asyncio.to_thread(play, settings, "store-1", "headphones")
        assert {one.part: one.state for one in results if one.state is not Status.OK} == {}
        url = "/api/v1/inventories/check/headphones?storeId=store-1"
        assert (await client.get(url)).json() == {"available": 10, "held": 0}
