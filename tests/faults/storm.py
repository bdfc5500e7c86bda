"""`python -m tests.faults.storm --events 5000 --faults 100 --seed 1`: incoming events under faults.

Runs many blocks of `storm_block` on a stack of its own. Prints a line after each block, and a table
at the end. Exit code 1 when an invariant was violated. The same seed and sizes plan the same
faults.
"""

import argparse
import asyncio
import sys
from collections import Counter
from pathlib import Path

from tests.faults.long_run import quiet_run, say, share
from tests.faults.report import percentiles
from tests.faults.rig import running_rig
from tests.faults.storm_block import StormBlock, run_storm_block

EVENTS_A_BLOCK = 250


async def run(events: int, faults: int, seed: int, folder: Path) -> bool:
    """Whether all invariants held."""
    blocks: list[StormBlock] = []
    size = max(1, round(events / EVENTS_A_BLOCK))
    async with running_rig(folder, lambda _: None) as rig:
        for number in range(size):
            block = await run_storm_block(
                rig,
                seed=seed,
                number=number,
                events=share(events, number, size),
                faults=share(faults, number, size),
            )
            blocks.append(block)
            _progress(block, size)
        assert rig.triggers.errors == []
    say(table(blocks))
    return not any(block.violations for block in blocks)


def table(blocks: list[StormBlock]) -> str:
    """The totals of all blocks, as a table."""
    count = sum((block.count for block in blocks), Counter[str]())
    hits = [hit for block in blocks for hit in block.hits]
    took = [hit.converged_after for hit in hits if hit.converged_after is not None]
    shown = [f"{value or 0:.1f}" for value in percentiles(took)]
    lines = [
        f"{count.total()} events, {len(hits)} faults "
        f"({sum(len(block.missed) for block in blocks)} missed), "
        f"{sum(len(block.violations) for block in blocks)} violations, "
        f"{sum(block.took for block in blocks):.0f} s",
        *(f"  {kind:20} {times:6}" for kind, times in sorted(count.items())),
        f"  {'orders during an add':20} {sum(block.racing for block in blocks):6}",
        "  seconds from the end of a fault until all events sent before it had their effect: "
        f"p50 {shown[0]}, p99 {shown[1]}, max {shown[2]}",
        *(
            f"  {name:36} {times:4}"
            for name, times in sorted(Counter(hit.planned.fault.name for hit in hits).items())
        ),
    ]
    return "\n".join(lines)


def _progress(block: StormBlock, blocks: int) -> None:
    say(
        f"block {block.number + 1}/{blocks}: {block.count.total()} events, "
        f"{len(block.hits)} faults ({len(block.missed)} missed), "
        f"{len(block.violations)} violations, {block.took:.0f} s"
    )
    for violation in block.violations:
        say(f"    {violation}")
    if block.violations:
        for hit in block.hits:
            planned = hit.planned
            say(
                f"    hit at {hit.moment:%H:%M:%S.%f}: {planned.fault.name} for "
                f"{planned.seconds:g} s, {planned.moment.name}"
            )


def main() -> int:
    """Exit code 0 when all invariants held."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.storm", description=__doc__)
    parser.add_argument("--events", type=int, default=5000)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="keep the servers' data and logs in this folder")
    given = parser.parse_args()
    with quiet_run("storm", given.keep) as folder:
        return 0 if asyncio.run(run(given.events, given.faults, given.seed, folder)) else 1


if __name__ == "__main__":
    sys.exit(main())
