"""CPU time of processes and of their threads, as Linux counts it."""

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_NANOSECONDS = 1e9


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time of these processes so far, in all."""
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / _TICKS


def thread_seconds(pid: int) -> dict[str, float]:
    """CPU time so far of a process's threads by name; the first one's name is `main`."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            name = "main" if thread.name == str(pid) else (thread / "comm").read_text().strip()
            seconds[name] += int((thread / "schedstat").read_text().split()[0]) / _NANOSECONDS
        except OSError:  # it has ended meanwhile
            continue
    return seconds
