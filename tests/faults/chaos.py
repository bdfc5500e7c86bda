"""`python -m tests.faults.chaos --sagas 10000 --faults 500 --seed 1 --report chaos.md`

The long run of the fault matrix, on a stack of its own. SAGAS is the number of requests; the number
of sagas is higher, since a shopper first adds what it then changes. Prints a line after each block,
and writes the report after each block, so that an interrupted run has one. Exit code 1 when an
invariant was violated. The same seed and sizes make the same choices.
"""

import argparse
import asyncio
import sys
import time
from pathlib import Path

from tests.faults.long_run import quiet_run, say, share
from tests.faults.matrix_block import MatrixBlock, run_matrix_block
from tests.faults.plot import svg
from tests.faults.report import markdown, percentiles
from tests.faults.rig import running_rig

SAGAS_A_BLOCK = 300


async def run(sagas: int, faults: int, seed: int, report: Path | None, folder: Path) -> bool:
    """Whether all invariants held."""
    count = max(1, round(sagas / SAGAS_A_BLOCK))
    blocks: list[MatrixBlock] = []
    begun = time.monotonic()
    async with running_rig(folder, lambda _: None) as rig:
        say(f"ready; {count} blocks, servers' logs in {folder / 'logs'}")
        for number in range(count):
            block = await run_matrix_block(
                rig,
                seed=seed,
                number=number,
                sagas=share(sagas, number, count),
                faults=share(faults, number, count),
            )
            blocks.append(block)
            _progress(block, count, time.monotonic() - begun)
            if report is not None:
                command = f"--sagas {sagas} --faults {faults} --seed {seed}"
                plot = report.with_suffix(".svg")
                _write(report, markdown(blocks, seed=seed, command=command, plot=plot.name))
                _write(plot, svg([hit for block in blocks for hit in block.hits]))
    return not any(block.violations for block in blocks)


def _progress(block: MatrixBlock, count: int, elapsed: float) -> None:
    took = [hit.converged_after for hit in block.hits if hit.converged_after is not None]
    _, _, slowest = percentiles(took)
    left = elapsed / (block.number + 1) * (count - block.number - 1)
    say(
        f"block {block.number + 1}/{count}: {block.sagas} sagas, {len(block.hits)} faults "
        f"({len(block.missed)} missed), {len(block.violations)} violations, "
        f"{block.took:.0f} s, slowest recovery {slowest or 0:.1f} s; about {left / 60:.0f} min left"
    )
    for violation in block.violations:
        say(f"    {block.store_id}: {violation}")
        for hit in block.hits:
            if hit.user_id == violation.user_id:
                planned = hit.planned
                say(
                    f"        hit at {hit.moment:%H:%M:%S.%f}: {planned.fault.name} for "
                    f"{planned.seconds:g} s, {planned.moment.name}, {planned.action}, {hit.run_id}"
                )


def _write(report: Path, text: str) -> None:
    report.write_text(f"{text}\n")


def main() -> int:
    """Exit code 0 when all invariants held."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.chaos", description=__doc__)
    parser.add_argument("--sagas", type=int, default=10_000)
    parser.add_argument("--faults", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, help="a Markdown file to write, with its plot")
    parser.add_argument("--keep", type=Path, help="keep the servers' data and logs in this folder")
    given = parser.parse_args()
    with quiet_run("chaos", given.keep) as folder:
        work = run(given.sagas, given.faults, given.seed, given.report, folder)
        return 0 if asyncio.run(work) else 1


if __name__ == "__main__":
    sys.exit(main())
