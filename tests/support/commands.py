"""The `cart` command as a process of its own, in the environment of the stack under test."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Ran:
    """How a command ended; `output` has its errors too."""

    code: int
    output: str

    @property
    def json(self) -> Any:
        return json.loads(self.output)


async def cart(*words: str, timeout: float = 60, **env: str) -> Ran:
    """Runs a command to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from cli.main import console; console()",
        *words,
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "200"} | env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(timeout):
        output, _ = await process.communicate()
    return Ran(process.returncode or 0, output.decode())
