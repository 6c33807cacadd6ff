"""Runs pip as a process that ends when its worker ends. A script: nothing imports it.

A worker that is killed cannot clean up; without this its download would go on alone.
"""

import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def _end_with(parent: int) -> None:
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the kernel was told
        raise SystemExit(1)


if __name__ == "__main__":
    _end_with(int(sys.argv.pop(1)))
    sys.argv[0] = "pip"
    runpy.run_module("pip", run_name="__main__")
