"""The heartbeat file, which shows that the event loop of a process runs."""

import os
import subprocess
import sys
import time
from pathlib import Path

import heartbeat
from tests.support.waiting import eventually


async def test_the_file_is_touched_inside_the_block(tmp_path: Path) -> None:
    file = tmp_path / "heartbeat"
    async with heartbeat.beating(file):

        async def beats() -> None:
            assert heartbeat.is_fresh(file)

        await eventually(beats)
    assert heartbeat.is_fresh(file), "the file must stay during a drain"


def test_the_check_passes_only_while_the_file_is_fresh(tmp_path: Path) -> None:
    file = tmp_path / "heartbeat"
    assert _check(file) == 1, "missing"
    file.touch()
    assert _check(file) == 0
    old = time.time() - heartbeat.STALE_SECONDS - 1
    os.utime(file, (old, old))
    assert _check(file) == 1, "stale"


def _check(file: Path) -> int:
    return subprocess.run([sys.executable, "-m", "heartbeat", str(file)], check=False).returncode
