"""`python -m tests.faults.load --seconds 60 --faults 12 --seed 1`: a hundred buyers of ten units.

They add, change, check out, pay, cancel, let holds and checkouts end, and merge the carts that they
have filled as guests, each as soon as the last reply is there, while processes, servers and links
fail (`load_block`). Prints a line every few seconds, and a report at the end. Exit code 1 when an
invariant was violated.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tests.faults.load_block import UNITS, LoadResult, LoadRun, run_load
from tests.faults.long_run import quiet_run, say
from tests.faults.report import percentiles
from tests.faults.rig import running_rig

BUYERS = 100
PROGRESS_SECONDS = 5.0


class Progress:
    """Prints what has happened so far, every few seconds."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()

    def __call__(self, run: LoadRun) -> None:
        now = time.monotonic()
        if now - self._last < PROGRESS_SECONDS:
            return
        self._last = now
        market = run.market
        say(
            f"{now - self._began:4.0f} s: {run.replies.total()} replies, {run.offers} offers, "
            f"{market.ends.total()} checkouts, {market.traffic.count.total()} events, "
            f"{len(run.hits)} faults"
        )


async def run(seconds: float, faults: int, buyers: int, seed: int, folder: Path) -> bool:
    """Whether all invariants held."""
    async with running_rig(folder, lambda _: None) as rig:
        deadline = time.monotonic() + seconds
        result = await run_load(
            rig,
            seed=seed,
            buyers=buyers,
            faults=faults,
            seconds=seconds,
            keep_going=lambda _: time.monotonic() < deadline,
            on_tick=Progress(),
        )
        assert rig.triggers.errors == []
    say(report(result, buyers=buyers, seconds=seconds, seed=seed))
    return not result.violations


def report(result: LoadResult, *, buyers: int, seconds: float, seed: int) -> str:
    """What has happened, as tables."""
    took = [hit.converged_after for hit in result.hits if hit.converged_after is not None]
    shown = [f"{value or 0:.1f}" for value in percentiles(took)]
    lines = [
        "",
        f"{buyers} buyers, {result.offers} products of {UNITS} units, {seconds:g} s, seed {seed}: "
        f"{result.replies.total()} replies, {result.changes.total()} changes, "
        f"{len(result.hits)} faults ({result.missed} missed), "
        f"{len(result.violations)} violations, {result.took:.0f} s in all",
        f"units sold: {result.sold}; late orders are short of {result.short}; "
        f"looks at frozen carts: {result.looks}",
        f"seconds from the end of a fault to the end of its run: p50 {shown[0]}, p99 {shown[1]}, "
        f"max {shown[2]}",
        *_table("replies", result.replies),
        *_table("committed changes", result.changes),
        *_table("ends of checkouts", result.ends),
        *_table("events sent", result.events),
        *_table("faults", (hit.planned.fault.name for hit in result.hits)),
        *(f"violation of {violation}" for violation in result.violations),
    ]
    if result.violations:
        lines += [
            f"hit at {hit.moment:%H:%M:%S.%f}: {hit.planned.fault.name} for "
            f"{hit.planned.seconds:g} s, {hit.planned.moment.name} [{hit.user_id}]"
            for hit in result.hits
        ]
    return "\n".join(lines)


def _table(title: str, counted: Iterable[str]) -> list[str]:
    count = counted if isinstance(counted, Counter) else Counter(counted)
    return ["", f"{title:44}{count.total():6}"] + [
        f"  {name:42}{times:6}" for name, times in sorted(count.items())
    ]


def main() -> int:
    """Exit code 0 when all invariants held."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.load", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--faults", type=int, default=12)
    parser.add_argument("--buyers", type=int, default=BUYERS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="keep the servers' data and logs in this folder")
    given = parser.parse_args()
    with quiet_run("load", given.keep) as folder:
        work = run(given.seconds, given.faults, given.buyers, given.seed, folder)
        return 0 if asyncio.run(work) else 1


if __name__ == "__main__":
    sys.exit(main())
