"""Runs a command that is killed when the process that started it ends, even by SIGKILL.

Usage: `python -I -S guard.py PARENT_PID PIPE COMMAND…`. It replaces itself with the command. On
Linux the kernel kills the command when its parent dies. Elsewhere a watcher in the same process
group reads from a pipe whose other end only the parent holds, and kills the group at its end.

It must not import anything from site-packages, which `-S` leaves out to start quickly.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def _die_with_parent(parent: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL)) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before prctl
        os._exit(1)


def _watch_parent(pipe: int) -> None:
    """Forks the watcher, which is killed together with its group."""
    if os.fork() != 0:
        return
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    while os.read(pipe, 1):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


def main() -> None:
    parent, pipe, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if sys.platform == "linux":
        _die_with_parent(parent)
    else:
        _watch_parent(pipe)
    os.close(pipe)
    os.execv(command[0], command)  # noqa: S606 (the supervisor's own command)


if __name__ == "__main__":
    main()
