"""This machine: its load, and the disk of `LOCAL_DIR`."""

import os
import shutil

from cli.doctor.results import CheckReport, Part
from settings import Settings

BUSY_LOAD = 4
"""Waiting processes for each core at which answers are late."""
FREE_BYTES = 1 << 30
_GIGA = 1 << 30


async def check_machine(settings: Settings, report: CheckReport) -> None:
    """Whether it has the time to answer, and the local stack the room to write."""
    cores, load = os.cpu_count() or 1, os.getloadavg()[0]
    load_now = f"load {load:.1f} on {cores} cores"
    folder = settings.local_dir.expanduser().absolute()
    room = ""
    if folder.is_dir():
        free = shutil.disk_usage(folder).free
        room = f"; {free / _GIGA:.1f} GB free for {folder}"
        if not os.access(folder, os.W_OK):
            advice = "change its permissions, or set LOCAL_DIR to another folder"
            report.failed(Part.MACHINE, f"{folder} is not writable for this user", advice)
        elif free < FREE_BYTES:
            advice = "free space on that disk, or set LOCAL_DIR to another folder"
            report.failed(Part.MACHINE, f"the disk is nearly full{room}", advice)
    if load > BUSY_LOAD * cores:
        report.warn(
            Part.MACHINE,
            f"{load_now}: overloaded, so answers are late",
            "see `top`; other findings may be wrong while this lasts",
        )
    elif not report.results:
        report.ok(Part.MACHINE, f"{load_now}{room}")
