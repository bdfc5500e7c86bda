"""The clients of `clients/`: built, type-checked in strict modes, and shopping at the service."""

import asyncio
import shutil
import sys
from pathlib import Path

import pytest

from dev.clients import __main__ as clients
from tests.clients.conftest import UNITS, environment_of
from tests.clients.tools import HERE, run, tool
from tests.support.shop import Shop


async def shopped(shop: Shop, *command: str | Path, cwd: Path) -> None:
    """Runs a program that shops as a guest and as a user, and checks what it has left.

    The guest adds 2 lamps. The user adds 2 headphones, wants 50 more (refused), sets 5, merges the
    guest's cart, changes several items at once, checks out, cannot change the cart, cancels the
    checkout, removes the headphones and clears the cart. The adds of lamps are slow (202).
    """
    env = await environment_of(shop, "headphones", "lamp", "kettle")
    output = await asyncio.to_thread(run, *command, cwd=cwd, **env)
    assert output.splitlines()[-1:] == ["done"], output
    for product in ("headphones", "lamp", "kettle"):
        assert await shop.units(product) == (UNITS, 0, 0)
    operations = [
        record.operation for record in await shop.records() if record.state == "committed"
    ]
    assert operations.count("AddItem") == 2, "a repeat with its key has no second effect"


async def test_the_python_client(shop: Shop, tmp_path: Path) -> None:
    work = clients.copied("python", tmp_path / "python")
    clients.generate_python(work)
    program = shutil.copy(HERE / "python" / "own_client_shop.py", work)
    run(sys.executable, "-m", "mypy", "--strict", "cart_client", program, cwd=work)
    await shopped(shop, sys.executable, program, cwd=work)


async def test_the_typescript_client(shop: Shop, tmp_path: Path) -> None:
    tool("node", "npm")
    work = clients.copied("typescript", tmp_path / "typescript")
    clients.generate_typescript(work)
    shutil.copy(HERE / "typescript" / "own-client.ts", work / "src" / "shop.ts")
    run("node_modules/.bin/tsc", "-p", "tsconfig.json", cwd=work)
    await shopped(shop, "node", "dist/shop.js", cwd=work)


def test_the_packages_are_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool("node", "npm")
    monkeypatch.setattr(clients, "OUT", tmp_path)
    clients.main([])
    [wheel], [package] = tmp_path.glob("cart_client-*.whl"), tmp_path.glob("cart-client-*.tgz")
    assert wheel.stat().st_size > 5_000
    assert package.stat().st_size > 5_000
