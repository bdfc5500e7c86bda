"""The `cart` command as a process of its own, in the environment of the stack under test.

The process is forked from one that has imported all modules, since the imports take ten times as
long as most commands, and some tests repeat a command until its output is as expected.
"""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parent.parent.parent

_forks = get_context("forkserver")
_forks.set_forkserver_preload(["tests.support.preloaded_commands"])


@dataclass(frozen=True)
class Ran:
    """The exit code and output of a command; `output` includes stderr."""

    code: int
    output: str

    @property
    def json(self) -> Any:
        return json.loads(self.output)


async def cart(*words: str, timeout: float = 60, **env: str) -> Ran:
    """Runs a command to its end."""
    with TemporaryDirectory() as folder:
        output = Path(folder) / "output"
        output.touch()
        environment = os.environ | {"COLUMNS": "200"} | env
        process = _forks.Process(target=_run, args=(words, environment, str(output)))
        await asyncio.to_thread(process.start)
        await asyncio.to_thread(process.join, timeout)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"cart {' '.join(words)}: {output.read_text()}")
        return Ran(process.exitcode, output.read_text())


def _run(words: tuple[str, ...], environment: dict[str, str], output: str) -> None:
    """In the new process: redirects its streams, sets its environment, runs the command."""
    for number, file, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, output, os.O_WRONLY | os.O_APPEND),
    ):
        os.dup2(os.open(file, flags), number)
    os.dup2(1, 2)
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["cart", *words]
    from cli.main import console  # noqa: PLC0415

    console()
