"""`cart demo` and `cart doctor` against the running service."""

import asyncio
import os
import sys
from pathlib import Path

from tests.support.shop import World


async def cart(root: Path, *words: str) -> tuple[int, str]:
    """Exit code and output of a command, in the environment of the stack under test."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from cli.main import main; main()",
        *words,
        cwd=root,
        env=os.environ | {"COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def test_the_demo_finds_every_answer_as_it_should_be(
    world: World, project_root: Path
) -> None:
    assert world.settings.port
    code, output = await cart(project_root, "demo")
    assert code == 0, output


async def test_the_doctor_finds_nothing_wrong(world: World, project_root: Path) -> None:
    assert world.settings.port
    code, output = await cart(project_root, "doctor")
    assert code == 0, output
