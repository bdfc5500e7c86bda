"""Rate, memory and CPU time of `cart import`, and whether its report is complete.

`python -m dev.bench.imports [--carts 100000] [--lines 3]`

The import is killed when a tenth of the carts are stored, and repeated. Then each cart is compared
with its original; a difference that is not in the report ends this with exit code 1.
"""

import argparse
import asyncio
import os
import resource
import sys
import time
from pathlib import Path

from dev.bench.cpu import cpu_seconds
from dev.bench.originals import Originals
from dev.bench.rig import local_stack
from dev.stack.apps import SERVERS
from models.documents import Cart

KILLED_AFTER = 0.1
POLL_SECONDS = 0.2
KIB_PER_MIB = 1024
SHOWN = 5
PARTS = (*SERVERS, "inventory", "worker")


async def run(originals: Originals, report: Path, *, kill_at: int | None = None) -> None:
    """Runs the command, until so many carts are stored if `kill_at` is given; says what it took."""
    began, used, stored = time.monotonic(), _used(originals), await _stored()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli.main", "import", "--from", originals.uri),
        *("--apply", "--report", str(report)),
        env=os.environ | {"COLUMNS": "160"},
    )
    ended = asyncio.create_task(process.wait())
    while kill_at is not None and not ended.done():
        await asyncio.wait({ended}, timeout=POLL_SECONDS)
        if await _stored() >= kill_at and not ended.done():
            process.kill()
            break
    code = await ended
    took, imported = time.monotonic() - began, await _stored() - stored
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / KIB_PER_MIB
    print(
        f"{'killed' if code < 0 else f'exit code {code}'}: {imported} carts in {took:.0f} s, "
        f"{imported / took:.0f} a second, {peak:.0f} MiB at most"
    )
    parts = [f"{name} {s - used[name]:.1f}" for name, s in _used(originals).items()]
    print(f"    CPU seconds: {', '.join(parts)}", flush=True)


def _used(originals: Originals) -> dict[str, float]:
    """CPU seconds of each process so far."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"import": children.ru_utime + children.ru_stime} | {
        name: cpu_seconds([originals.stack.process(name).pid]) for name in PARTS
    }


async def _stored() -> int:
    return await Cart.get_pymongo_collection().estimated_document_count()


async def main(carts: int, lines: int) -> int:
    """Plants, imports until it is killed, imports the rest, and compares; returns the exit code."""
    async with local_stack(parts=PARTS) as stack:
        originals, report = Originals(stack, carts, lines), stack.local_dir / "differences.jsonl"
        await originals.plant()
        await run(originals, report, kill_at=round(carts * KILLED_AFTER))
        await run(originals, report)
        found = await originals.unaccounted(report)
        print(f"{len(found)} differences unaccounted for", *found[:SHOWN], sep="\n    ")
    return 1 if found else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--carts", type=int, default=100_000)
    parser.add_argument("--lines", type=int, default=3)
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.carts, options.lines)))
